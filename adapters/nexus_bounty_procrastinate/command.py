"""`nexus-bounty worker`."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.text import Text

from nexus_bounty.cli.exits import UsageProblem
from nexus_bounty.cli.inputs import duration, interval
from nexus_bounty.cli.options import Grace, ServiceOptions
from nexus_bounty.cli.output import Reply
from nexus_bounty.cli.service.health import ServiceHealth, health_served
from nexus_bounty.cli.service.stopping import Ending, until_stopped
from nexus_bounty.cli.session import Session
from nexus_bounty.outcomes import PlainError
from nexus_bounty.registry import open_metrics

if TYPE_CHECKING:
    from nexus_bounty_procrastinate.worker import RangeWorker

PLACE = ("To run it", 2)
OPTIONS = ServiceOptions
EXAMPLES = (
    "worker --zones default",
    "worker --zones east,west --concurrency 8 --requests-per-second 50 --health 127.0.0.1:9466",
)


async def worker(
    session: Session,
    *,
    zones: Annotated[
        str | None,
        typer.Option(
            "--zones", metavar="ID,…", help="The zones to see to. Default: that of --zone."
        ),
    ] = None,
    jobs: Annotated[
        str | None,
        typer.Option(
            "--jobs",
            metavar="URL",
            help="The PostgreSQL with the jobs. Default: that of --credits.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, help="How many ranges to go through at once.")
    ] = 4,
    requests_per_second: Annotated[
        float | None,
        typer.Option(
            "--requests-per-second",
            min=0.01,
            help="How many requests all workers together send to Nexus in a second at most.",
        ),
    ] = None,
    range_size: Annotated[
        int,
        typer.Option(
            "--range-size",
            min=1,
            help="How many living bounties of one status a range holds; a fuller one is split.",
        ),
    ] = 1000,
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="How often to go through each range.")
    ] = "1m",
    grace: Grace = "5m",
    dead_after: Annotated[
        str,
        typer.Option(
            "--dead-after",
            metavar="TIME",
            help="After how long a silence of another worker its ranges are taken from it.",
        ),
    ] = "10s",
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="HOST:PORT",
            envvar="NEXUS_BOUNTY_METRICS",
            help="Serve metrics for Prometheus there, at /metrics.",
        ),
    ] = None,
) -> Reply:
    """Reconcile zones in ranges, side by side with other workers, until it is stopped.

    Exit codes: 0 when it is stopped; 12 if that cut a repair short, which another worker finishes.
    """
    session.sends_many = True
    url = _database(session, jobs)
    made = _worker(
        session,
        url,
        zones,
        requests_per_second,
        concurrency=concurrency,
        page=range_size,
        every=interval("--every", every),
        grace=duration("--grace", grace),
        dead_after=interval("--dead-after", dead_after),
    )
    async with AsyncExitStack() as stack:
        if metrics:
            await stack.enter_async_context(open_metrics(metrics, session.credits))
        how = ServiceHealth(session.operations(), lambda: made.health, made.jobs.look)
        await stack.enter_async_context(health_served(session.health_at, how))
        return await _run(made, session.stop_within)


async def _run(made: RangeWorker, within: timedelta) -> Reply:
    import psycopg

    from nexus_bounty_procrastinate.schema import RightsError

    ending = Ending.BY_ITSELF
    try:
        with suppress(asyncio.CancelledError):
            ending = await until_stopped(made.run(), made.at_rest, within=within)
    except RightsError as error:
        raise PlainError(f"the jobs on PostgreSQL cannot be worked with: {error}") from error
    except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege) as error:
        why = str(error).partition("\n")[0]
        raise PlainError(
            f"the jobs on PostgreSQL cannot be reached: {why}. Nothing is lost: "
            "this worker goes on from there when it is started again"
        ) from error
    did = made.health
    said = (
        f"Stopped after {did['ranges']} ranges: {did['found']} found, {did['repaired']} repaired."
    )
    if ending is Ending.CUT_SHORT:
        said += " The repair under way was cut short; another worker finishes it."
    return Reply({"health": made.health}, Text(said), ending.exit_code)


def _database(session: Session, jobs: str | None) -> str:
    """Where the jobs are.

    Raises:
        UsageProblem: No database is named for them.
    """
    url = jobs or session.credits_url or ""
    if not url.startswith(("postgresql://", "postgres://")):
        raise UsageProblem("--jobs must name a PostgreSQL, unless --credits does: postgresql://…")
    return url


def _pace(session: Session, url: str, per_second: float) -> None:
    from nexus_bounty_procrastinate.pace import FleetPace, LeasedTurns

    server = urlsplit(session.settings.url)
    turns = LeasedTurns(url, f"{server.hostname}:{server.port}{server.path}")
    session.paced_by(FleetPace(per_second, turns.lease), turns.close)


def _worker(
    session: Session, url: str, zones: str | None, per_second: float | None, **how: Any
) -> RangeWorker:
    """The worker that the options describe.

    Raises:
        UsageProblem: They name no zone.
        PlainError: The extra is not installed.
    """
    try:
        from nexus_bounty_procrastinate.worker import RangeWorker
    except ModuleNotFoundError as error:
        raise PlainError("worker needs its extra: pip install 'nexus-bounty[scale]'") from error
    if per_second is not None:
        _pace(session, url, per_second)
    named = [each.strip() for each in (zones or session.client.settings.zone_id).split(",")]
    if not all(named):
        raise UsageProblem("--zones must be ids with commas between them")
    return RangeWorker(url, {each: session.in_zone(each) for each in named}, **how)
