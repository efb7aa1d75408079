"""Runs the sweeps, once or for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

import msgspec

from nexus_bounty.operations import BountyOperations
from nexus_bounty.ports import cleaning_up
from nexus_bounty.reconcile.claims import AbandonedBounties, OrphanClaims
from nexus_bounty.reconcile.deadlines import PastDeadlines
from nexus_bounty.reconcile.drafts import StuckDrafts
from nexus_bounty.reconcile.markers import IndexMarkers
from nexus_bounty.reconcile.report import Finding, Health, ReconcileReport, SweepReport
from nexus_bounty.reconcile.reservations import OrphanReservations
from nexus_bounty.reconcile.rewards import MissingRewards
from nexus_bounty.reconcile.settlements import CompletedNotSettled, PendingSettlements
from nexus_bounty.reconcile.sweep import Problem, Scope, Sweep

logger = logging.getLogger("nexus_bounty.reconcile")

SWEEPS: Final[tuple[Sweep, ...]] = (
    StuckDrafts(),
    PendingSettlements(),
    CompletedNotSettled(),
    PastDeadlines(),
    OrphanReservations(),
    MissingRewards(),
    OrphanClaims(),
    AbandonedBounties(),
    IndexMarkers(),
)

Progress = Callable[[Finding], None]


class Reconciler:
    """Brings everything that an operation left half-way to its right end.

    Args:
        operations: The systems to work on are those of these operations.
        grace: What was touched less than this ago is left alone: its operation may still be
            running. Must be longer than an operation can take.
        dry_run: Only find, change nothing.
        sweeps: Which sweeps to run, in order.
    """

    def __init__(
        self,
        operations: BountyOperations,
        *,
        grace: timedelta = timedelta(minutes=5),
        dry_run: bool = False,
        sweeps: Sequence[Sweep] = SWEEPS,
    ) -> None:
        services = operations.services
        self._services = replace(  # what one sweep leaves behind is not for the next to find
            services,
            store=cleaning_up(services.store, later=False),
            claims=cleaning_up(services.claims, later=False),
        )
        self._grace = grace
        self._dry_run = dry_run
        self._sweeps = sweeps
        self.health = Health()

    async def run_once(self, progress: Progress | None = None) -> ReconcileReport:
        """Run every sweep once; never raises for what a sweep runs into, but reports it."""
        started = self._services.clock()
        reports = [await self._run(sweep, progress) for sweep in self._sweeps]
        if not self._dry_run:
            reports.append(await self._collect())
        report = ReconcileReport(
            started_at=started,
            finished_at=self._services.clock(),
            dry_run=self._dry_run,
            sweeps=reports,
        )
        self.health = _after(self.health, report)
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
    ) -> None:
        """Run until cancelled: `every` so often, backing off up to `at_most` while runs fail."""
        while True:
            report = await self.run_once()
            if on_report is not None:
                on_report(report)
            failures = min(self.health.failed_in_a_row, 16)
            pause = min(every.total_seconds() * 2**failures, at_most.total_seconds())
            await asyncio.sleep(max(pause, every.total_seconds()))

    async def _run(self, sweep: Sweep, progress: Progress | None) -> SweepReport:
        scope = Scope(self._services, self._grace, self._services.clock())
        findings: list[Finding] = []
        error = None
        try:
            async for problem in sweep.find(scope):
                finding = await self._settle(sweep.name, problem)
                findings.append(finding)
                if progress is not None:
                    progress(finding)
        except Exception as failure:  # noqa: BLE001 - one sweep must not stop the others
            logger.warning("the sweep of %s was cut short: %s", sweep.name, failure)
            error = f"{type(failure).__name__}: {failure}"
        return SweepReport(sweep=sweep.name, findings=findings, error=error)

    async def _settle(self, sweep: str, problem: Problem) -> Finding:
        """Repair one problem, unless it is to be left alone."""
        finding = Finding(sweep=sweep, subject=problem.subject, problem=problem.what)
        if problem.repair is None:
            return msgspec.structs.replace(finding, left=problem.reason)
        if self._dry_run:
            return msgspec.structs.replace(finding, left="dry run")
        try:
            return msgspec.structs.replace(finding, repaired=await problem.repair())
        except Exception as failure:  # noqa: BLE001 - it is found again by the next run
            logger.warning("%s %s: not repaired: %s", sweep, problem.subject, failure)
            return msgspec.structs.replace(finding, left=f"{type(failure).__name__}: {failure}")

    async def _collect(self) -> SweepReport:
        """End the leases that have run out, and remove what nobody can need any more."""
        name = "leftovers"
        try:
            lapsed = await self._services.claims.expire_stale(self._services.clock() - self._grace)
            collected = await self._services.store.collect_leftovers()
        except Exception as failure:  # noqa: BLE001 - found again by the next run
            return SweepReport(sweep=name, error=f"{type(failure).__name__}: {failure}")
        ended = [
            Finding(sweep=name, subject=each.claim_id, problem="has run out", repaired="ended")
            for each in lapsed
        ]
        removed = [
            Finding(sweep=name, subject=each, problem="is an old tombstone", repaired="removed")
            for each in collected
        ]
        return SweepReport(sweep=name, findings=[*ended, *removed])


def _after(health: Health, report: ReconcileReport) -> Health:
    failed = bool(report.errors)
    return Health(
        runs=health.runs + 1,
        failed_in_a_row=health.failed_in_a_row + 1 if failed else 0,
        found=health.found + report.found,
        repaired=health.repaired + report.repaired,
        left_at_last=len(report.left),
        last_run_at=report.finished_at,
        last_success_at=health.last_success_at if failed else report.finished_at,
        last_error=report.errors[0] if failed else None,
    )
