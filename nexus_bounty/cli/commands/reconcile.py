"""`nexus-bounty reconcile`."""

from __future__ import annotations

import asyncio
import shlex
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

import msgspec
import typer
from msgspec.structs import replace
from rich.console import RenderableType
from rich.text import Text

from nexus_bounty.bounded_set import MOST_REMEMBERED
from nexus_bounty.cli.exits import ExitCode, UsageProblem
from nexus_bounty.cli.inputs import duration, interval
from nexus_bounty.cli.options import Grace, ServiceOptions
from nexus_bounty.cli.output import Reply, counted, facts, lines, progress, safe, stdout, write_json
from nexus_bounty.cli.screen import is_unread
from nexus_bounty.cli.service.health import ServiceHealth, health_served
from nexus_bounty.cli.service.stopping import Ending, until_stopped
from nexus_bounty.cli.session import Session
from nexus_bounty.partition import Partition
from nexus_bounty.reconcile import Finding, Reconciler, ReconcileReport
from nexus_bounty.reconcile.reconciler import Cursor
from nexus_bounty.registry import open_metrics

PLACE = ("When something went wrong", 1)
OPTIONS = ServiceOptions
EXAMPLES = (
    "reconcile --dry-run",
    "reconcile",
    "reconcile --watch --every 5m",
    "reconcile --through bounty-8 --dry-run",
    "reconcile --watch --every 5m --health 127.0.0.1:9465 --log-format json",
)


async def reconcile(
    session: Session,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only find, change nothing.")] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Run for ever, and say what is new; with --json one document a line for each run.",
        ),
    ] = False,
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="With --watch: how often.")
    ] = "1m",
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="HOST:PORT",
            envvar="NEXUS_BOUNTY_METRICS",
            help="With --watch: serve metrics for Prometheus there, at /metrics.",
        ),
    ] = None,
    grace: Grace = "5m",
    after: Annotated[
        str,
        typer.Option(
            "--after",
            metavar="ID",
            help="Look only at bounties with ids after this, and at what belongs to them.",
        ),
    ] = "",
    through: Annotated[
        str | None,
        typer.Option(
            "--through",
            metavar="ID",
            help="Look only at bounties with ids up to this; another run may do the rest.",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="CURSOR", help="Go on where an interrupted run said that it was."
        ),
    ] = None,
) -> Reply:
    """Bring everything that was left half-way to its right end.

    Exit codes: 0 all is well, or is now; 9 something is left to people, or was found by a dry run;
    10 a repair failed; 11 something may still be under way; 1 it could not look everywhere. With
    --watch: 0 when it is stopped; 12 if that cut a repair short, which another run finishes.
    """
    session.sends_many = True
    operations = session.operations()
    reconciler = Reconciler(
        operations,
        grace=duration("--grace", grace),
        dry_run=dry_run,
        partition=Partition(after, through),
        cursor=_cursor(resume) if resume else None,
    )
    pause = interval("--every", every)
    if watch:
        async with AsyncExitStack() as stack:
            if metrics:
                await stack.enter_async_context(open_metrics(metrics, session.credits))
            health = ServiceHealth(operations, partial(_how_it_is, reconciler))
            await stack.enter_async_context(health_served(session.health_at, health))
            return await _watch(session, reconciler, pause)
    if metrics is not None:
        raise UsageProblem("--metrics goes with --watch")
    try:
        with progress("Reconciling") as step:
            report = await reconciler.run_once(
                lambda _finding: step(), on_step=lambda sweep, at: step(f"({sweep} {at})")
            )
    except asyncio.CancelledError:  # Ctrl-C: what was done is done, and need not be done again
        return _interrupted(reconciler.cursor, _range_options(after, through))
    return Reply(report, told(report), judged(report))


class _UnreadError(Exception):
    """Whoever read the reports has gone."""


def _cursor(given: str) -> Cursor:
    try:
        return msgspec.json.decode(given, type=dict[str, str | None])
    except msgspec.MsgspecError as error:
        raise UsageProblem(f"--resume: this is no cursor of an interrupted run: {error}") from error


def _range_options(after: str, through: str | None) -> list[str]:
    return [
        *(["--after", after] if after else []),
        *(["--through", through] if through is not None else []),
    ]


def _interrupted(cursor: Cursor, about: Sequence[str]) -> Reply:
    """What Ctrl-C leaves: nothing half-way, and a place to go on from if there is one."""
    resume = ["--resume", msgspec.json.encode(cursor).decode()] if cursor else []
    following = shlex.join(["nexus-bounty", "reconcile", *about, *resume])
    said = {"error": "Interrupted", "cursor": cursor, "next": following}
    text = lines(
        Text("Interrupted: nothing is lost by that, and another run does the rest.", "bold yellow"),
        facts(("Go on with", following)),
    )
    return Reply(said | {"exitCode": int(ExitCode.INTERRUPTED)}, text, ExitCode.INTERRUPTED)


def _how_it_is(reconciler: Reconciler) -> dict[str, Any]:
    """What `/readyz` tells besides: what a run has found is no reason not to be ready."""
    known = reconciler.health
    return {
        "runs": known.runs,
        "failedInARow": known.failed_in_a_row,
        "leftAtLast": known.left_at_last,
        "lastSuccessAt": known.last_success_at and known.last_success_at.isoformat(),
    }


async def _watch(session: Session, reconciler: Reconciler, pause: timedelta) -> Reply:
    """Run until it is stopped, as it is meant to end, or until nobody reads it any more."""
    news = News()

    def on_report(report: ReconcileReport) -> None:
        fresh = news.of(report)
        if session.as_json:
            write_json(fresh)
        elif news.are_any:
            _tell(fresh)
        if is_unread():
            raise _UnreadError

    ending = Ending.BY_ITSELF
    within = session.stop_within
    runs = reconciler.run_forever(pause, on_report=on_report)
    with suppress(asyncio.CancelledError, _UnreadError):
        ending = await until_stopped(runs, reconciler.at_rest, within=within)
    health = reconciler.health
    said = f"Stopped after {health.runs} runs: {health.found} found, {health.repaired} repaired."
    if ending is Ending.CUT_SHORT:
        said += " The repair under way was cut short; another run finishes it."
    return Reply({"health": health}, Text(said), ending.exit_code)


class News:
    """What a run says that the ones before it have not: what is left is told once.

    Attributes:
        are_any: Whether the latest run said anything new.
    """

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], Finding] = OrderedDict()
        self._standing: tuple[object, ...] = ()
        self.are_any = False

    def of(self, report: ReconcileReport) -> ReconcileReport:
        """The report, its counts whole, with the findings alone that are new."""
        sweeps = [
            replace(sweep, findings=[each for each in sweep.findings if self._is_new(each)])
            for sweep in report.sweeps
        ]
        standing = (*report.errors, bool(report.found), bool(report.young))
        fresh = replace(report, sweeps=sweeps)
        self.are_any = bool(fresh.findings) or standing != self._standing
        self._standing = standing
        return fresh

    def _is_new(self, finding: Finding) -> bool:
        what = finding.sweep, finding.subject
        if finding.repaired is not None:
            self._told.pop(what, None)
            return True
        before = self._told.pop(what, None)
        self._told[what] = finding
        if len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)
        return before != finding


def judged(report: ReconcileReport) -> ExitCode:
    """The exit code that says how things stand, the worst first."""
    if report.errors:
        return ExitCode.ERROR
    if report.failed:
        return ExitCode.FAILED
    if report.unrepaired:
        return ExitCode.LEFT
    return ExitCode.YOUNG if report.young else ExitCode.OK


def told(report: ReconcileReport, rest: str = "more") -> RenderableType:
    """What a run found, and what became of it; `rest` is what to call those not named."""
    rows = facts(*((each.subject, _finding(each)) for each in report.findings))
    more = report.found - len(report.findings)
    unnamed = Text(f"… and {more} {rest}") if more else None
    errors = facts(*(("Cut short", error) for error in counted(report.errors)))
    return lines(Text(report.summary, "bold"), rows, unnamed, errors)


def _finding(finding: Finding) -> Text:
    ended = finding.repaired is not None
    result = finding.repaired if ended else f"left: {finding.left}"
    return Text.assemble(
        safe(f"{finding.problem} → "), safe(result, "green" if ended else "yellow")
    )


def _tell(report: ReconcileReport) -> None:
    when = Text(f"{report.finished_at:%H:%M:%S} UTC", "dim")
    rest = "that were told before, or too many to tell"
    stdout().print(facts(("at", when)), told(report, rest), crop=False)
