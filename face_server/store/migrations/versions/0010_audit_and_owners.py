"""Lines of the audit log by their app; and whose job it is."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("audit", sa.Column("app", sa.String(128), nullable=False, server_default=""))
    sqlite = op.get_bind().dialect.name == "sqlite"
    named = "json_extract(target, '$.app')" if sqlite else "target::json ->> 'app'"
    op.execute(f"UPDATE audit SET app = substr(coalesce({named}, ''), 1, 128)")
    op.create_index("audit_app", "audit", ["app", "id"])
    op.add_column("jobs", sa.Column("owner", sa.String(32), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("seen", sa.Float, nullable=False, server_default=sa.text("0")))
