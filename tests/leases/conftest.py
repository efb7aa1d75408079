"""The fixtures of claims in places of every kind."""

from tests.support.ledgers import clock, path
from tests.support.postgres import _migrated, postgres_server, postgres_url

__all__ = ["_migrated", "clock", "path", "postgres_server", "postgres_url"]
