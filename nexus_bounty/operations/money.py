"""Where the credits of a bounty are, in words and in the ledger's own terms."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_bounty.models import Bounty, Wire
from nexus_bounty.ports import Balance, CreditsService, Reservation, ReservationStatus


class Money(Wire, frozen=True, kw_only=True):
    """Where the credits of a bounty are."""

    where: str
    reservation: Reservation | None = None
    balances: Sequence[Balance] = ()


async def find_money(credit: CreditsService, bounty: Bounty) -> Money:
    """Where the credits of `bounty` are now."""
    reservation = None
    if bounty.reservation_id is not None:
        reservation = await credit.get_reservation(bounty.reservation_id)
    people = [bounty.creator, *([bounty.claimed_by] if bounty.claimed_by else [])]
    accounts = dict.fromkeys(each.agent_id for each in people)
    return Money(
        where=_where(bounty, reservation),
        reservation=reservation,
        balances=[await credit.balance(account) for account in accounts],
    )


def _where(bounty: Bounty, reservation: Reservation | None) -> str:
    amount, creator = bounty.amount, bounty.creator.agent_id
    if bounty.reservation_id is None:
        return f"{amount} were never set aside: the bounty names no reservation"
    if reservation is None:
        return f"this ledger has no reservation {bounty.reservation_id}: is it the right --credits?"
    return {
        ReservationStatus.HELD: f"{reservation.amount} held in escrow for {bounty.bounty_id}",
        ReservationStatus.CAPTURED: f"{reservation.amount} paid to {reservation.captured_to}",
        ReservationStatus.VOIDED: f"{reservation.amount} given back to {creator}",
        ReservationStatus.EXPIRED: f"{reservation.amount} returned to {creator}: its time was over",
    }[reservation.status]
