"""`nexus-bounty settle`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nexus_bounty.cli.inputs import Actor, BountyId, Key, contribution_from
from nexus_bounty.cli.output import Reply
from nexus_bounty.cli.results import done
from nexus_bounty.cli.session import Session

PLACE = ("Bounties", 7)
EXAMPLES = (
    "settle BOUNTY cid-1",
    "settle BOUNTY cid-1 --contribution-file work.json",
)


async def settle(
    session: Session,
    *,
    bounty_id: BountyId,
    contribution: Annotated[
        str, typer.Argument(metavar="CID", help="The content id of the delivered work.")
    ],
    contribution_file: Annotated[
        Path | None,
        typer.Option(
            "--contribution-file",
            metavar="FILE",
            help="Take the contribution from this JSON file (cid, tags, scores), not the zone.",
        ),
    ] = None,
    actor: Actor = None,
    key: Key = None,
) -> Reply:
    """Pay the claimer for a contribution that meets the criteria."""
    contributions = contribution_from(contribution_file) if contribution_file else None
    key = session.begin("settle", key, bounty_id)
    result = await session.operations(contributions=contributions).settle(
        bounty_id, contribution, actor=actor, idempotency_key=key
    )
    return done(result, f"Paid {result.bounty.amount} credits to {result.credits_with}.")
