"""Keys of the apps, wrapped by the key file's key, and how long an app keeps its faces."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "app_keys",
        sa.Column("app_id", ID, sa.ForeignKey("apps.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
    )
    empty = sa.text("x''" if op.get_bind().dialect.name == "sqlite" else "''")
    op.add_column("deployment", sa.Column("sealed", sa.LargeBinary, nullable=False, server_default=empty))
    op.add_column("apps", sa.Column("retention_days", sa.Integer, nullable=False, server_default=sa.text("0")))
