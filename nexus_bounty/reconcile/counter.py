"""Counts what a sweep finds, keeps the first of it, and tells of all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from nexus_bounty.events import ProblemFound, ProblemLeft, ProblemRepaired, SweepEnded
from nexus_bounty.events.stream import Observers, publish
from nexus_bounty.events.tracking import RequestCounter
from nexus_bounty.events.types import told_as
from nexus_bounty.outcomes import OutcomeError, said_by
from nexus_bounty.reconcile.report import Finding, SweepReport

Progress = Callable[[Finding], None]


@dataclass(slots=True)
class FindingCounter:
    """The findings of one sweep in one run: all are counted and told, the first are kept.

    Attributes:
        sweep: Whose findings they are.
        keep: How many to keep, of those repaired and of those left.
        progress: Is told of each.
        observers: Likewise, of each once when it is found and once when it has been dealt with.
        requests: Counts what is sent.
    """

    sweep: str
    keep: int
    progress: Progress | None = None
    observers: Observers = ()
    requests: RequestCounter = field(default_factory=RequestCounter)
    _began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _kept: list[Finding] = field(default_factory=list)
    _found: Counter[bool] = field(default_factory=Counter)
    _failed: int = 0
    _young: int = 0

    def found(self, finding: Finding) -> None:
        """Tell of a finding, whatever is to become of it."""
        publish(self.observers, ProblemFound, self.sweep, finding.subject, finding.problem)

    def add(self, finding: Finding, failure: Exception | None = None) -> None:
        """Count a finding, repaired or left, by the `failure` of its repair or for a reason."""
        repaired = finding.repaired is not None
        if self._found[repaired] < self.keep:
            self._kept.append(finding)
        self._found[repaired] += 1
        self._failed += finding.failed
        self._tell(finding, failure)
        if self.progress is not None:
            self.progress(finding)

    def add_young(self) -> None:
        """Count something whose operation may still be running: it is no finding yet."""
        self._young += 1

    def _tell(self, finding: Finding, failure: Exception | None) -> None:
        what = self.sweep, finding.subject, finding.problem
        if finding.repaired is not None:
            publish(self.observers, ProblemRepaired, *what, finding.repaired)
        else:
            why = told_as(failure) if failure else finding.left or ""
            publish(self.observers, ProblemLeft, *what, why, failure is not None)

    def report(self, error: Exception | None = None) -> SweepReport:
        """What was found, and what cut it short; the sweep is over."""
        report = SweepReport(
            sweep=self.sweep,
            found=self._found.total(),
            repaired=self._found[True],
            failed=self._failed,
            young=self._young,
            requests=self.requests.number,
            findings=self._kept,
            error=_said(error) if error else None,
            told=told_as(error) if error else None,
        )
        seconds = asyncio.get_running_loop().time() - self._began
        publish(
            self.observers,
            SweepEnded,
            self.sweep,
            report.found,
            report.repaired,
            seconds,
            report.told,
        )
        return report


def _said(error: Exception) -> str:
    """What cut a sweep short, without what the caller of an operation should do about it."""
    if isinstance(error, OutcomeError):
        return f"{type(error).__name__}: {error.message}"
    return said_by(error)
