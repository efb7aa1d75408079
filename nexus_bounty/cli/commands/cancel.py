"""`nexus-bounty cancel`."""

from __future__ import annotations

from nexus_bounty.cli.inputs import BountyId, Key
from nexus_bounty.cli.output import Reply
from nexus_bounty.cli.results import done
from nexus_bounty.cli.session import Session

PLACE = ("Bounties", 8)
EXAMPLES = ("cancel BOUNTY",)


async def cancel(session: Session, *, bounty_id: BountyId, key: Key = None) -> Reply:
    """Withdraw a bounty and give its credits back to its creator."""
    key = session.begin("cancel", key, bounty_id)
    result = await session.operations().cancel(bounty_id, idempotency_key=key)
    return done(result, f"Cancelled {result.bounty.title!r}.")
