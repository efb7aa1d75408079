"""`nexus-bounty doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from nexus_bounty.cli.commands.layout import told as laid_out
from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.cli.inputs import ServerKey
from nexus_bounty.cli.options import LedgerOptions, nexus_settings
from nexus_bounty.cli.output import Reply, facts, lines, safe, stderr
from nexus_bounty.cli.session import Session
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.documents.marker_layout import ZoneLayout
from nexus_bounty.nexus.probe import ProbeReport, Verdict, probe
from nexus_bounty.nexus.selection.zone_layout import layout_of
from nexus_bounty.ports import Durability, TellsDurability

PLACE = ("When something went wrong", 7)
EXAMPLES = (
    "doctor http://127.0.0.1:2026",
    "doctor --json",
    "doctor --credits postgresql://user@host/bounties",
)
OPTIONS = LedgerOptions

_COLOURS: Final = {
    Verdict.CONDITIONAL: "green",
    Verdict.RENAME: "green",
    Verdict.SINGLE_WRITER: "yellow",
    Verdict.UNSAFE: "red",
}
_CODES: Final = {
    Verdict.SINGLE_WRITER: ExitCode.SINGLE_WRITER,
    Verdict.UNSAFE: ExitCode.UNSAFE,
}


async def doctor(
    session: Session,
    *,
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]",
            envvar="NEXUS_URL",
            help="The Nexus server. Default: http://127.0.0.1:2026.",
        ),
    ] = None,
    api_key: ServerKey = None,
) -> Reply:
    """Find out by trying how commits are safe on a server.

    It uses a zone of its own, which it removes, and at most 60 requests, those aside that are lost.
    Where the server asks to be left alone, it waits for two minutes at most. It also says how the
    markers of your zone lie, and whether Grove finds them there.

    With a ledger on a server that --credits names, it also tells whether that keeps what it has
    acknowledged.

    Exit codes: 0 safe for any number of writers; 6 for a single writer only; 7 not safe, or the
    ledger's server may lose acknowledged commits; 1 nothing could be found out.
    """
    async with NexusClient(
        settings=nexus_settings(session.config, url=url, api_key=api_key)
    ) as client:
        with _status() as tell:
            report = await probe(client, tell)
        url, zone = client.settings.url, client.settings.zone_id
        layout = await _layout(client, zone) if report.facts.reads else None
    data = {"url": url, "verdict": report.verdict, **msgspec.to_builtins(report)}
    data |= {"requests": report.requests + report.facts.reads, "layout": layout}
    told = lines(_told(report, url), Text(), laid_out(zone, layout))
    code = _CODES.get(report.verdict, ExitCode.OK)
    kept = await _durability(session)
    if kept is None:
        return Reply(data, told, code)
    if kept.problems:
        code = ExitCode.UNSAFE
    return Reply({**data, "ledger": kept}, lines(told, Text(), _kept(kept)), code)


async def _layout(client: NexusClient, zone: str) -> ZoneLayout | None:
    """How the zone is laid out, where that can be read."""
    try:
        return await layout_of(client, zone)
    except NexusError:
        return None


async def _durability(session: Session) -> Durability | None:
    """What keeps the ledger that was named, if that is a server."""
    ledger = session.credits if session.names_ledger else None
    return await ledger.durability() if isinstance(ledger, TellsDurability) else None


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Say on stderr what is being tried, if a person is looking."""
    console = stderr()
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("Trying …") as status:
        yield lambda what: status.update(f"Trying {what} …")


def _kept(kept: Durability) -> RenderableType:
    said, style = "keeps what it has acknowledged.", "green"
    if kept.problems:
        said, style = "may lose what it has acknowledged.", "red"
    return lines(
        safe(f"Ledger at {kept.place}: {said}", f"bold {style}"),
        facts(
            *(("Problem", _each([each])) for each in kept.problems),
            *(("Note", _each([each])) for each in kept.advice),
            *kept.settings.items(),
        ),
    )


def _told(report: ProbeReport, url: str) -> RenderableType:
    style = _COLOURS[report.verdict]
    verdict = facts(
        ("Why", _each(report.judgement.reasons)), ("What to do", _each(report.judgement.advice))
    )
    return lines(
        safe(f"{url}: {report.verdict.meaning}", f"bold {style}"),
        verdict,
        Text(),
        _observed(report),
    )


def _each(sentences: Sequence[str]) -> Text:
    return Text("\n").join(safe(f"{sentence[:1].upper()}{sentence[1:]}.") for sentence in sentences)


def _observed(report: ProbeReport) -> Table:
    table = Table(
        title="What was observed",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_header=False,
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, seen in report.rows():
        table.add_row(name, safe(seen))
    return table
