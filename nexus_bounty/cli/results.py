"""How the result of an operation reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexus_bounty.cli.output import LazyText, Reply, facts, lines, safe
from nexus_bounty.models import BountyStatus, Claim
from nexus_bounty.ports import Balance, ReservationStatus
from nexus_bounty.statuses import STATUSES

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from nexus_bounty.operations import OperationResult


def done(result: OperationResult, what: str, following: str | None = None) -> Reply:
    """The reply to an operation that is committed: `what` in a sentence, and what may be next."""
    return Reply(result, LazyText(lambda: _told(result, what, following)))


def _told(result: OperationResult, what: str, following: str | None) -> RenderableType:
    from rich.text import Text

    bounty = result.bounty
    rows = facts(
        ("Bounty", bounty.bounty_id),
        ("Status", bounty.status.value),
        ("Money", _money(result)),
        ("Lease", _lease(result.claim) if result.claim else None),
        ("Owed", f"{', '.join(result.owed)}: the reconciler sees to it" if result.owed else None),
        ("Key", result.idempotency_key),
        ("Next", following),
    )
    return lines(Text.assemble(("✓ ", "bold green"), safe(what)), rows)


def balances(standing: list[Balance]) -> RenderableType:
    """What each account has."""
    return facts(
        *((each.account, f"{each.available} free, {each.reserved} in escrow") for each in standing)
    )


def status_text(status: BountyStatus) -> Text:
    """A status in its colour."""
    from rich.text import Text

    return Text(status.value, STATUSES[status].colour)


def _lease(claim: Claim) -> str:
    return f"until {claim.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC"


def _money(result: OperationResult) -> str:
    amount, reservation = result.bounty.amount, result.reservation
    if reservation is not None and reservation.status in _ENDS:
        return f"{amount} {_ENDS[reservation.status]} {result.credits_with}"
    if result.bounty.reservation_id is None:
        return f"{amount} that were never in escrow"
    return f"{amount} held in escrow"


_ENDS: Final = {
    ReservationStatus.CAPTURED: "paid to",
    ReservationStatus.VOIDED: "given back to",
    ReservationStatus.EXPIRED: "returned to",
}
