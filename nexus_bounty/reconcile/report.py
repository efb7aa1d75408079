"""What a reconciler found, what it repaired, and what it left alone for which reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from nexus_bounty.models import Wire, always_written


class Finding(Wire, frozen=True, kw_only=True):
    """One thing that was not at its right end, and what became of it.

    Attributes:
        sweep: The sweep that found it.
        subject: The id of the bounty, reservation or claim.
        problem: What is wrong with it.
        repaired: What was done; `None` if nothing was.
        left: Why nothing was done.
        failed: Whether that is because a repair failed.
    """

    sweep: str
    subject: str
    problem: str
    repaired: str | None = None
    left: str | None = None
    failed: bool = False


class SweepReport(Wire, frozen=True, kw_only=True):
    """One sweep: how much it found and repaired.

    Attributes:
        sweep: Its name.
        found: How many problems.
        repaired: How many of them are repaired.
        failed: How many repairs failed.
        young: How many more are not at their right end, but were touched so lately that their
            operation may still be running.
        requests: How many it sent to the server, repeats included.
        findings: The first of those repaired and the first of those left, in their order.
        error: What cut it short, if anything did.
        told: The same as events say it, without the words of a server.
    """

    sweep: str
    found: int = always_written(0)
    repaired: int = always_written(0)
    failed: int = always_written(0)
    young: int = always_written(0)
    requests: int = always_written(0)
    findings: Sequence[Finding] = ()
    error: str | None = None
    told: str | None = None


class ReconcileReport(Wire, frozen=True, kw_only=True):
    """One run of all sweeps.

    Attributes:
        started_at: When; aware.
        finished_at: When; aware.
        dry_run: Whether it changed nothing.
        sweeps: What each sweep found.
    """

    started_at: datetime
    finished_at: datetime
    dry_run: bool
    sweeps: Sequence[SweepReport]

    @property
    def findings(self) -> list[Finding]:
        """The findings, sweep by sweep, as many of each as a report holds."""
        return [finding for sweep in self.sweeps for finding in sweep.findings]

    @property
    def found(self) -> int:
        """How many things were not at their right end."""
        return sum(sweep.found for sweep in self.sweeps)

    @property
    def repaired(self) -> int:
        """How many of them are now."""
        return sum(sweep.repaired for sweep in self.sweeps)

    @property
    def failed(self) -> int:
        """How many repairs failed; another run tries again."""
        return sum(sweep.failed for sweep in self.sweeps)

    @property
    def young(self) -> int:
        """How many things more may still be under way: they are left to a later run."""
        return sum(sweep.young for sweep in self.sweeps)

    @property
    def unrepaired(self) -> int:
        """How many of them are not."""
        return self.found - self.repaired

    @property
    def left(self) -> list[Finding]:
        """Those that are not, each with its reason, as many as a report holds."""
        return [finding for finding in self.findings if finding.repaired is None]

    @property
    def errors(self) -> list[str]:
        """What cut sweeps short."""
        return [sweep.error for sweep in self.sweeps if sweep.error is not None]

    @property
    def summary(self) -> str:
        """How things stand, in words."""
        said = [self._counted()] if self.found else []
        if self.young:
            said.append(
                f"{self.young} may still be under way, and left alone until they are older."
            )
        if self.errors:
            said.append("It could not look everywhere.")
        return " ".join(said) or "All is well."

    def _counted(self) -> str:
        if self.dry_run:
            return f"{self.found} to repair; nothing was changed."
        failed = f", {self.failed} of them because a repair failed" if self.failed else ""
        return f"{self.found} found, {self.repaired} repaired, {self.unrepaired} left{failed}."


class Health(Wire, frozen=True, kw_only=True):
    """How a reconciler is doing: a failed run is one in which a sweep was cut short.

    Attributes:
        runs: How many it has made.
        failed_in_a_row: How many of the last ones failed.
        found: How many problems, in all runs.
        repaired: How many of them are repaired.
        left_at_last: How many the last run left.
        last_run_at: When; aware.
        last_success_at: When one did not fail; aware.
        last_error: What cut the last failed one short.
    """

    runs: int = 0
    failed_in_a_row: int = 0
    found: int = 0
    repaired: int = 0
    left_at_last: int = 0
    last_run_at: datetime | None = None
    last_success_at: datetime | None = None
    last_error: str | None = None
