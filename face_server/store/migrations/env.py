"""Runs one migration after the other over the connection or the address that `migrate` names."""

import sqlalchemy as sa
from alembic import context

from face_server.store.schema import metadata


def migrate(connection: sa.Connection) -> None:
    # Batch mode: SQLite cannot alter a table in place.
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


attributes = context.config.attributes
if "connection" in attributes:
    migrate(attributes["connection"])
else:
    engine = sa.create_engine(attributes["url"])
    with engine.begin() as begun:
        migrate(begun)
    engine.dispose()
