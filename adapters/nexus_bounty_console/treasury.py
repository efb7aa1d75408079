"""What is in escrow, by account."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from nexus_bounty.ledger import LedgerCredits
from nexus_bounty.ledger.totals import Sums
from nexus_bounty.ports import CreditsService, Reservation, ReservationStatus, referred_to


@dataclass(frozen=True)
class HeldCredits:
    """What one account has in escrow.

    Attributes:
        account: Whose credits they are.
        reservations: What they are held for, the oldest first.
    """

    account: str
    reservations: Sequence[Reservation]

    @property
    def amount(self) -> int:
        """How much it is, in the smallest unit."""
        return sum(each.amount for each in self.reservations)

    @property
    def since(self) -> datetime:
        """When the oldest of it was set aside."""
        return min(each.created_at for each in self.reservations)


@dataclass(frozen=True)
class Escrow:
    """All that is held.

    Attributes:
        ledger_id: In which ledger.
        accounts: Whose it is, the largest amounts first.
        sums: The credits of the whole system, where the ledger can count them.
    """

    ledger_id: str
    accounts: Sequence[HeldCredits] = ()
    sums: Sums | None = None

    @property
    def amount(self) -> int:
        """How much is held in all."""
        return sum(each.amount for each in self.accounts)

    @property
    def count(self) -> int:
        """For how many bounties."""
        return sum(len(each.reservations) for each in self.accounts)


async def read_escrow(credit: CreditsService) -> Escrow:
    """Read what is held.

    Raises:
        CommitUnknownError: The ledger could not be read.
    """
    held: defaultdict[str, list[Reservation]] = defaultdict(list)
    async for each in credit.reservations(ReservationStatus.HELD):
        held[each.account].append(each)
    accounts = [HeldCredits(account, reservations) for account, reservations in held.items()]
    accounts.sort(key=lambda each: (-each.amount, each.account))
    sums = await credit.sums() if isinstance(credit, LedgerCredits) else None
    return Escrow(await credit.identity(), accounts, sums)


def bounty_of(reservation: Reservation) -> str:
    """The id of the bounty that a reservation is for."""
    return referred_to(reservation.reference)[1]
