"""The jobs, and who defers them: a planner for what is due, and a retrier for what was abandoned.

Each worker does both every two seconds, however busy it is, one of them at a time: by the time that
has passed, not by a clock, which may be set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, UniqueViolation
from procrastinate.jobs import Status

from nexus_bounty.events.log import logger_of
from nexus_bounty_procrastinate.ranges import Ranges, lock_of

logger = logger_of("nexus_bounty.worker")

QUEUE: Final = "nexus-bounty"
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


class Jobs:
    """The jobs of one worker.

    Args:
        connector: The database.
        zone_ids: The zones that are seen to.
        go_through: Does the work of one job.
        dead_after: After how long a silence of a worker its jobs are taken again.
        longest: How long a range is left alone at most.
    """

    def __init__(
        self,
        connector: PsycopgConnector,
        zone_ids: Sequence[str],
        go_through: GoThrough,
        *,
        dead_after: timedelta = DEAD_AFTER,
        longest: timedelta = timedelta(minutes=15),
    ) -> None:
        self.app = App(connector=connector)
        self.ranges = Ranges(connector, longest)
        self._zone_ids = zone_ids
        self._dead_after = dead_after
        self._range = self.app.task(name="nexus_bounty.range", queue=QUEUE)(go_through)

    async def tick_forever(self) -> None:
        """Defer what is due and what was abandoned, every two seconds, until cancelled."""
        while True:
            try:
                await self.tick()
            except (ConnectorException, psycopg.Error) as error:
                logger.info("what is due cannot be seen, the next look is soon: %s", why(error))
            await asyncio.sleep(TICK.total_seconds())

    async def tick(self) -> None:
        """Defer what is due and what was abandoned, unless another worker is at it just now.

        Raises:
            ConnectorException: The database did not do it.
            psycopg.Error: Likewise.
        """
        async with self.ranges.alone(self._dead_after) as is_alone:
            if is_alone:
                await self.plan()
                await self.retry_abandoned()

    async def plan(self) -> None:
        """Defer a job for each range that is due.

        A range is marked in the transaction that defers its job. So a planner that ends in between
        leaves no range that is marked and has none.

        Raises:
            ConnectorException: The database did not do it.
            psycopg.Error: Likewise.
        """
        await self.ranges.begin(self._zone_ids)
        planned = AT_ONCE
        while planned == AT_ONCE:
            async with self.ranges.transaction(self._dead_after) as connection:
                due = await self.ranges.due(
                    self._zone_ids, again_after=AGAIN_AFTER, most=AT_ONCE, connection=connection
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
        lock = lock_of(zone_id, lo)
        job = self._range.configure(lock=lock, queueing_lock=lock, connection=connection)
        with suppress(AlreadyEnqueued):
            async with connection.transaction() if connection else nullcontext():
                await job.defer_async(zone_id=zone_id, lo=lo)

    async def retry_abandoned(self) -> None:
        """Take the jobs again whose workers have died, and free ranges whose jobs are lost.

        Raises:
            ConnectorException: The database did not do it.
        """
        await self.ranges.free_without_job(self._zone_ids)
        await self.ranges.doubt_heartbeats(self._dead_after)
        silent = self._dead_after.total_seconds()
        manager = self.app.job_manager
        for job in await manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=silent):
            if job.id is not None:
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
