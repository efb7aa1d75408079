"""What the rules need of the place where a ledger is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from nexus_bounty.ledger.accounts import escrow_of
from nexus_bounty.ledger.entries import JournalEntry
from nexus_bounty.ledger.totals import Sums
from nexus_bounty.models import Wire
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.ports import Reservation, ReservationStatus, Transfer


class LedgerScope(Wire, frozen=True, kw_only=True):
    """What one call may read and change; a reservation stands for its accounts, too.

    Attributes:
        accounts: Accounts by their names.
        reservations: Reservations by their ids.
        transfers: Transfers and top-ups by their ids.
        works: Contributions that are paid for.
        operations: Operations by zone and key.
    """

    accounts: tuple[str, ...] = ()
    reservations: tuple[str, ...] = ()
    transfers: tuple[str, ...] = ()
    works: tuple[str, ...] = ()
    operations: tuple[tuple[str, str], ...] = ()

    def covers(self, reservation: Reservation) -> bool:
        """Whether what becomes of a call in this scope may depend on `reservation`."""
        assignment = reservation.assignment
        return (
            reservation.reservation_id in self.reservations
            or reservation.account in self.accounts
            or (assignment is not None and assignment.work in self.works)
        )


def both_accounts_of(account: str) -> tuple[str, str]:
    """The account of free credits and the one of those set aside."""
    return account, escrow_of(account)


class Book(Protocol):
    """A ledger inside one transaction.

    Everything read is one state, and everything written is kept or lost as a whole.
    """

    def identity(self) -> str:
        """Which ledger this is."""
        ...

    def adopt_identity(self, identity: str) -> None:
        """Become another place of that ledger; only where nothing has moved yet."""
        ...

    def balance(self, name: str) -> int:
        """What the account has; zero if it was never heard of."""
        ...

    def accounts(self) -> Iterable[tuple[str, int]]:
        """Every account that ever moved, with its balance."""
        ...

    def sums(self) -> Sums:
        """The credits of all of them, added up."""
        ...

    def post(self, entry: JournalEntry) -> None:
        """Append to the journal and change both balances."""
        ...

    def entries(
        self,
        *,
        after: int = 0,
        limit: int = -1,
        source_id: str | None = None,
        names: Sequence[str] | None = None,
    ) -> list[JournalEntry]:
        """Journal entries after `after`, oldest first, of one source or touching `names`."""
        ...

    def transfer(self, transfer_id: str) -> Transfer | None:
        """The transfer or top-up with this id, or `None`."""
        ...

    def reservation(self, reservation_id: str) -> Reservation | None:
        """The reservation with this id, or `None`."""
        ...

    def add_reservation(self, reservation: Reservation) -> None:
        """Write a new reservation down."""
        ...

    def assign_reservation(self, assigned: Reservation) -> None:
        """Replace a held reservation by one with another assignment, or with none."""
        ...

    def paid_for(self, work: str, *, besides: str) -> Reservation | None:
        """Another reservation than `besides`, held or captured, that is assigned for `work`."""
        ...

    def close_reservation(self, closed: Reservation) -> None:
        """Replace a held reservation by its final state."""
        ...

    def overdue(
        self, now: datetime, limit: int = -1, *, scope: LedgerScope | None = None
    ) -> list[Reservation]:
        """Held reservations whose time is over at `now`: all, or at least what `scope` covers."""
        ...

    def reservations(
        self,
        *,
        status: ReservationStatus | None = None,
        bounties: Partition = EVERYTHING,
        after: int = 0,
        limit: int = -1,
    ) -> list[tuple[int, Reservation]]:
        """Reservations for `bounties` after position `after`, oldest first, each with its own."""
        ...
