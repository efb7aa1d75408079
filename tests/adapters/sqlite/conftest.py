"""The fixtures of the ledger in a file."""

from tests.support.ledgers import clock, path, recount

__all__ = ["clock", "path", "recount"]
