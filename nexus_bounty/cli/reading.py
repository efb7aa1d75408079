"""`nexus-bounty list` and `show`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from nexus_bounty.cli.inputs import BountyId
from nexus_bounty.cli.output import Reply, facts, lines, progress, safe
from nexus_bounty.cli.session import Session
from nexus_bounty.models import Bounty, BountyCriteria, BountyQuery, BountyStatus
from nexus_bounty.outcomes import BountyNotFoundError, Evidence, Proof
from nexus_bounty.statuses import STATUSES


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
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many.")] = 50,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Pass over so many first.")] = 0,
) -> Reply:
    """List bounties, newest first."""
    query = BountyQuery(
        status=status or None, creator_agent_id=creator, claimed_by_agent_id=claimer
    )
    found: list[Bounty] = []
    with progress("Reading bounties") as step:
        async for bounty in session.store.walk_bounties(query):
            found.append(bounty)
            step()
    found.sort(key=lambda each: (each.created_at, each.bounty_id), reverse=True)
    shown = found[offset : offset + limit]
    return Reply({"bounties": shown, "total": len(found)}, _table(shown, len(found)))


async def show(session: Session, *, bounty_id: BountyId) -> Reply:
    """Show one bounty as it stands."""
    bounty = await session.store.get_bounty(bounty_id)
    if bounty is None:
        raise BountyNotFoundError(
            f"there is no bounty {bounty_id!r} in zone {session.client.settings.zone_id!r}",
            bounty_id=bounty_id,
            evidence=Evidence(proof=Proof.DOCUMENT),
        )
    return Reply(bounty, _portrait(bounty))


def status_text(status: BountyStatus) -> Text:
    """A status in its colour."""
    return Text(status.value, STATUSES[status].colour)


def _table(shown: list[Bounty], total: int) -> RenderableType:
    if not total:
        return Text("No bounties.", "dim")
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("Bounty", overflow="fold", no_wrap=False, min_width=12)
    table.add_column("Status", no_wrap=True)
    table.add_column("Amount", justify="right", no_wrap=True)
    for name in ("Creator", "Claimer", "Deadline", "Title"):
        table.add_column(name, overflow="fold")
    for each in shown:
        table.add_row(
            safe(each.bounty_id),
            status_text(each.status),
            str(each.amount),
            safe(each.creator.agent_id),
            safe(each.claimed_by.agent_id if each.claimed_by else "-"),
            f"{each.deadline:%Y-%m-%d %H:%M}",
            safe(each.title),
        )
    rest = Text(f"{len(shown)} of {total}", "dim") if len(shown) < total else None
    return lines(table, rest)


def _portrait(bounty: Bounty) -> RenderableType:
    return facts(
        ("Bounty", bounty.bounty_id),
        ("Title", bounty.title),
        ("About", bounty.description or None),
        ("Status", _status(bounty)),
        ("Amount", str(bounty.amount)),
        ("Creator", bounty.creator.agent_id),
        ("Criteria", _criteria(bounty.criteria)),
        ("Deadline", f"{bounty.deadline:%Y-%m-%d %H:%M:%S} UTC"),
        ("Claimer", bounty.claimed_by.agent_id if bounty.claimed_by else None),
        ("Claim", bounty.claim_id),
        ("Work", bounty.fulfilled_by_cid),
        ("Escrow", bounty.reservation_id),
        ("Created", f"{bounty.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Updated", f"{bounty.updated_at:%Y-%m-%d %H:%M:%S} UTC"),
    )


def _status(bounty: Bounty) -> Text:
    return status_text(bounty.status).append(f" (it {STATUSES[bounty.status].means})", "dim")


def _criteria(criteria: BountyCriteria) -> str:
    wanted = [criteria.description] if criteria.description else []
    wanted += [f"tag {tag}" for tag in criteria.required_tags or ()]
    if criteria.metric_name and criteria.metric_threshold is not None:
        bound = "at least" if criteria.metric_direction == "maximize" else "at most"
        wanted.append(f"{criteria.metric_name} {bound} {criteria.metric_threshold:g}")
    return "; ".join(wanted)
