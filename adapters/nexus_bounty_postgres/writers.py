"""Who is writing: a lock that all transactions share which write, and nobody takes for itself.

To take it alone would be to queue for it, and whoever comes to write would queue behind: one
transaction that is slow would then stop all others for as long as somebody waits to read. So those
that have it are looked up, and waited for by name; whoever begins later is of no interest.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import psycopg

from nexus_bounty.retry import RetryPolicy

WRITERS: Final = 0x4E58424D
"""Taken by each of them before its entries are numbered, and held until it has ended."""
_ASKING: Final = RetryPolicy(attempts=sys.maxsize, base=0.01, cap=0.25)  # for as long as it may
_WRITING: Final = """
    SELECT virtualtransaction, pid FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = %s AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class _StillWritingError(Exception):
    """One of them has not ended yet."""


def wait_for_writers(connection: psycopg.Connection[Any], until: float) -> None:
    """Until every transaction that is writing now has ended; `until` is by the monotonic clock.

    What they have numbered is there afterwards, or will never be.

    Raises:
        psycopg.OperationalError: One of them has not ended; none was held up by this.
    """
    first, within = _writing(connection), until - time.monotonic()

    def look() -> None:
        if first and first & _writing(connection):
            raise _StillWritingError

    try:
        _ASKING.persist_blocking(look, lambda error: isinstance(error, _StillWritingError), within)
    except _StillWritingError:
        raise psycopg.OperationalError(
            "a transaction that writes has not ended, and nobody can say yet which entries come "
            "before those that are there: ask again"
        ) from None


def _writing(connection: psycopg.Connection[Any]) -> set[tuple[str, int]]:
    return set(connection.execute(_WRITING, [WRITERS]).fetchall())
