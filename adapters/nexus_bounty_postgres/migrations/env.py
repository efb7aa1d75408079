"""What alembic runs for each command: the migrations, in the transaction that it was given."""

from __future__ import annotations

from alembic import context

from nexus_bounty_postgres.schema import SCHEMA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
)
with context.begin_transaction():
    context.run_migrations()
