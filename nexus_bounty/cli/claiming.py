"""`nexus-bounty claim`, `renew` and `release`."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_bounty.cli.inputs import Agent, BountyId, Key, Lease, agent, duration
from nexus_bounty.cli.output import Reply
from nexus_bounty.cli.results import done
from nexus_bounty.cli.session import Session

_LEASE = "30m"


async def claim(
    session: Session,
    *,
    bounty_id: BountyId,
    agent_id: Agent,
    lease: Lease = _LEASE,
    allow_own: Annotated[
        bool, typer.Option("--allow-own", help="Let creators claim what they pay for themselves.")
    ] = False,
    key: Key = None,
) -> Reply:
    """Claim an open bounty: nobody else can while the lease lasts."""
    span = duration("--lease", lease)
    key = session.begin("claim", key, bounty_id, repeat=f"--lease {lease}")
    result = await session.operations(allow_self_claims=allow_own).claim(
        bounty_id, agent(agent_id), lease=span, idempotency_key=key
    )
    settle = f"nexus-bounty settle {bounty_id} CONTRIBUTION"
    return done(result, f"{agent_id} has claimed {result.bounty.title!r}.", settle)


async def renew(
    session: Session, *, bounty_id: BountyId, agent_id: Agent, lease: Lease = _LEASE
) -> Reply:
    """Extend the lease on a claimed bounty; doing it again only extends it further."""
    span = duration("--lease", lease)
    result = await session.operations().renew(bounty_id, agent(agent_id), lease=span)
    return done(result, f"{agent_id} keeps {result.bounty.title!r}.")


async def release(
    session: Session, *, bounty_id: BountyId, agent_id: Agent, key: Key = None
) -> Reply:
    """Give a claimed bounty back, so that others can claim it."""
    key = session.begin("release", key, bounty_id)
    result = await session.operations().release(bounty_id, agent(agent_id), idempotency_key=key)
    return done(result, f"{result.bounty.title!r} is open again.")
