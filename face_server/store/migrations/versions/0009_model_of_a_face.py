"""Which model made the template of a face: while an app changes its model, it has faces of both."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("faces", sa.Column("embedding_id", sa.String(64), nullable=False, server_default=""))
    op.execute("UPDATE faces SET embedding_id = (SELECT apps.embedding_id FROM apps WHERE apps.id = faces.app_id)")
