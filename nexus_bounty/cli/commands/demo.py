"""`nexus-bounty demo`."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from nexus_bounty.cli.inputs import ServerKey
from nexus_bounty.cli.options import OutputOptions, nexus_settings
from nexus_bounty.cli.output import Reply, facts, lines, safe, stdout
from nexus_bounty.cli.session import Session
from nexus_bounty.demo import DemoReport, Write, run_demo
from nexus_bounty.outcomes import Proof

PLACE = ("To try it", 2)
EXAMPLES = (
    "demo",
    "demo --nexus http://127.0.0.1:2026",
)
OPTIONS = OutputOptions

_PROSE: Final = 100
_WRITES: Final = {
    "create": "bounty: draft",
    "fund": "bounty: open",
    "claim_or_renew": "lease: taken",
    "claim": "bounty: claimed",
    "begin_settlement": "bounty: pending",
    "settle": "bounty: settled",
    "reward": "reward",
    "complete": "lease: ended",
}
_PROOFS: Final = {
    Proof.ACKNOWLEDGED: "the answer has the hash of the bytes sent",
    Proof.IN_HISTORY: "read back, its history names the write",
}


async def demo(
    session: Session,
    *,
    nexus: Annotated[
        str | None,
        typer.Option(
            "--nexus",
            metavar="URL",
            help="Run it on this server, in a new zone that is cleared again; on a mock in this "
            "process if not given.",
            show_default=False,
        ),
    ] = None,
    api_key: ServerKey = None,
) -> Reply:
    """Run the whole life of a bounty, with a lost answer and a crash on the way."""
    settings = nexus_settings(session.config, url=nexus, api_key=api_key)
    tell = _ignore if session.as_json else _Narrator().tell
    report = await run_demo(nexus, settings=settings, tell=tell)
    return Reply(report, _told(report))


class _Narrator:
    """Tells the story as it happens."""

    def __init__(self) -> None:
        self._console = stdout()
        self._sentences = 0

    def tell(self, sentence: str) -> None:
        """One more act."""
        self._sentences += 1
        row = Table.grid(padding=(0, 1))
        row.add_row(Text(f"{self._sentences}.", "bold"), safe(sentence))
        self._console.print(row, width=min(self._console.width, _PROSE))


def _ignore(_sentence: str) -> None:
    """Programs get the report alone."""


def _told(report: DemoReport) -> RenderableType:
    return lines(Text(), _writes(report), Text(), _end(report))


def _writes(report: DemoReport) -> Table:
    table = Table(
        title="What became of each write", title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    for name in ("Who", "Wrote", "Came back", "Committed, because"):
        table.add_column(name, overflow="fold")
    for write in report.writes:
        accident = not write.answered
        table.add_row(
            safe(write.process),
            _WRITES.get(write.kind, write.kind),
            Text(_came_back(write), "yellow" if accident else ""),
            _known_by(write),
        )
    return table


def _came_back(write: Write) -> str:
    if write.found_by is not None:
        return "nothing: it died"
    if write.answered:
        return "an answer"
    return "nothing: answer lost"


def _known_by(write: Write) -> str:
    reader = f" ({write.found_by})" if write.found_by else ""
    return f"{_PROOFS.get(write.proof, write.proof.value)}{reader}"


def _end(report: DemoReport) -> RenderableType:
    money = ", ".join(f"{name} {amount}" for name, amount in report.balances.items())
    sums = "adds up" if report.credits_conserved else "does not add up"
    return facts(
        ("Bounty", Text(report.final_status, "bold green")),
        ("Repaired", Text("\n").join(map(safe, report.repaired))),
        ("Money", f"{money}, in escrow {report.escrow}: {sums} to the {report.issued} issued"),
        ("Cost", f"{report.requests} requests in {report.seconds:.1f} s"),
    )
