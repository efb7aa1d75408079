"""Counts what a sweep finds, and keeps the first of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from nexus_bounty.reconcile.report import Finding, SweepReport

Progress = Callable[[Finding], None]


@dataclass(slots=True)
class Tally:
    """The findings of one sweep in one run: all are counted and told, the first are kept.

    Attributes:
        sweep: Whose findings they are.
        keep: How many to keep, of those repaired and of those left.
        progress: Is told of each.
    """

    sweep: str
    keep: int
    progress: Progress | None = None
    _kept: list[Finding] = field(default_factory=list)
    _found: Counter[bool] = field(default_factory=Counter)

    def add(self, finding: Finding) -> None:
        """Count a finding, repaired or left."""
        repaired = finding.repaired is not None
        if self._found[repaired] < self.keep:
            self._kept.append(finding)
        self._found[repaired] += 1
        if self.progress is not None:
            self.progress(finding)

    def report(self, error: Exception | None = None) -> SweepReport:
        """What was found, and what cut it short."""
        return SweepReport(
            sweep=self.sweep,
            found=self._found.total(),
            repaired=self._found[True],
            findings=self._kept,
            error=f"{type(error).__name__}: {error}" if error else None,
        )
