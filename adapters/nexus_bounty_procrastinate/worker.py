"""Goes through ranges, one run of the reconciler a job."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Final

import psycopg
from procrastinate.exceptions import ConnectorException

from nexus_bounty.events import RangeEnded
from nexus_bounty.events.log import logger_of
from nexus_bounty.events.stream import publish
from nexus_bounty.lifecycle import is_bounty_terminal
from nexus_bounty.models import BountyStatus
from nexus_bounty.operations import BountyOperations
from nexus_bounty.partition import Partition, encode_segment
from nexus_bounty.ports import BountyStore, sharing_names
from nexus_bounty.reconcile import Reconciler, ReconcileReport
from nexus_bounty.reconcile.counter import FindingCounter
from nexus_bounty.reconcile.range_memory import RangeMemory
from nexus_bounty.reconcile.reconciler import HISTORY_A_RUN, NAMES_AGE
from nexus_bounty.retry import RetryPolicy
from nexus_bounty_postgres.absence import Absence, is_away
from nexus_bounty_postgres.conninfo import conninfo_of, place_of
from nexus_bounty_procrastinate.connector import JobConnector, say_it_ourselves
from nexus_bounty_procrastinate.jobs import DEAD_AFTER, Jobs
from nexus_bounty_procrastinate.ranges import Range
from nexus_bounty_procrastinate.reconcilers import Reconcilers
from nexus_bounty_procrastinate.schema import prepare

logger = logger_of("nexus_bounty.worker")

PAGE: Final = 1_000
"""How many living bounties of one status a range holds: what a page of a listing does."""
SPLIT_EVERY: Final = timedelta(minutes=10)
"""How often it is seen whether a range has grown."""
LONGEST_PAUSE: Final = timedelta(minutes=15)
_LOOK: Final = "size of the range"
_MEANWHILE: Final = "Nothing is lost: this worker goes on by itself once it can be"
_LET_GO: Final = 5.0
_PATIENT: Final = RetryPolicy(attempts=sys.maxsize, base=0.5, cap=5.0)


class RangeWorker:
    """Goes through the ranges of some zones, side by side with other workers.

    `health` counts what this worker has done.

    Args:
        url: The database with the jobs.
        zones: The systems of each zone, by its id.
        concurrency: How many ranges to go through at once.
        every: How often to go through each.
        dead_after: After how long a silence of another worker its ranges are taken from it.
        grace: See `Reconciler`.
        page: How many living bounties of one status a range may hold; a fuller one is split.
        history: See `Reconciler.run_once`.

    Raises:
        InvalidInputError: libpq can make nothing of the URL.
    """

    def __init__(
        self,
        url: str,
        zones: Mapping[str, BountyOperations],
        *,
        concurrency: int = 4,
        every: timedelta = timedelta(minutes=1),
        dead_after: timedelta = DEAD_AFTER,
        grace: timedelta = timedelta(minutes=5),
        page: int = PAGE,
        history: int = HISTORY_A_RUN,
    ) -> None:
        self._conninfo = conninfo_of(url)
        self._zones = zones
        self._concurrency = concurrency
        self._every = every
        self._dead_after = dead_after
        self._page = page
        self._history = history
        self._back_off = RetryPolicy(
            base=every.total_seconds(), cap=max(LONGEST_PAUSE, every).total_seconds()
        )
        self.health = {"ranges": 0, "found": 0, "repaired": 0, "failed": 0}
        self._closed_until: dict[str, float] = {}
        self._closed = Counter[str]()
        self._reconcilers = Reconcilers(zones, grace)
        self._at_work: set[Reconciler] = set()
        self._resting = asyncio.Event()
        self._absence = Absence(f"PostgreSQL at {place_of(url)} with the jobs", _MEANWHILE)
        self.jobs = Jobs(
            JobConnector(self._conninfo, self._absence),
            {each: operations.services.place.server for each, operations in zones.items()},
            self.go_through,
            dead_after=dead_after,
            longest=max(LONGEST_PAUSE, every),
        )

    async def run(self) -> None:
        """Work until cancelled; what is under way then is left to others, from where it has got.

        A database that goes away meanwhile is waited for: once it is there again, this goes on.

        Raises:
            psycopg.Error: The database cannot be reached at first, or its tables not be made.
        """
        say_it_ourselves()
        await prepare(self._conninfo)
        while True:
            error: BaseException | None = None
            try:
                await self._work()
            except (ConnectorException, psycopg.Error) as failure:
                error = failure
            if _is_being_cancelled():
                raise asyncio.CancelledError from error
            if _was_given_up(error):
                logger.warning("other workers took this one for dead; it begins anew")
                continue
            if error is not None and not is_away(error):
                raise error.__cause__ or error from None  # the cause says what it was
            await self._until_there(error)

    async def _until_there(self, error: BaseException | None) -> None:
        """Wait for the database; procrastinate ends without a word when it has lost it."""
        self._absence.began((error and error.__cause__) or error or "its connection was lost")
        await asyncio.sleep(_PATIENT.base)
        await _PATIENT.persist(lambda: prepare(self._conninfo), is_away)
        self._absence.ended()

    async def _work(self) -> None:
        heartbeat = self._dead_after.total_seconds() / 5
        async with self.jobs.app.open_async():
            await self.jobs.ranges.begin(list(self._zones))
            ticking = asyncio.create_task(self.jobs.tick_forever())
            try:
                await self.jobs.app.run_worker_async(
                    queues=self.jobs.queues,
                    concurrency=self._concurrency,
                    install_signal_handlers=False,
                    delete_jobs="always",  # what is left of a range is in its row
                    fetch_job_polling_interval=heartbeat,
                    update_heartbeat_interval=heartbeat,
                    stalled_worker_timeout=self._dead_after.total_seconds(),
                    shutdown_graceful_timeout=0,
                )
            finally:
                await _let_go(ticking)

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Wait for the repairs under way to end, and let none begin while this is open."""
        self._resting.set()
        try:
            async with AsyncExitStack() as stack:
                for reconciler in [*self._at_work]:
                    await stack.enter_async_context(reconciler.at_rest())
                yield
        finally:
            self._resting.clear()

    async def go_through(self, zone_id: str, lo: str) -> None:
        """Do one job: go through a range, after what it holds too much of is split off.

        Raises:
            ConnectorException: The database did not answer.
        """
        ranges = self.jobs.ranges
        found = await ranges.get(zone_id, lo, split_every=SPLIT_EVERY)
        if found is None:
            return  # somebody has gone through it meanwhile
        if self._resting.is_set():
            await ranges.give_back(found)
            return
        if (pause := self._closed_until.get(zone_id, 0.0) - monotonic()) > 0:
            await ranges.give_back(found, due_in=timedelta(seconds=pause))
            return
        reconciler = None
        try:
            left = await self._split(found)
            if left is not None:
                found = left
                reconciler = await self._reconcilers.of(found)
                await self._run(found, reconciler)
        except BaseException as error:
            cursor = reconciler.cursor if reconciler else None
            due_in = self._every if isinstance(error, Exception) else timedelta()
            await asyncio.shield(ranges.give_back(found, due_in=due_in, cursor=cursor))
            raise

    async def _split(self, found: Range) -> Range | None:
        """What is left of a range once it holds no more than it should.

        `None` if that could not be seen: this was its run, then, and it failed. Or if another
        worker has split it meanwhile, which goes through it.
        """
        if not found.may_have_grown:
            return found
        services, began = self._zones[found.zone_id].services, monotonic()
        started, counter = services.clock(), FindingCounter(_LOOK, 0, observers=services.observers)
        try:
            with counter.requests:
                at, memory = await self._cut(found)
        except Exception as failure:  # noqa: BLE001 - the range, or its zone, is tried again later
            report = ReconcileReport(
                started_at=started,
                finished_at=services.clock(),
                dry_run=False,
                sweeps=[counter.report(failure)],
            )
            await self._ended(found, report, began)
            return None
        if at is None:
            await self.jobs.ranges.was_split(found)
            return found
        left = await self.jobs.ranges.split(found, at, memory)
        await self.jobs.plan()  # so that others begin with the rest
        return left

    async def _cut(self, found: Range) -> tuple[str | None, RangeMemory | None]:
        """Where to split a range, if it is to be, and what is remembered of what comes after.

        Raises:
            NexusError: It could not be seen (another store raises an error of its own).
        """
        names_since = asyncio.get_running_loop().time() - NAMES_AGE.total_seconds()
        store = sharing_names(self._zones[found.zone_id].services.store, names_since)
        at = await _end_of_page(store, found.partition, self._page)
        return at, await self._reconcilers.remembered_after(found, at) if at else None

    async def _run(self, found: Range, reconciler: Reconciler) -> None:
        began = monotonic()
        self._at_work.add(reconciler)
        try:
            report = await reconciler.run_once(history=self._history)
        finally:
            self._at_work.discard(reconciler)
        await self._ended(found, report, began, reconciler)

    async def _ended(
        self,
        found: Range,
        report: ReconcileReport,
        began: float,
        reconciler: Reconciler | None = None,
    ) -> None:
        """Write down and tell how a run went; without a reconciler it got nowhere."""
        again_in = self._pause(found, report)
        self._count(report)
        cursor, memory = found.cursor, found.memory
        if reconciler is not None:
            memory = await self._reconcilers.remembered(found, reconciler)
            cursor = reconciler.cursor
        await self.jobs.ranges.done(found, cursor, memory, report, again_in)
        services = self._zones[found.zone_id].services
        publish(
            services.observers,
            RangeEnded,
            found.zone_id,
            found.partition.lo,
            found.partition.hi,
            report.found,
            report.repaired,
            monotonic() - began,
            next((each.told for each in report.sweeps if each.error is not None), None),
            server=services.place.server,
        )

    def _count(self, report: ReconcileReport) -> None:
        self.health["ranges"] += 1
        self.health["found"] += report.found
        self.health["repaired"] += report.repaired
        self.health["failed"] += bool(report.errors)

    def _pause(self, found: Range, report: ReconcileReport) -> timedelta:
        """When to go through a range again; while the server is down, its whole zone waits."""
        zone_id = found.zone_id
        asked = sum(bool(each.requests or each.error) for each in report.sweeps)
        if not report.errors:
            if asked:
                self._closed_until.pop(zone_id, None)
                self._closed.pop(zone_id, None)
            return self._every
        closes = 2 * len(report.errors) > asked  # one that went by what is known proves nothing
        in_a_row = found.failed_in_a_row
        if closes:
            in_a_row = max(in_a_row, self._closed_before(zone_id))
        pause = self._back_off.pause(2 + in_a_row, self._every.total_seconds())
        if closes:
            self._closed_until[zone_id] = monotonic() + pause
        return timedelta(seconds=pause)

    def _closed_before(self, zone_id: str) -> int:
        """How often a zone was closed in a row before this time, of which several ranges tell."""
        if self._closed_until.get(zone_id, 0.0) <= monotonic():
            self._closed[zone_id] += 1
        return max(self._closed[zone_id] - 1, 0)


def _is_being_cancelled() -> bool:
    """Whether this task is to end: what ends it may have come to light as another error."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _let_go(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait for it no longer than an answer may take that does not come.

    Cancelled in a transaction it rolls that back, and waits for the answer to this; then it is
    cancelled once more.
    """
    for _ in range(2):
        task.cancel()
        done = (await asyncio.wait({task}, timeout=_LET_GO))[0]
        if done:
            return


def _was_given_up(error: BaseException | None) -> bool:
    """Whether others have removed this worker, and what it had, after a silence of it."""
    gone = psycopg.errors.ForeignKeyViolation, psycopg.errors.RaiseException
    return error is not None and isinstance(error.__cause__, gone)


async def _end_of_page(store: BountyStore, partition: Partition, page: int) -> str | None:
    """The id at which a range holds `page` living bounties; `None` if it holds no more.

    Those that have ended do not count: a run passes over a part of them only.
    """
    living = [status for status in BountyStatus if not is_bounty_terminal(status)]
    ends = [await _end_within(store, status, partition, page) for status in living]
    return min((end for end in ends if end is not None), key=encode_segment, default=None)


async def _end_within(
    store: BountyStore, status: BountyStatus, partition: Partition, page: int
) -> str | None:
    number, end = 0, ""
    async for bounty_id in store.walk_ids(status, partition=partition):
        if number == page:
            return end
        number, end = number + 1, bounty_id
    return None
