"""What Alembic runs to apply migrations: on the connection it is handed, in the transaction that is open there."""

from __future__ import annotations

from alembic import context

from tunesmith.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
