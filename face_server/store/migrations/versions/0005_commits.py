"""Marks by which a server knows whether a commit happened whose answer never came. Only Postgres can lose one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_table(
            "commits",
            sa.Column("writer", sa.String(32), primary_key=True),
            sa.Column("mark", sa.BigInteger, nullable=False),
            sa.Column("at", sa.Float, nullable=False),
        )
