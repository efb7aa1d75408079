"""The port of the money."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import msgspec

from nexus_bounty.models import Wire, utc_now
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.ports.reservations import Assignment, EscrowTerms, Reservation, ReservationStatus


class Transfer(Wire, frozen=True, kw_only=True):
    """Credits moved from one account to another, under an id of the caller's choosing.

    Attributes:
        transfer_id: That id.
        from_account: Who had them.
        to_account: Who has them.
        amount: In the smallest unit.
        memo: What for.
        created_at: When; aware.
    """

    transfer_id: str
    from_account: str
    to_account: str
    amount: int
    memo: str = ""
    created_at: datetime = msgspec.field(default_factory=utc_now)


class Balance(Wire, frozen=True, kw_only=True):
    """What an account has, in the smallest unit.

    Attributes:
        account: Whose.
        available: Free to use.
        reserved: Set aside.
    """

    account: str
    available: int
    reserved: int


@runtime_checkable
class CreditsService(Protocol):
    """Holds the money. Every mutation is idempotent by its id.

    `held_for` names what a reservation is held for; if it is given and does not fit, nothing is
    changed.

    Each raises `PaymentError` (pre-commit) when the service refuses, `InvalidInputError` for bad
    input, `IdempotencyMismatchError` when the id was used before with other parameters, and
    `CommitUnknownError` when the answer was lost: ask again with the same id. A repeat that cannot
    look at what became of the lost one raises it again, and no `PaymentError` (see `CallsInDoubt`).
    """

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
        """Set `amount` of `account` aside.

        A reservation with `expires_at` returns to its account by itself from that moment on; one
        with `timeout` so long after it was made, however often that is asked for.

        Raises:
            InsufficientCreditsError: `account` does not have it (pre-commit).
        """
        ...

    async def assign(
        self,
        reservation_id: str,
        assignment: Assignment,
        *,
        held_for: EscrowTerms | None = None,
        replacing: str | None = None,
        shared_work: bool = False,
    ) -> Reservation:
        """Record who is to be paid from a held reservation; the same again is a no-op.

        From then on only that payee is paid, for that work, and nothing is given back on request.
        Whoever has found out that the settlement with the key `replacing` never will commit takes
        its place. Unless the work is shared, it pays one reservation only.

        Raises:
            AssignedError: Another assignment stands, which is attached (pre-commit).
            PaymentError: It is unknown, not held, not held for that, or the work is or was paid
                from another reservation (pre-commit).
        """
        ...

    async def unassign(self, reservation_id: str, key: str) -> Reservation:
        """Take back the assignment of the settlement `key`, which never will commit.

        One that is not there, or is another's, is left as it is.

        Raises:
            PaymentError: The reservation is unknown (pre-commit).
        """
        ...

    async def capture(
        self,
        reservation_id: str,
        *,
        to_account: str,
        work: str | None = None,
        held_for: EscrowTerms | None = None,
    ) -> Reservation:
        """Pay a held reservation to `to_account`; again to the same account is a no-op.

        With `work`, only if it was assigned to that account for that work.

        Raises:
            PaymentError: It is unknown, voided, expired, captured to another, assigned to another
                or for other work, or not held for that (pre-commit).
        """
        ...

    async def void(
        self,
        reservation_id: str,
        *,
        held_for: EscrowTerms | None = None,
        despite: str | None = None,
    ) -> Reservation:
        """Give a held reservation back to its account; again is a no-op.

        One that is assigned is given back only to whoever knows that the settlement never will
        commit, and names its key: `despite` it.

        Raises:
            AssignedError: It is to be paid to somebody (pre-commit).
            PaymentError: It is unknown, captured, or not held for that (pre-commit).
        """
        ...

    async def rescue(
        self, reservation_id: str, *, to_account: str | None, because: str
    ) -> Reservation:
        """Free what no rule can: pay it to `to_account`, or give it back without one.

        For operators, who say why: `because` is written to the ledger's journal. The terms and
        an assignment do not stand in the way; what has ended already stays as it is.

        Raises:
            PaymentError: It is unknown, or has ended otherwise (pre-commit).
            CommitUnknownError: The ledger did not say; ask again.
        """
        ...

    async def transfer(
        self, transfer_id: str, *, from_account: str, to_account: str, amount: int, memo: str = ""
    ) -> Transfer:
        """Move free credits; the same id again is a no-op.

        Raises:
            InsufficientCreditsError: `from_account` does not have it (pre-commit).
        """
        ...

    async def identity(self) -> str:
        """Which ledger this is: the same wherever it is opened, another for every other ledger.

        Raises:
            CommitUnknownError: The ledger cannot be read.
        """
        ...

    async def balance(self, account: str) -> Balance:
        """What the account has; an account never heard of has nothing.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        ...

    async def get_reservation(self, reservation_id: str) -> Reservation | None:
        """The reservation as it stands, or `None`.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        ...

    def reservations(
        self, status: ReservationStatus | None = None, *, bounties: Partition = EVERYTHING
    ) -> AsyncIterator[Reservation]:
        """Every reservation (in `status`), oldest first, without loading them all.

        Only those for `bounties`, see `referred_to`.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        ...

    async def top_up(self, transfer_id: str, *, account: str, amount: int) -> Transfer:
        """Bring new credits into the system: the only way its total ever changes.

        Raises:
            PaymentError: This service does not let its clients do that (pre-commit).
        """
        ...

    async def close(self) -> None:
        """Let go of what the service itself opened."""
        ...
