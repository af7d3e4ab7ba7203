"""Runs one migration after the other in the transaction that `migrate` has begun."""

from alembic import context

from face_server.store.schema import metadata

# Batch mode: SQLite cannot alter a table in place. Tables it makes and alters are a part of the transaction, too.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
