"""Pictures that outlive their faces."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "albums",
        sa.Column("app_id", ID, sa.ForeignKey("apps.id"), primary_key=True),
    )
    op.create_table(
        "pictures",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("app_id", ID, sa.ForeignKey("apps.id"), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("original", sa.String(64), nullable=False),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("person", sa.String(128), nullable=False),
        sa.Column("info", sa.Text, nullable=False),
        sa.Column("cut", sa.String(64), nullable=False),
        sa.Column("spot", sa.LargeBinary, nullable=False),
        sa.Column("template", sa.LargeBinary, nullable=False),
        sa.Column("embedding_id", sa.String(64), nullable=False),
        sa.Column("meta", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.UniqueConstraint("app_id", "name"),
        sqlite_autoincrement=True,
    )
    op.create_index("pictures_token", "pictures", ["app_id", "token"])
    op.create_index("pictures_original", "pictures", ["original"])
