"""`nexus-bounty expire`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from nexus_bounty.cli.exits import OF_OUTCOME, ExitCode
from nexus_bounty.cli.inputs import Key
from nexus_bounty.cli.output import Reply, facts, lines, progress
from nexus_bounty.cli.results import done
from nexus_bounty.cli.session import Session
from nexus_bounty.operations import ExpiryResult
from nexus_bounty.outcomes import Outcome

PLACE = ("Bounties", 9)
EXAMPLES = (
    "expire",
    "expire BOUNTY",
)


async def expire(
    session: Session,
    *,
    bounty_id: Annotated[
        str | None,
        typer.Argument(metavar="[BOUNTY]", help="Only this one; all that are due if not given."),
    ] = None,
    key: Key = None,
) -> Reply:
    """End bounties that are past their deadline and give their credits back."""
    if bounty_id is not None:
        key = session.begin("expire", key, bounty_id)
        result = await session.operations().expire(bounty_id, idempotency_key=key)
        return done(result, f"Expired {result.bounty.title!r}.")
    with progress("Ending what is due"):
        swept = await session.operations().expire_due()
    return Reply(swept, _told(swept), _worst(swept))


def _told(swept: ExpiryResult) -> RenderableType:
    ended = [
        (each.bounty.bounty_id, f"expired; {each.bounty.amount} back with {each.credits_with}")
        for each in swept.expired
    ]
    resisted = [(each.bounty_id, f"{each.outcome}: {each.reason}") for each in swept.failed]
    heading = f"{len(ended)} expired, {len(resisted)} not." if ended or resisted else "None is due."
    return lines(Text(heading, "bold"), facts(*ended, *resisted))


def _worst(swept: ExpiryResult) -> ExitCode:
    return max((OF_OUTCOME[Outcome(each.outcome)] for each in swept.failed), default=ExitCode.OK)
