"""Operations without a credits service: bounties whose amount is a promise, and no escrow."""

# ruff: noqa: ARG002 - the parameters are the protocol's

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final, NoReturn

from nexus_bounty.outcomes import Evidence, PaymentError, Proof
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.ports import (
    Assignment,
    Balance,
    EscrowTerms,
    Reservation,
    ReservationStatus,
    Transfer,
)

NO_LEDGER: Final = "no ledger"


class WithoutCredits:
    """A `CreditsService` that has none: it knows of no reservation, and refuses to make any.

    Bounties whose credits are in a ledger are for those who have it: their operations are refused
    here before anything is written.
    """

    async def identity(self) -> str:
        """That of no ledger."""
        return NO_LEDGER

    async def get_reservation(self, reservation_id: str) -> Reservation | None:
        """None: there is none here, which says nothing of others."""
        return None

    async def reservations(
        self, status: ReservationStatus | None = None, *, bounties: Partition = EVERYTHING
    ) -> AsyncIterator[Reservation]:
        """None."""
        nothing: tuple[Reservation, ...] = ()
        for each in nothing:
            yield each

    async def balance(self, account: str) -> Balance:
        """Nobody has anything."""
        return Balance(account=account, available=0, reserved=0)

    async def reserve(
        self,
        reservation_id: str,
        *,
        account: str,
        amount: int,
        reference: str = "",
        expires_at: datetime | None = None,
        timeout: timedelta | None = None,
    ) -> Reservation:
        """Refuse.

        Raises:
            PaymentError: There is no ledger (pre-commit).
        """
        _refuse()

    async def assign(
        self,
        reservation_id: str,
        assignment: Assignment,
        *,
        held_for: EscrowTerms | None = None,
        replacing: str | None = None,
        shared_work: bool = False,
    ) -> Reservation:
        """Refuse, as `reserve` does."""
        _refuse()

    async def rescue(
        self, reservation_id: str, *, to_account: str | None, because: str
    ) -> Reservation:
        """Refuse, as `reserve` does."""
        _refuse()

    async def unassign(self, reservation_id: str, key: str) -> Reservation:
        """Refuse, as `reserve` does."""
        _refuse()

    async def capture(
        self,
        reservation_id: str,
        *,
        to_account: str,
        work: str | None = None,
        held_for: EscrowTerms | None = None,
    ) -> Reservation:
        """Refuse, as `reserve` does."""
        _refuse()

    async def void(
        self,
        reservation_id: str,
        *,
        held_for: EscrowTerms | None = None,
        despite: str | None = None,
    ) -> Reservation:
        """Refuse, as `reserve` does."""
        _refuse()

    async def transfer(
        self, transfer_id: str, *, from_account: str, to_account: str, amount: int, memo: str = ""
    ) -> Transfer:
        """Refuse, as `reserve` does."""
        _refuse()

    async def top_up(self, transfer_id: str, *, account: str, amount: int) -> Transfer:
        """Refuse, as `reserve` does."""
        _refuse()

    async def close(self) -> None:
        """Nothing is open."""


def _refuse() -> NoReturn:
    raise PaymentError(
        "these operations have no credits service", evidence=Evidence(proof=Proof.LOCAL_CHECK)
    )
