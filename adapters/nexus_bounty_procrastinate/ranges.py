"""The ranges that zones are divided into, and how far each has got, in a table."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import msgspec
import psycopg
from procrastinate import PsycopgConnector

from nexus_bounty.events.types import Place
from nexus_bounty.partition import Partition
from nexus_bounty.reconcile import ReconcileReport
from nexus_bounty.reconcile.range_memory import RangeMemory


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """One range of a zone.

    Attributes:
        zone_id: The zone.
        partition: Its bounties.
        cursor: How far its sweeps have got, see `Reconciler.cursor`.
        memory: What is remembered of it, if anything is.
        failed_in_a_row: How many of its last runs failed.
        may_have_grown: Whether it is time to see whether it holds too much.
    """

    zone_id: str
    partition: Partition
    cursor: Mapping[str, str | None]
    memory: RangeMemory | None
    failed_in_a_row: int
    may_have_grown: bool


def lock_of(place: Place, lo: str) -> str:
    """The lock that all jobs of a range have: no address has a blank, and no zone a slash."""
    return _LOCK + f"{place.server} {place.zone_id}/{lo}"


class Ranges:
    """The table of ranges, for all workers on one database.

    Zones of one name on two servers are two, so all that is asked of the table names both.

    Args:
        connector: The database.
        servers: The address of the server that each zone is on, by the zone's id.
        longest: How long a range is left alone at most.
    """

    def __init__(
        self,
        connector: PsycopgConnector,
        servers: Mapping[str, str],
        longest: timedelta = timedelta(minutes=15),
    ) -> None:
        self._connector = connector
        self._servers = servers
        self._longest = longest

    async def begin(self, zone_ids: Sequence[str]) -> None:
        """See to it that each zone has ranges: at first one, which is all of it.

        Raises:
            ConnectorException: The database did not do it.
        """
        await self._run(_BEGIN, **self._places(zone_ids))

    async def look(self) -> None:
        """Read from the table, to see that it can be.

        Raises:
            ConnectorException: It cannot, or the connections to it are not open.
        """
        await self._all(_LOOK)

    @asynccontextmanager
    async def transaction(self, silent: timedelta) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection in a transaction, which ends without effect after a silence so long.

        Else what a host has locked that is cut off would be locked for hours.

        Raises:
            psycopg.Error: The database did not do it.
        """
        async with self._connector.pool.connection() as connection, connection.transaction():
            bound = f"{math.ceil(silent.total_seconds()) or 1}s"
            await connection.execute(_SILENT, {"bound": bound})
            yield connection

    @asynccontextmanager
    async def alone(self, zone_ids: Sequence[str], silent: timedelta) -> AsyncIterator[list[str]]:
        """Those of the zones in which nobody else is alone; until the end nobody else will be.

        A silence so long ends it, too.

        Raises:
            psycopg.Error: The database did not do it.
        """
        async with self.transaction(silent) as connection:
            values = {"key": _TICKING, **self._places(zone_ids)}
            rows = await (await connection.execute(_ALONE, values)).fetchall()
            yield [zone_id for zone_id, is_alone in rows if is_alone]

    async def due(
        self,
        zone_ids: Sequence[str],
        *,
        again_after: timedelta,
        most: int | None = None,
        connection: psycopg.AsyncConnection[Any] | None = None,
    ) -> list[tuple[str, str]]:
        """The zones and beginnings of the ranges that are due, each told to one caller.

        At most `most`, if given; in the transaction that `connection` is in, if given. One that
        nobody has gone through `again_after` that is due again.

        Raises:
            ConnectorException: The database did not do it.
        """
        values = {
            **self._places(zone_ids),
            "again": again_after,
            "most": most,
            "longest": self._longest,
        }
        if connection is None:
            rows = await self._all(_DUE, **values)
        else:
            rows = await self._connector.execute_query_all_async_with_connection(
                connection, _DUE, **values
            )
        return [(row["zone_id"], row["lo"]) for row in rows]

    async def free_without_job(self, zone_ids: Sequence[str]) -> None:
        """Let ranges be due again that are with a job, and have none: it failed, or is lost.

        Raises:
            ConnectorException: The database did not do it.
        """
        await self._run(_FREE, **self._places(zone_ids), lock=_LOCK)

    async def doubt_heartbeats(self, silent: timedelta) -> None:
        """Believe no worker that it lived later than now, by more than so long a silence.

        The clock of the database was wrong when it said so. One that has died since would keep its
        ranges until then.

        Raises:
            ConnectorException: The database did not do it.
        """
        await self._run(_NOT_AHEAD, silent=silent)

    async def get(self, zone_id: str, lo: str, *, split_every: timedelta) -> Range | None:
        """The range that begins after `lo`, if there is one and it is due.

        Raises:
            ConnectorException: The database did not do it.
        """
        rows = await self._all(
            _GET, **self._range(zone_id, lo), every=split_every, longest=self._longest
        )
        for row in rows:
            return Range(
                zone_id=zone_id,
                partition=Partition(lo, row["hi"]),
                cursor=row["cursor"],
                memory=_memory(row["memory"]),
                failed_in_a_row=row["failed_in_a_row"],
                may_have_grown=row["may_have_grown"],
            )
        return None

    async def split(self, found: Range, at: str, memory: RangeMemory | None = None) -> Range | None:
        """Make a range of its own of what comes after `at`; returns what is left of this one.

        Of the new one `memory` is remembered. `None` if another worker has split it meanwhile,
        maybe elsewhere: what is left then is another range than the caller would go through.

        Raises:
            ConnectorException: The database did not do it.
        """
        first, rest = found.partition.split(at)
        values = {**self._range(found.zone_id, first.lo), "hi": rest.hi, "at": at}
        mine = found.memory and found.memory.between_walks()
        if not await self._all(_SPLIT, **values, mine=_json(mine), its=_json(memory)):
            return None
        return msgspec.structs.replace(found, partition=first, cursor={}, memory=mine)

    async def was_split(self, found: Range) -> None:
        """Note that the range was looked at, and holds no more than it should.

        Raises:
            ConnectorException: The database did not do it.
        """
        await self._run(_WAS_SPLIT, **self._range(found.zone_id, found.partition.lo))

    async def done(
        self,
        found: Range,
        cursor: Mapping[str, str | None],
        memory: RangeMemory | None,
        report: ReconcileReport,
        again_in: timedelta,
    ) -> None:
        """Write down how a run went, what is remembered of it, and when the next is due.

        Raises:
            ConnectorException: The database did not do it.
        """
        await self._run(
            _DONE,
            **self._range(found.zone_id, found.partition.lo),
            cursor=_json(cursor),
            memory=_json(memory),
            found=report.found,
            repaired=report.repaired,
            left=report.unrepaired,
            error=report.errors[0] if report.errors else None,
            again=again_in,
        )

    async def give_back(
        self,
        found: Range,
        *,
        due_in: timedelta = timedelta(),
        cursor: Mapping[str, str | None] | None = None,
    ) -> None:
        """Leave a range to whoever takes it next, from where its run has got.

        Of what it did on the way there nothing is remembered.

        Raises:
            ConnectorException: The database did not do it.
        """
        await self._run(
            _GIVE_BACK,
            **self._range(found.zone_id, found.partition.lo),
            due=due_in,
            cursor=None if cursor is None else _json(cursor),
            memory=_json(found.memory and found.memory.between_walks()),
        )

    def _places(self, zone_ids: Sequence[str]) -> dict[str, list[str]]:
        """The zones as statements name them."""
        return {"zones": list(zone_ids), "servers": [self._servers[each] for each in zone_ids]}

    def _range(self, zone_id: str, lo: str) -> dict[str, str]:
        """A range as statements name it."""
        return {"server": self._servers[zone_id], "zone": zone_id, "lo": lo}

    async def _run(self, query: str, **values: Any) -> None:
        await self._connector.execute_query_async(query, **values)

    async def _all(self, query: str, **values: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._connector.execute_query_all_async(query, **values)
        return rows


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _memory(value: object) -> RangeMemory | None:
    """What is in a row; nothing, if another release has put it there."""
    try:
        return None if value is None else msgspec.convert(value, RangeMemory)
    except msgspec.ValidationError:
        return None


_LOCK: Final = "nexus-bounty:"
_TICKING: Final = 0x4E585254  # "NXRT"
_ALONE: Final = """
    SELECT id, pg_try_advisory_xact_lock(%(key)s, hashtext(server || ' ' || id))
    FROM unnest(%(servers)s::text[], %(zones)s::text[]) AS zone (server, id)
"""
"""Zones whose names are alike for the lock wait for each other, and no more."""
_SILENT: Final = "SELECT set_config('idle_in_transaction_session_timeout', %(bound)s, true)"
_LOOK: Final = "SELECT FROM nexus_bounty_ranges LIMIT 1"
_BEGIN: Final = """
    INSERT INTO nexus_bounty_ranges (server, zone_id, lo)
    SELECT zone.server, zone.id, ''
    FROM unnest(%(servers)s::text[], %(zones)s::text[]) AS zone (server, id)
    WHERE NOT EXISTS (
        SELECT FROM nexus_bounty_ranges AS range
        WHERE range.server = zone.server AND range.zone_id = zone.id AND range.lo = ''
    )
    ON CONFLICT DO NOTHING
"""
"""Of a row that is there it has to be seen first: a conflict waits for whoever changes the row."""
_DUE: Final = """
    UPDATE nexus_bounty_ranges SET deferred_until = now() + %(again)s::interval
    WHERE (server, zone_id, lo) IN (
        SELECT server, zone_id, lo FROM nexus_bounty_ranges
        WHERE (server, zone_id) IN (
            SELECT * FROM unnest(%(servers)s::text[], %(zones)s::text[])
        ) AND (
            deferred_until <= now()
            OR deferred_until > now() + interval '1 minute' + %(again)s::interval
        )
        AND (due_at <= now() OR due_at > now() + interval '1 day' + %(longest)s::interval)
        LIMIT %(most)s
        FOR UPDATE SKIP LOCKED
    )
    RETURNING zone_id, lo
"""
"""What is due in so far a future was put there by a clock of the database that was wrong.

So was what is with a job for longer than that can be; what began a moment later than we did has put
off its ranges by that much more.
"""
_FREE: Final = """
    UPDATE nexus_bounty_ranges SET deferred_until = '-infinity'
    WHERE (server, zone_id, lo) IN (
        SELECT server, zone_id, lo FROM nexus_bounty_ranges
        WHERE (server, zone_id) IN (
            SELECT * FROM unnest(%(servers)s::text[], %(zones)s::text[])
        ) AND deferred_until > now() AND NOT EXISTS (
            SELECT FROM procrastinate_jobs AS job
            WHERE job.status IN ('todo', 'doing')
            AND job.lock = %(lock)s || server || ' ' || zone_id || '/' || lo
        )
        FOR UPDATE SKIP LOCKED
    )
"""
"""What somebody is at just now is looked at again soon; several who do this wait for nobody."""
_NOT_AHEAD: Final = """
    UPDATE procrastinate_workers SET last_heartbeat = now()
    WHERE last_heartbeat > now() + %(silent)s::interval
"""
"""Those that live say so again in a moment; of the others it is the last word."""
_GET: Final = """
    SELECT hi, cursor, memory, failed_in_a_row,
        split_at + %(every)s::interval <= now() OR split_at > now() AS may_have_grown
    FROM nexus_bounty_ranges
    WHERE server = %(server)s AND zone_id = %(zone)s AND lo = %(lo)s
    AND (due_at <= now() OR due_at > now() + interval '1 day' + %(longest)s::interval)
"""
_SPLIT: Final = """
    WITH first AS (
        UPDATE nexus_bounty_ranges SET
            hi = %(at)s, cursor = '{}', memory = %(mine)s::jsonb, split_at = now()
        WHERE server = %(server)s AND zone_id = %(zone)s AND lo = %(lo)s
        AND hi IS NOT DISTINCT FROM %(hi)s::text
        RETURNING server, zone_id
    )
    INSERT INTO nexus_bounty_ranges (server, zone_id, lo, hi, memory)
    SELECT server, zone_id, %(at)s, %(hi)s, %(its)s::jsonb FROM first
    RETURNING lo
"""
_WAS_SPLIT: Final = """
    UPDATE nexus_bounty_ranges SET split_at = now()
    WHERE server = %(server)s AND zone_id = %(zone)s AND lo = %(lo)s
"""
_DONE: Final = """
    UPDATE nexus_bounty_ranges SET
        cursor = %(cursor)s::jsonb,
        memory = %(memory)s::jsonb,
        due_at = now() + %(again)s::interval,
        deferred_until = '-infinity',
        runs = runs + 1,
        found = found + %(found)s,
        repaired = repaired + %(repaired)s,
        left_at_last = %(left)s,
        error = %(error)s::text,
        failed_in_a_row = CASE WHEN %(error)s::text IS NULL THEN 0 ELSE failed_in_a_row + 1 END,
        succeeded_at = CASE WHEN %(error)s::text IS NULL THEN now() ELSE succeeded_at END
    WHERE server = %(server)s AND zone_id = %(zone)s AND lo = %(lo)s
"""
_GIVE_BACK: Final = """
    UPDATE nexus_bounty_ranges SET
        due_at = now() + %(due)s::interval,
        deferred_until = '-infinity',
        cursor = COALESCE(%(cursor)s::jsonb, cursor),
        memory = CASE WHEN %(cursor)s::jsonb IS NULL THEN memory ELSE %(memory)s::jsonb END
    WHERE server = %(server)s AND zone_id = %(zone)s AND lo = %(lo)s
"""
