"""The fixtures of the ledger on a server."""

from tests.support.ledgers import clock
from tests.support.postgres import (
    _migrated,
    empty_postgres_url,
    postgres_server,
    postgres_url,
)

__all__ = ["_migrated", "clock", "empty_postgres_url", "postgres_server", "postgres_url"]
