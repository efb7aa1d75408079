"""`nexus-bounty renew`."""

from __future__ import annotations

from nexus_bounty.cli.inputs import USUAL_LEASE, Agent, BountyId, Lease, agent, duration
from nexus_bounty.cli.output import Reply
from nexus_bounty.cli.results import done
from nexus_bounty.cli.session import Session

PLACE = ("Bounties", 5)
EXAMPLES = ("renew BOUNTY --agent bob --lease 1h",)


async def renew(
    session: Session, *, bounty_id: BountyId, agent_id: Agent, lease: Lease = USUAL_LEASE
) -> Reply:
    """Extend the lease on a claimed bounty; doing it again only extends it further."""
    span = duration("--lease", lease)
    result = await session.operations().renew(
        bounty_id, agent(agent_id), lease=span, actor=agent_id
    )
    return done(result, f"{agent_id} keeps {result.bounty.title!r}.")
