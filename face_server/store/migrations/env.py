"""Runs one migration after the other over the database that `migrate.to_head` names."""

import sqlalchemy as sa
from alembic import context

from face_server.store.schema import metadata

engine = sa.create_engine(context.config.attributes["url"])
with engine.begin() as connection:
    # Batch mode: SQLite cannot alter a table in place.
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
