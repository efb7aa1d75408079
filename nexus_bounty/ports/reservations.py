"""Credits that are held for something: whose, for what, and who is to be paid from them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from nexus_bounty.models import Wire, utc_now
from nexus_bounty.partition import Partition, decode_segment, encode_segment


class ReservationStatus(StrEnum):
    """Where escrowed credits are: held, with the payee, or back with the payer."""

    HELD = "held"
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"


class EscrowTerms(Wire, frozen=True, kw_only=True):
    """What credits are held for: whose they are, how many, and for what.

    A reservation is paid or given back only to a caller who names these, so that a document that
    names somebody else's reservation moves nothing.

    Attributes:
        account: Whose credits they are.
        amount: In the smallest unit.
        reference: What they are for, see `reference_of`.
    """

    account: str
    amount: int
    reference: str


class Assignment(Wire, frozen=True, kw_only=True):
    """Who is to be paid from a reservation, for which work, by which settlement.

    It is recorded in the ledger before a settlement commits, and names the `key` of that commit,
    by which anybody can find out what became of it.

    Attributes:
        payee: The account that is to be paid.
        work: The contribution that is paid for.
        key: The idempotency key of the commit that decides it.
    """

    payee: str
    work: str
    key: str


class Reservation(Wire, frozen=True, kw_only=True):
    """Credits set aside under an id of the caller's choosing.

    Attributes:
        reservation_id: That id.
        account: Whose credits they are.
        amount: In the smallest unit.
        status: Where they are by now.
        reference: What they are for, see `reference_of`.
        captured_to: Who was paid.
        expires_at: When they go back by themselves; never, if not given.
        assignment: Who is to be paid, once that has been decided.
        created_at: When; aware.
    """

    reservation_id: str
    account: str
    amount: int
    status: ReservationStatus = ReservationStatus.HELD
    reference: str = ""
    captured_to: str | None = None
    expires_at: datetime | None = None
    assignment: Assignment | None = None
    created_at: datetime = msgspec.field(default_factory=utc_now)

    @property
    def terms(self) -> EscrowTerms:
        """What the credits are held for."""
        return EscrowTerms(account=self.account, amount=self.amount, reference=self.reference)


def reference_of(zone_id: str, bounty_id: str) -> str:
    """What the reservation of a bounty names: its zone, in which `/` is `%2F`, and its id."""
    return f"zone:{encode_segment(zone_id)}/bounty:{bounty_id}"


def referred_to(reference: str) -> tuple[str | None, str]:
    """The zone and the bounty that a reservation is for; reservations of old name no zone."""
    zone, found, bounty_id = reference.partition("/bounty:")
    if not found or not zone.startswith("zone:"):
        return None, reference
    return decode_segment(zone.removeprefix("zone:")), bounty_id


def is_for(bounties: Partition, reference: str) -> bool:
    """Whether a reservation with that reference is for one of these."""
    return bounties.is_everything or referred_to(reference)[1] in bounties
