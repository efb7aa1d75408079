"""`nexus-bounty rescue`: an operator frees credits that no rule can."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer
from rich.text import Text

from nexus_bounty.cli.exits import UsageProblem
from nexus_bounty.cli.options import LedgerOptions
from nexus_bounty.cli.output import Reply, facts, lines
from nexus_bounty.cli.session import Session
from nexus_bounty.ledger.rescues import why_rescued
from nexus_bounty.outcomes import OutcomeError
from nexus_bounty.ports import CreditsService, Reservation

PLACE = ("When something went wrong", 6)
EXAMPLES = (
    'rescue RESERVATION --give-back --because "its document was deleted"',
    'rescue RESERVATION --pay bob --because "delivered; the document was forged"',
)
OPTIONS = LedgerOptions


async def rescue(
    session: Session,
    *,
    reservation_id: Annotated[
        str, typer.Argument(metavar="RESERVATION", help="Its id, as audit names it.")
    ],
    because: Annotated[
        str, typer.Option("--because", metavar="TEXT", help="Why: it is written to the ledger.")
    ],
    give_back: Annotated[
        bool, typer.Option("--give-back", help="To the account whose credits they are.")
    ] = False,
    pay: Annotated[str | None, typer.Option("--pay", metavar="AGENT", help="To an agent.")] = None,
) -> Reply:
    """Free escrow whose bounty is gone or forged: no rule can, and no reconciler does.

    It looks at no bounty and at no assignment: audit first. A repeat does nothing more.
    """
    if give_back == (pay is not None):
        raise UsageProblem("say --give-back or --pay AGENT, one of them")
    session.changes = True
    freed = await session.credits.rescue(reservation_id, to_account=pay, because=because)
    whose = freed.captured_to or freed.account
    heading = Text(f"{freed.amount} credits are with {whose} now.")
    why = await _why(session.credits, freed)
    return Reply(freed, lines(heading, facts(("Reservation", reservation_id), ("Why", why))))


async def _why(credit: CreditsService, freed: Reservation) -> str | None:
    """The reason that the ledger has on record: that of whoever freed them first, if any."""
    with suppress(OutcomeError):  # it has happened, whether the reason can be read or not
        return await why_rescued(credit, freed)
    return None
