"""`nexus-bounty show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_bounty.cli.inputs import BountyId
from nexus_bounty.cli.output import LazyText, Reply, facts
from nexus_bounty.cli.results import status_text
from nexus_bounty.cli.session import Session
from nexus_bounty.models import Bounty, BountyCriteria
from nexus_bounty.statuses import STATUSES

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

PLACE = ("Bounties", 3)
EXAMPLES = (
    "show BOUNTY",
    "show BOUNTY --json",
)


async def show(session: Session, *, bounty_id: BountyId) -> Reply:
    """Show one bounty as it stands."""
    bounty = await session.standing(bounty_id)
    return Reply(bounty, LazyText(lambda: _portrait(bounty)))


def _portrait(bounty: Bounty) -> RenderableType:
    return facts(
        ("Bounty", bounty.bounty_id),
        ("Title", bounty.title),
        ("About", bounty.description or None),
        ("Status", _status(bounty)),
        ("Not trusted", bounty.untrusted),
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
