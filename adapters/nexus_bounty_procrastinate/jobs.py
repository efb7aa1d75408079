"""The jobs, and who defers them: a planner for what is due, and a retrier for what was abandoned.

Each worker does both for its zones every two seconds, however busy it is, one of them at a time in
each zone: by the time that has passed, not by a clock, which may be set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, UniqueViolation
from procrastinate.jobs import Status

from nexus_bounty.events.log import logger_of
from nexus_bounty.events.types import Place
from nexus_bounty_procrastinate.ranges import Ranges, lock_of

logger = logger_of("nexus_bounty.worker")

TASK: Final = "nexus_bounty.range"
TICK: Final = timedelta(seconds=2)
"""How often what is due is deferred, and what was abandoned."""
DEAD_AFTER: Final = timedelta(seconds=10)
"""After how long a silence its jobs are taken again."""
AGAIN_AFTER: Final = timedelta(hours=1)
"""How long a range may be with a job that nobody hears of, before another is deferred for it."""
AT_ONCE: Final = 100
"""How many ranges one transaction defers jobs for: what a planner that dies had begun with."""
_AT_ONCE_AGAIN: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""When a job is due that is taken again: by the clock of a worker it might be due next month."""

GoThrough = Callable[[str, str], Awaitable[None]]
"""Goes through the range of a zone that begins after an id."""


def queue_of(place: Place) -> str:
    """The queue of a zone: of zones that a worker does not see to, it gets no job.

    It is short, as PostgreSQL tells of new jobs by a name of 63 bytes at most.
    """
    return "nexus-bounty-" + sha256(f"{place.server} {place.zone_id}".encode()).hexdigest()[:16]


class Jobs:
    """The jobs of one worker.

    Args:
        connector: The database.
        servers: The address of the server that each zone is on that is seen to, by the zone's id.
        go_through: Does the work of one job.
        dead_after: After how long a silence of a worker its jobs are taken again.
        longest: How long a range is left alone at most.
    """

    def __init__(
        self,
        connector: PsycopgConnector,
        servers: Mapping[str, str],
        go_through: GoThrough,
        *,
        dead_after: timedelta = DEAD_AFTER,
        longest: timedelta = timedelta(minutes=15),
    ) -> None:
        self.app = App(connector=connector)
        self.ranges = Ranges(connector, servers, longest)
        self._places = {each: Place(server, each) for each, server in servers.items()}
        self._queues = {each: queue_of(place) for each, place in self._places.items()}
        self._dead_after = dead_after
        self._range = self.app.task(name=TASK)(go_through)

    @property
    def queues(self) -> list[str]:
        """Those of the zones that are seen to."""
        return [*self._queues.values()]

    async def look(self) -> None:
        """Read from the tables of jobs, to see that they can be.

        Raises:
            ConnectorException: They cannot, or are not asked just now, as while the database is
                waited for.
        """
        await self.ranges.look()

    async def tick_forever(self) -> None:
        """Defer what is due and what was abandoned, every two seconds, until cancelled."""
        while True:
            try:
                await self.tick()
            except (ConnectorException, psycopg.Error) as error:
                logger.info("what is due cannot be seen, the next look is soon: %s", why(error))
            except Exception:  # else the worker would go on, and plan nothing any more
                logger.exception("what is due was not seen to, the next look is soon")
            await asyncio.sleep(TICK.total_seconds())

    async def tick(self) -> None:
        """Defer what is due and what was abandoned in zones that no other worker is at just now.

        Raises:
            ConnectorException: The database did not do it.
            psycopg.Error: Likewise.
        """
        async with self.ranges.alone([*self._places], self._dead_after) as zone_ids:
            if zone_ids:
                await self.plan(zone_ids)
                await self.retry_abandoned(zone_ids)

    async def plan(self, zone_ids: Sequence[str] | None = None) -> None:
        """Defer a job for each range that is due, of these zones or all that are seen to.

        A range is marked in the transaction that defers its job. So a planner that ends in between
        leaves no range that is marked and has none.

        Raises:
            ConnectorException: The database did not do it.
            psycopg.Error: Likewise.
        """
        zone_ids = [*self._places] if zone_ids is None else zone_ids
        await self.ranges.begin(zone_ids)
        planned = AT_ONCE
        while planned == AT_ONCE:
            async with self.ranges.transaction(self._dead_after) as connection:
                due = await self.ranges.due(
                    zone_ids, again_after=AGAIN_AFTER, most=AT_ONCE, connection=connection
                )
                for zone_id, lo in due:
                    await self.defer(zone_id, lo, connection)
            planned = len(due)

    async def defer(
        self, zone_id: str, lo: str, connection: psycopg.AsyncConnection[Any] | None = None
    ) -> None:
        """Defer a job for one range, unless one waits already; two never run at once.

        In the transaction that `connection` is in, if it is given.

        Raises:
            ConnectorException: The database did not do it.
        """
        lock, queue = lock_of(self._places[zone_id], lo), self._queues[zone_id]
        job = self._range.configure(
            queue=queue, lock=lock, queueing_lock=lock, connection=connection
        )
        with suppress(AlreadyEnqueued):
            async with connection.transaction() if connection else nullcontext():
                await job.defer_async(zone_id=zone_id, lo=lo)

    async def retry_abandoned(self, zone_ids: Sequence[str] | None = None) -> None:
        """Take the jobs again whose workers have died, and free ranges whose jobs are lost.

        Those of these zones, or all that are seen to.

        Raises:
            ConnectorException: The database did not do it.
        """
        zone_ids = [*self._places] if zone_ids is None else zone_ids
        queues = {self._queues[each] for each in zone_ids}
        await self.ranges.free_without_job(zone_ids)
        await self.ranges.doubt_heartbeats(self._dead_after)
        silent = self._dead_after.total_seconds()
        manager = self.app.job_manager
        for job in await manager.get_stalled_jobs(task_name=TASK, seconds_since_heartbeat=silent):
            if job.id is not None and job.queue in queues:
                await self._take_again(job.id)

    async def _take_again(self, job_id: int) -> None:
        manager = self.app.job_manager
        try:
            await manager.retry_job_by_id_async(job_id, retry_at=_AT_ONCE_AGAIN)
        except UniqueViolation:  # another job waits for the same range, and for this one to end
            await manager.finish_job_by_id_async(job_id, Status.FAILED, delete_job=True)


def why(error: Exception) -> str:
    """What a database had against it, in a line; the connector's own words say nothing."""
    cause = error.__cause__ if isinstance(error, ConnectorException) else error
    return str(cause).partition("\n")[0]
