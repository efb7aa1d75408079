"""`nexus-bounty cancel`."""

from __future__ import annotations

from nexus_bounty.cli.inputs import Actor, BountyId, Key
from nexus_bounty.cli.output import Reply
from nexus_bounty.cli.results import done
from nexus_bounty.cli.session import Session

PLACE = ("Bounties", 8)
EXAMPLES = ("cancel BOUNTY", "cancel BOUNTY --agent alice")


async def cancel(
    session: Session, *, bounty_id: BountyId, actor: Actor = None, key: Key = None
) -> Reply:
    """Withdraw a bounty and give its credits back to its creator."""
    key = session.begin("cancel", key, bounty_id)
    result = await session.operations().cancel(bounty_id, actor=actor, idempotency_key=key)
    return done(result, f"Cancelled {result.bounty.title!r}.")
