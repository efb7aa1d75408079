"""`nexus-bounty release`."""

from __future__ import annotations

from nexus_bounty.cli.inputs import Agent, BountyId, Key, agent
from nexus_bounty.cli.output import Reply
from nexus_bounty.cli.results import done
from nexus_bounty.cli.session import Session

PLACE = ("Bounties", 6)
EXAMPLES = ("release BOUNTY --agent bob",)


async def release(
    session: Session, *, bounty_id: BountyId, agent_id: Agent, key: Key = None
) -> Reply:
    """Give a claimed bounty back, so that others can claim it."""
    key = session.begin("release", key, bounty_id)
    result = await session.operations().release(
        bounty_id, agent(agent_id), actor=agent_id, idempotency_key=key
    )
    return done(result, f"{result.bounty.title!r} is open again.")
