"""What became of a transaction whose `COMMIT` was not answered.

Each transaction notes its id while it is open, and writes a marker of its own into `commits`. To
resolve it, the backend that has it is made to end, so that a `COMMIT` that is still on its way
finds nobody; then the server is asked until the transaction is not in progress any more. Its
status is taken for no more than that it has *ended*, since after a crash an id that was never
flushed may be used again. Whether it was committed is read from its marker, in a transaction that
commits a fence: where commits wait for a standby, its answer means that the standby has all before
it, too.

A transaction that was sent as a whole has no id that anybody knows, and may not have begun: it may
still be on its way. Its marker is unique, so whoever asks tries to take it. If it is there, the
transaction was committed; if it was free, that transaction can never be committed any more.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any, Final

import psycopg

from nexus_bounty.idempotency import new_key
from nexus_bounty.retry import RetryPolicy
from nexus_bounty_postgres.connections import Connections
from nexus_bounty_postgres.script import Script

RESOLVE_WITHIN: Final = timedelta(seconds=10)
_ASKING: Final = RetryPolicy(attempts=sys.maxsize, base=0.05, cap=0.5)  # for as long as it may
_PATIENCE: Final = "500"  # milliseconds
_IN_PROGRESS: Final = "in progress"
_END_WHOEVER_SENT: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE usename = current_user AND state <> 'idle' AND pid <> pg_backend_pid()
        AND strpos(query, %s) > 0
"""
_TAKE: Final = """
    WITH taken AS (
        INSERT INTO nexus_bounty.commits (marker) VALUES (%s) ON CONFLICT DO NOTHING RETURNING 1
    ) INSERT INTO nexus_bounty.commits (marker) SELECT %s FROM taken
"""


def is_committed(
    connections: Connections, xid: str | None, marker: str, within: timedelta = RESOLVE_WITHIN
) -> bool | None:
    """Whether the transaction with this id and marker was committed; `None` if nobody says.

    After `False` it can no longer be. Without an id it may not have begun yet.
    """

    def look() -> bool:
        with connections.use() as connection:
            if xid is None:
                return not _takes_marker(connection, marker)
            if not _has_ended(connection, xid):
                raise _InProgressError
            return _has_marker(connection, marker)

    try:
        return _ASKING.persist_blocking(look, _may_be_told_later, within.total_seconds())
    except (psycopg.Error, _InProgressError):
        return None


class _InProgressError(Exception):
    """The transaction could still be committed."""


def _may_be_told_later(error: Exception) -> bool:
    return isinstance(error, psycopg.Error | _InProgressError)


def _has_ended(connection: psycopg.Connection[Any], xid: str) -> bool:
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_xid = %s::xid8::xid",
        [xid],
    )
    try:
        status = connection.execute("SELECT pg_xact_status(%s::xid8)", [xid]).fetchone()
    except psycopg.errors.InvalidParameterValue:
        return True  # it lies in the future of this server, which took over without it
    return status != (_IN_PROGRESS,)


def _takes_marker(connection: psycopg.Connection[Any], marker: str) -> bool:
    """Whether the marker was free, and is taken now: whoever comes with it is refused.

    One who has it in an open transaction is waited for, after an attempt to end it. That it was
    taken by an earlier look is told by the fence beside it.
    """
    fence = f"fence-{marker}"
    connection.execute(_END_WHOEVER_SENT, [marker])
    script = Script()
    script.add("BEGIN ISOLATION LEVEL READ COMMITTED")
    script.add("SELECT set_config('lock_timeout', %s, true)", _PATIENCE)
    script.add(_TAKE, marker, fence)
    look = script.add("SELECT FROM nexus_bounty.commits WHERE marker = %s", fence)
    script.add("INSERT INTO nexus_bounty.commits (marker) VALUES (%s)", f"fence-{new_key()}")
    script.add("COMMIT")
    try:
        return bool(script.run(connection)[look])
    except psycopg.Error:
        connection.close()  # it is not to be used in the middle of a transaction
        raise


def _has_marker(connection: psycopg.Connection[Any], marker: str) -> bool:
    script = Script()
    script.add("BEGIN")
    look = script.add("SELECT FROM nexus_bounty.commits WHERE marker = %s", marker)
    script.add("INSERT INTO nexus_bounty.commits (marker) VALUES (%s)", f"fence-{new_key()}")
    script.add("COMMIT")
    return bool(script.run(connection)[look])
