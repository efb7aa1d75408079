"""How the result of an operation reads."""

from __future__ import annotations

from rich.text import Text

from nexus_bounty.cli.output import Reply, facts, lines, safe
from nexus_bounty.operations import OperationResult
from nexus_bounty.ports import Reservation


def done(result: OperationResult, what: str, following: str | None = None) -> Reply:
    """The reply to an operation that is committed: `what` in a sentence, and what may be next."""
    bounty = result.bounty
    rows = facts(
        ("Bounty", bounty.bounty_id),
        ("Status", bounty.status.value),
        ("Money", _money(result)),
        (
            "Lease",
            f"until {result.claim.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC"
            if result.claim
            else None,
        ),
        ("Owed", f"{', '.join(result.owed)}: the reconciler sees to it" if result.owed else None),
        ("Key", result.idempotency_key),
        ("Next", following),
    )
    return Reply(result, lines(Text.assemble(("✓ ", "bold green"), safe(what)), rows))


def _money(result: OperationResult) -> str:
    bounty, reservation = result.bounty, result.reservation
    return f"{bounty.amount} {_where(reservation, result.credits_with)}"


def _where(reservation: Reservation | None, holder: str | None) -> str:
    if holder is not None and holder.startswith("escrow"):
        return "held in escrow"
    if reservation is None:
        return "was never held in escrow"
    return f"{reservation.status.value}: with {holder}"
