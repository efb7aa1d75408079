"""A served mock and a ledger, as for the command line."""

from tests.cli.conftest import environment, mock, url

__all__ = ["environment", "mock", "url"]
