"""A fail-over to a real standby: what it has, and what was said of it before."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from nexus_bounty_postgres import PostgresCredits
from tests.cli.program import until
from tests.support.postgres_server import PostgresServer

pytestmark = pytest.mark.thorough


@contextmanager
def primary_and_standby() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Both run with the settings that servers have by default, and the second streams."""
    primary = PostgresServer()
    standby = None
    try:
        primary.start()
        standby = PostgresServer(primary=primary)
        standby.start()
        until(lambda: asked(primary, "SELECT state FROM pg_stat_replication") == "streaming")
        yield primary, standby
    finally:
        for server in (standby, primary):
            if server is not None:
                server.remove()


def asked(server: PostgresServer, query: str) -> Any:
    """The one value that a query finds, or `None`."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
    return None if row is None else row[0]


def either(*servers: PostgresServer) -> str:
    """The URL of whichever of them takes writes."""
    places = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://postgres@{places}/postgres?target_session_attrs=read-write"


async def test_what_a_synchronous_standby_has_acknowledged_survives_a_fail_over() -> None:
    """The primary dies, the standby is promoted, and the same service goes on there."""
    with primary_and_standby() as (primary, standby):
        asked(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        asked(primary, "SELECT pg_reload_conf()")
        until(lambda: asked(primary, "SELECT sync_state FROM pg_stat_replication") == "sync")
        async with PostgresCredits(either(primary, standby)) as ledger:
            await ledger.top_up("t", account="alice", amount=100)
            found = await ledger.durability()
            assert (list(found.problems), list(found.advice)) == ([], [])
            for number in range(10):
                await ledger.reserve(f"r{number}", account="alice", amount=1)
            primary.kill()
            asked(standby, "ALTER SYSTEM RESET synchronous_standby_names")
            assert asked(standby, "SELECT pg_promote()")
            assert (await ledger.balance("alice")).reserved == 10
            await ledger.capture("r9", to_account="bob")
            assert (await ledger.verify()).ok


async def test_an_asynchronous_standby_loses_what_it_had_not_received_as_the_doctor_says() -> None:
    """It was behind when the primary died: what was acknowledged meanwhile is not there."""
    with primary_and_standby() as (primary, standby):
        async with PostgresCredits(either(primary, standby)) as ledger:
            await ledger.top_up("t", account="alice", amount=100)
            assert "the standbys are asynchronous" in "".join((await ledger.durability()).advice)
            received = asked(primary, "SELECT pg_current_wal_lsn()")
            reached = f"SELECT pg_last_wal_replay_lsn() >= '{received}'"
            until(lambda: asked(standby, reached) is True)
            asked(standby, "ALTER SYSTEM SET primary_conninfo = ''")
            asked(standby, "SELECT pg_reload_conf()")
            until(lambda: asked(standby, "SELECT pid FROM pg_stat_wal_receiver") is None)
            assert (await ledger.reserve("r", account="alice", amount=1)).status == "held"
            primary.kill()
            assert asked(standby, "SELECT pg_promote()")
            assert await ledger.get_reservation("r") is None
            assert (await ledger.verify()).sums.total == 100
