"""The fixtures of ledgers of every kind."""

from tests.support.ledgers import clock, path

__all__ = ["clock", "path"]
