"""Runs the sweeps, once or for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from nexus_bounty.events.tracking import level_triggered
from nexus_bounty.keyed_locks import KeyedLocks
from nexus_bounty.operations import BountyOperations
from nexus_bounty.operations.services import Services
from nexus_bounty.outcomes import Evidence, InvalidInputError, PreCommitError, Proof, said_by
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.ports import JOURNAL_KEPT, LeavesFiles, cleaning_up, sharing_names
from nexus_bounty.reconcile.claims import AbandonedBounties, OrphanClaims
from nexus_bounty.reconcile.counter import FindingCounter, Progress
from nexus_bounty.reconcile.deadlines import PastDeadlines
from nexus_bounty.reconcile.doubts import OpenOperations
from nexus_bounty.reconcile.drafts import StuckDrafts
from nexus_bounty.reconcile.escrow import MissingEscrow
from nexus_bounty.reconcile.markers import IndexMarkers
from nexus_bounty.reconcile.range_keeper import Beginning, RangeKeeper
from nexus_bounty.reconcile.report import Finding, Health, ReconcileReport, SweepReport
from nexus_bounty.reconcile.reservations import OrphanReservations
from nexus_bounty.reconcile.rewards import MissingRewards
from nexus_bounty.reconcile.settlements import CompletedNotSettled, PendingSettlements
from nexus_bounty.reconcile.sweep import PAGE, UNTRUSTED, Problem, Scope, Sweep
from nexus_bounty.reconcile.sweep_state import SweepMemory, SweepState
from nexus_bounty.retry import RetryPolicy
from nexus_bounty.validation import check_limit, check_span

Cursor = Mapping[str, str | None]
"""Behind which id or path each sweep goes on; `None` where it is through."""
OnStep = Callable[[str, str], None]
"""Is told the name of a sweep and the id or path that it has got to."""

SWEEPS: Final[tuple[Sweep, ...]] = (
    StuckDrafts(),
    PendingSettlements(),
    CompletedNotSettled(),
    PastDeadlines(),
    OrphanReservations(),
    MissingEscrow(),
    OrphanClaims(),
    AbandonedBounties(),
    OpenOperations(),
    MissingRewards(),  # it and the next go through everything there ever was: the others first
    IndexMarkers(),
)

_AHEAD: Final = (
    "it was last touched at {}, in the future: a clock is wrong, and nobody can tell whether its "
    "operation is still running"
)

MONEY_SWEEPS: Final[tuple[Sweep, ...]] = (
    StuckDrafts(),
    PendingSettlements(),
    CompletedNotSettled(),
    OrphanReservations(),
    MissingEscrow(),
)
"""Those that compare the ledger with the bounties."""

LASTING: Final = (MissingRewards.name, IndexMarkers.name)
"""Those whose closed days say all that they remember: another process may go by them."""

_RUN: Final = "run"  # which goes on from what the one before has noted
_STEP: Final = "step"

LEFTOVERS_EVERY: Final = timedelta(hours=1)
"""How often one of many runs looks for what commits left behind anywhere in the zone."""

NAMES_AGE: Final = timedelta(minutes=1)
"""How old names may be that ranges share, by which each goes; no older than the grace, either."""

HISTORY_A_RUN: Final = 5_000
"""How many settled bounties, and how many files of the index, one of many runs looks at."""


class Reconciler:
    """Brings everything that an operation left half-way to its right end.

    It remembers what need not be looked at again, so the same reconciler is cheaper to run again
    than a new one. It holds one page of bounties, reservations or leases at a time.

    Where a server lists all names of a directory, however few are wanted, the sweeps of a run share
    a listing. So a bounty that is claimed after the claimed ones were listed and before the open
    ones were is in neither, and a run may miss it. The next one does not: it goes by no name that
    was listed before this one ended.

    Args:
        operations: The systems to work on are those of these operations.
        grace: What was touched less than this ago is left alone: its operation may still be
            running. Must be longer than an operation can take.
        dry_run: Only find, change nothing.
        sweeps: Which sweeps to run, in order.
        partition: Look only at bounties with these ids, and at what belongs to them: another run
            may see to the others at the same time. What belongs to no bounty goes with the first.
        cursor: Where another reconciler was interrupted: the first run goes on from there.
        page: How many bounties, reservations or leases to look at together.
        keep: How many findings of a sweep a report holds, of those repaired and of those left;
            all are counted, and `progress` is told of all.
        names_age: How old the names may be by which a run goes, if they were listed for another
            range in this process; none by default. No older than `grace` in any case, nor than the
            last run.

    Raises:
        TypeError: `operations` are none.
        InvalidInputError: `cursor` names a sweep that there is not, or a number or a length of time
            cannot be.
    """

    def __init__(
        self,
        operations: BountyOperations,
        *,
        grace: timedelta = timedelta(minutes=5),
        dry_run: bool = False,
        sweeps: Sequence[Sweep] = SWEEPS,
        partition: Partition = EVERYTHING,
        cursor: Cursor | None = None,
        page: int = PAGE,
        keep: int = 1_000,
        names_age: timedelta = timedelta(),
    ) -> None:
        if not isinstance(operations, BountyOperations):
            raise TypeError(f"operations must be BountyOperations, not {type(operations).__name__}")
        check_span("grace", grace)
        check_span("names_age", names_age)
        check_limit("keep", keep)
        check_limit("page", page or -1)  # none at all would never come to an end
        services = operations.services
        self._services = replace(  # what one sweep leaves behind is not for the next to find
            services,
            store=cleaning_up(services.store, later=False),
            claims=cleaning_up(services.claims, later=False),
        )
        self._grace = grace
        self._dry_run = dry_run
        self._sweeps = sweeps
        self._partition = partition
        self._page = page
        self._keep = keep
        self._names_age = min(names_age, grace)
        self._names_since = 0.0
        self._states = {sweep.name: SweepState() for sweep in sweeps}
        self._interrupted = False
        self._locks = KeyedLocks()
        self.go_on_from(cursor or {})
        begins_as_told = dry_run or bool(cursor)
        self._keeper = None if begins_as_told else RangeKeeper.of(self._services, partition)
        self._zone_seen_to: datetime | None = None
        self.health = Health()

    @property
    def cursor(self) -> dict[str, str | None]:
        """How far the sweeps have got that go through a whole history; empty between whole runs.

        Keep it when a run is interrupted, and give it to a new reconciler to go on from there. A
        sweep that is through has `None`.
        """
        return {
            name: None if state.is_through else state.after
            for name, state in self._states.items()
            if state.is_through or state.after
        }

    @property
    def memory(self) -> dict[str, SweepMemory]:
        """What another reconciler of the range may go by that goes on from `cursor`, by sweep."""
        return {name: self._states[name].memory for name in LASTING if name in self._states}

    def go_on_from(self, cursor: Cursor, memory: Mapping[str, SweepMemory] | None = None) -> None:
        """Have the next run go on from where another reconciler has got.

        With its `memory` the run also spares what that one would have spared.

        Raises:
            InvalidInputError: `cursor` names a sweep that there is not.
        """
        for name in cursor:
            if name not in self._states:
                raise InvalidInputError("cursor", name, "must name a sweep")
        self._interrupted = bool(cursor)
        for name, state in self._states.items():
            after = cursor.get(name, "")
            if (state.after, state.is_through) != (after or "", after is None):
                state.days.give_up()
            state.after, state.is_through = after or "", after is None
            if memory is not None and name in memory and name in LASTING:
                state.recall(memory[name])

    async def run_once(
        self,
        progress: Progress | None = None,
        *,
        on_step: OnStep | None = None,
        history: int | None = None,
    ) -> ReconcileReport:
        """Run every sweep once; never raises for what a sweep runs into, but reports it.

        After a run that was interrupted, it does the rest of that one.

        Args:
            progress: Is told of each finding.
            on_step: Is told which sweep is at work, and how far it has got.
            history: What is under way is looked at by each run. Of what is long past, look only
                at so many settled bounties, for rewards that are missing, and at so many files,
                for markers that are wrong; the next run goes on after them. All if not given.

        Raises:
            PreCommitError: The reconciler, or what it works with, belongs to another event loop.
        """
        async with self._my(_RUN):
            whole = history is None
            if whole and not self._interrupted:
                self._begin_again()
            self._interrupted = whole
            report = await self._run_all(history, progress, on_step)
            self._interrupted = False
            self._begin_again(only_finished=not whole)
            return report

    async def run_until_clean(self, most: int = 10) -> ReconcileReport:
        """Run until a run finds nothing to repair, at most `most` times; returns the last run."""
        for _ in range(most):
            report = await self.run_once()
            if not report.repaired and not report.errors:
                break
        return report

    async def run_forever(
        self,
        every: timedelta = timedelta(minutes=1),
        *,
        at_most: timedelta = timedelta(minutes=15),
        on_report: Callable[[ReconcileReport], None] | None = None,
        history: int | None = HISTORY_A_RUN,
    ) -> None:
        """Run until cancelled: `every` so often, and while runs fail ever more rarely.

        The pause after a run that failed is drawn from `every` up to a bound that doubles with each
        such run, to `at_most`: so those that failed with one server do not all come back at once.
        Each run looks at `history` of what is long past, see `run_once`. What it remembers of that
        is kept where the journal is, if that can be, so that another process begins where this one
        has got; not by one that changes nothing, or was given a cursor.
        """
        usual = every.total_seconds()
        back_off = RetryPolicy(base=usual, cap=max(at_most.total_seconds(), usual))
        while True:
            if self._keeper is not None:
                await self._begin_as(await self._keeper.look())
            report = await self.run_once(history=history)
            if self._keeper is not None:
                await self._keeper.keep(self.cursor, self.memory)
            if on_report is not None:
                on_report(report)
            await asyncio.sleep(back_off.pause(1 + self.health.failed_in_a_row, usual))

    def _my(self, lock: str) -> asyncio.Lock:
        """The lock of that name, in the event loop in which the reconciler is used.

        Raises:
            PreCommitError: This is another one; nothing was done.
        """
        if why := self._services.why_not_here():
            raise PreCommitError(
                f"nothing was done: {why}", evidence=Evidence(proof=Proof.NEVER_SENT)
            )
        return self._locks.of(lock)

    async def _begin_as(self, told: Beginning | None) -> None:
        if told is None:
            return
        async with self._my(_RUN):
            self._states = {sweep.name: SweepState() for sweep in self._sweeps}
            if told.cursor.keys() <= self._states.keys():  # else it is of another release
                self.go_on_from(told.cursor, told.memory)

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Wait for the repair under way to end, and let none begin while this is open.

        A run that is cancelled meanwhile leaves nothing half-way for the next one.
        """
        async with self._my(_STEP):
            yield

    async def _run_all(
        self, room: int | None, progress: Progress | None, on_step: OnStep | None
    ) -> ReconcileReport:
        started, loop = self._services.clock(), asyncio.get_running_loop()
        self._names_since = max(self._names_since, loop.time() - self._names_age.total_seconds())
        reports = [await self._run(sweep, room, progress, on_step) for sweep in self._sweeps]
        if not self._dry_run:
            async with self._my(_STEP):
                reports.append(await self._collect(progress, whole=room is None))
        self._names_since = loop.time()  # the next run sees what this one could not
        report = ReconcileReport(
            started_at=started,
            finished_at=self._services.clock(),
            dry_run=self._dry_run,
            sweeps=reports,
        )
        self.health = _after(self.health, report)
        return report

    def _begin_again(self, *, only_finished: bool = False) -> None:
        for state in self._states.values():
            if state.is_through or not only_finished:
                state.begin_again()

    async def _run(
        self,
        sweep: Sweep,
        room: int | None,
        progress: Progress | None,
        on_step: OnStep | None,
    ) -> SweepReport:
        counter = self._counter(sweep.name, progress)
        state = self._states[sweep.name]
        if state.is_through:
            return counter.report()  # before the run was interrupted
        on_page = partial(on_step, sweep.name) if on_step else None
        scope = replace(self._scope(), state=state, page=self._page, room=room, on_page=on_page)
        try:
            if on_page is not None:
                on_page("")
            with counter.requests:
                async for problem in sweep.find(scope):
                    await self._settle(counter, problem, scope)
        except Exception as failure:  # noqa: BLE001 - one sweep must not stop the others
            return counter.report(failure)
        return counter.report()

    def _scope(self) -> Scope:
        services = self._services
        if self._grace:  # else what was written a moment ago is not to be missed
            services = replace(
                services,
                store=sharing_names(services.store, self._names_since),
                claims=sharing_names(services.claims, self._names_since),
            )
        return Scope(services, self._grace, services.clock(), self._partition)

    def _counter(self, sweep: str, progress: Progress | None) -> FindingCounter:
        return FindingCounter(sweep, self._keep, progress, self._services.observers)

    async def _settle(self, counter: FindingCounter, problem: Problem, scope: Scope) -> None:
        """Repair one problem, unless it is to be left alone."""
        if scope.may_be_running(problem.touched):
            counter.add_young()
            return
        finding = Finding(sweep=counter.sweep, subject=problem.subject, problem=problem.what)
        counter.found(finding)
        reason = self._left_alone(problem, scope)
        if problem.repair is None or reason is not None:
            counter.add(msgspec.structs.replace(finding, left=reason))
            return
        try:
            async with self._my(_STEP):
                with level_triggered():
                    repaired = await problem.repair()
            counter.add(msgspec.structs.replace(finding, repaired=repaired))
        except Exception as failure:  # noqa: BLE001 - it is found again by the next run
            why = said_by(failure)
            counter.add(msgspec.structs.replace(finding, left=why, failed=True), failure)

    def _left_alone(self, problem: Problem, scope: Scope) -> str | None:
        """Why a problem is not to be repaired, if it is not."""
        if problem.touched is not None and scope.is_ahead(problem.touched):
            return _AHEAD.format(problem.touched.isoformat())
        if problem.repair is None:
            return problem.reason
        if problem.about is not None and problem.about.untrusted is not None:
            return UNTRUSTED.format(problem.about.untrusted)
        return "dry run" if self._dry_run else None

    async def _collect(self, progress: Progress | None, *, whole: bool) -> SweepReport:
        """End the leases that have run out, and remove what nobody can need any more."""
        counter = self._counter("leftovers", progress)
        scope = self._scope()
        try:
            with counter.requests:
                await self._end_and_remove(counter, scope, whole=whole)
        except Exception as failure:  # noqa: BLE001 - found again by the next run
            return counter.report(failure)
        return counter.report()

    async def _end_and_remove(self, counter: FindingCounter, scope: Scope, *, whole: bool) -> None:
        services = scope.services
        lapsed = await services.claims.expire_stale(scope.now - self._grace, targets=scope.targets)
        for claim in lapsed:
            _note(counter, claim.claim_id, "has run out", "ended")
        if self._sees_to_zone(scope.now, whole=whole):
            await services.journal.forget_operations(
                services.store.zone_id, scope.now - JOURNAL_KEPT
            )
            for removed in await _leftovers(services):
                _note(counter, removed, "is needed by nothing any more", "removed")
            self._zone_seen_to = scope.now

    def _sees_to_zone(self, now: datetime, *, whole: bool) -> bool:
        """Whether it is the turn of what belongs to the zone, and not to any of its bounties."""
        seen = self._zone_seen_to
        is_fresh = seen is not None and timedelta() <= now - seen < LEFTOVERS_EVERY
        return self._partition.is_first and (whole or not is_fresh)


async def _leftovers(services: Services) -> list[str]:
    """What commits of bounties and of claims left behind, once it is removed."""
    removed = await services.store.collect_leftovers()
    claims = services.claims
    return [
        *removed,
        *(await claims.collect_leftovers() if isinstance(claims, LeavesFiles) else ()),
    ]


def _note(counter: FindingCounter, subject: str, problem: str, repaired: str) -> None:
    """Count what a port has found and ended in one."""
    finding = Finding(sweep=counter.sweep, subject=subject, problem=problem, repaired=repaired)
    counter.found(finding)
    counter.add(finding)


def _after(health: Health, report: ReconcileReport) -> Health:
    failed = bool(report.errors)
    return Health(
        runs=health.runs + 1,
        failed_in_a_row=health.failed_in_a_row + 1 if failed else 0,
        found=health.found + report.found,
        repaired=health.repaired + report.repaired,
        left_at_last=report.unrepaired,
        last_run_at=report.finished_at,
        last_success_at=health.last_success_at if failed else report.finished_at,
        last_error=report.errors[0] if failed else None,
    )
