"""`nexus-bounty list`."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import RenderableType
from rich.text import Text

from nexus_bounty.cli.exits import UsageProblem
from nexus_bounty.cli.inputs import AGENT_VARIABLES
from nexus_bounty.cli.output import Reply, lines, progress, safe
from nexus_bounty.cli.renderables import Column, Listing
from nexus_bounty.cli.results import status_text
from nexus_bounty.cli.session import Session
from nexus_bounty.models import Bounty, BountyQuery, BountyStatus, is_wanted

PLACE = ("Bounties", 2)
_NAMED = 20
"""How many documents that cannot be understood are named; with --json all are."""

EXAMPLES = (
    "list --status open --status claimed",
    "list --creator alice --limit 10 --json",
    "list --mine --agent alice",
)


_COLUMNS: Final = (
    Column("Bounty", whole=True),
    Column("Status"),
    Column("Amount", right=True),
    Column("Creator", "by"),
    Column("Claimer", "claimed by"),
    Column("Deadline", "until"),
    Column("Title", prose=True),
)


async def show_list(
    session: Session,
    *,
    status: Annotated[
        list[BountyStatus] | None, typer.Option("--status", help="Only these; repeatable.")
    ] = None,
    creator: Annotated[
        str | None, typer.Option("--creator", metavar="ID", help="Only this agent's.")
    ] = None,
    claimer: Annotated[
        str | None, typer.Option("--claimer", metavar="ID", help="Only what this agent claimed.")
    ] = None,
    mine: Annotated[
        bool, typer.Option("--mine", help="Only those that the agent of --agent has posted.")
    ] = False,
    agent_id: Annotated[
        str | None,
        typer.Option("--agent", metavar="ID", envvar=AGENT_VARIABLES, help="Who --mine means."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many.")] = 50,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Pass over so many first.")] = 0,
) -> Reply:
    """List bounties, newest first."""
    creator = _mine(agent_id, creator) if mine else creator
    query = BountyQuery(
        status=status or None, creator_agent_id=creator, claimed_by_agent_id=claimer
    )
    found: list[Bounty] = []
    unreadable: dict[str, str] = {}
    with progress("Reading bounties") as step:
        async for bounty in session.store.walk_bounties(query, unreadable=unreadable):
            found.append(bounty)
            step()
    found.sort(key=lambda each: (each.created_at, each.bounty_id), reverse=True)
    shown = found[offset : offset + limit]
    data = {"bounties": shown, "total": len(found)}
    data |= {"unreadable": unreadable} if unreadable else {}
    return Reply(data, lines(_table(shown, len(found)), _left_out(unreadable)))


def _mine(agent_id: str | None, creator: str | None) -> str:
    if agent_id is None:
        raise UsageProblem("--mine needs an agent: give --agent, or NEXUS_BOUNTY_AGENT")
    if not is_wanted(creator, agent_id):
        raise UsageProblem(f"--mine means {agent_id!r}, and --creator somebody else")
    return agent_id


def _table(shown: list[Bounty], total: int) -> RenderableType:
    if not total:
        return Text("No bounties.", "dim")
    table = Listing(_COLUMNS, [_row(each) for each in shown])
    rest = Text(f"{len(shown)} of {total}", "dim") if len(shown) < total else None
    return lines(table, rest)


def _row(bounty: Bounty) -> list[Text]:
    return [
        safe(bounty.bounty_id),
        status_text(bounty.status),
        Text(str(bounty.amount)),
        safe(bounty.creator.agent_id),
        safe(bounty.claimed_by.agent_id if bounty.claimed_by else ""),
        Text(f"{bounty.deadline:%Y-%m-%d %H:%M}"),
        safe(bounty.title),
    ]


def _left_out(unreadable: dict[str, str]) -> RenderableType | None:
    """How many documents are not in the list because they cannot be understood, and which."""
    if not unreadable:
        return None
    heading = safe(f"{len(unreadable)} left out, which cannot be understood:", "yellow")
    named = [safe(f"- {name}: {why}", "dim") for name, why in sorted(unreadable.items())]
    more = safe(f"and {len(named) - _NAMED} more", "dim") if len(named) > _NAMED else None
    return lines(heading, *named[:_NAMED], more)
