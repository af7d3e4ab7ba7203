"""Keys and secrets of the apps."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
COLUMNS = "id, name, seq, forgotten, embedding_id, created"


def upgrade() -> None:
    deployment = op.create_table(
        "deployment",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("access", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(deployment, [{"id": 1, "key": secrets.token_bytes(32), "access": 0}])
    op.create_table(
        "credentials",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("app_id", ID, sa.ForeignKey("apps.id"), nullable=False),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.Column("used", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    if op.get_bind().dialect.name == "sqlite":
        _never_use_an_app_id_again()


def _never_use_an_app_id_again() -> None:
    """SQLite gives the largest number away again unless the table was made otherwise."""
    op.create_table(
        "apps_anew",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(128), nullable=False, unique=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("forgotten", sa.BigInteger, nullable=False),
        sa.Column("embedding_id", sa.String(64), nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.execute(f"INSERT INTO apps_anew ({COLUMNS}) SELECT {COLUMNS} FROM apps")
    op.drop_table("apps")
    op.rename_table("apps_anew", "apps")
