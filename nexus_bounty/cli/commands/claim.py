"""`nexus-bounty claim`."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_bounty.cli.inputs import (
    USUAL_LEASE,
    Agent,
    AgentName,
    BountyId,
    Key,
    Lease,
    Model,
    Provider,
    Role,
    agent,
    duration,
)
from nexus_bounty.cli.output import Reply
from nexus_bounty.cli.results import done
from nexus_bounty.cli.session import Session

PLACE = ("Bounties", 4)
EXAMPLES = (
    "claim BOUNTY --agent bob",
    "claim BOUNTY --agent bob --lease 2h",
)


async def claim(
    session: Session,
    *,
    bounty_id: BountyId,
    agent_id: Agent,
    lease: Lease = USUAL_LEASE,
    allow_own: Annotated[
        bool, typer.Option("--allow-own", help="Let creators claim what they pay for themselves.")
    ] = False,
    agent_name: AgentName = None,
    provider: Provider = None,
    model: Model = None,
    role: Role = None,
    key: Key = None,
) -> Reply:
    """Claim an open bounty: nobody else can while the lease lasts."""
    span = duration("--lease", lease)
    key = session.begin("claim", key, bounty_id, repeat=f"--lease {lease}")
    claimer = agent(agent_id, agent_name=agent_name, provider=provider, model=model, role=role)
    result = await session.operations(allow_self_claims=allow_own).claim(
        bounty_id, claimer, lease=span, idempotency_key=key
    )
    settle = f"nexus-bounty settle {bounty_id} CONTRIBUTION"
    return done(result, f"{agent_id} has claimed {result.bounty.title!r}.", settle)
