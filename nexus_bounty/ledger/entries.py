"""The journal: what moved, from where, to where, and on whose behalf."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from nexus_bounty.models import Wire
from nexus_bounty.ports import Transfer


class EntryKind(StrEnum):
    """What a movement was for."""

    TOP_UP = "top_up"
    TRANSFER = "transfer"
    RESERVE = "reserve"
    CAPTURE = "capture"
    VOID = "void"
    EXPIRE = "expire"


class JournalEntry(Wire, frozen=True, kw_only=True):
    """`amount` credits taken from the account `debit` and given to the account `credit`.

    `source_id` is the reservation or transfer that it belongs to. `entry_id` rises with time and
    is given by the ledger; zero means not yet written.
    """

    kind: EntryKind
    source_id: str
    debit: str
    credit: str
    amount: int
    at: datetime
    memo: str = ""
    entry_id: int = 0

    @property
    def postings(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """What each account changes by; the two add up to zero."""
        return (self.debit, -self.amount), (self.credit, self.amount)

    @property
    def as_transfer(self) -> Transfer:
        """The transfer or top-up that this is the one entry of."""
        return Transfer(
            transfer_id=self.source_id,
            from_account=self.debit,
            to_account=self.credit,
            amount=self.amount,
            memo=self.memo,
            created_at=self.at,
        )

    def __str__(self) -> str:
        """One line for people."""
        note = f" ({self.memo})" if self.memo else ""
        moved = f"{self.amount} from {self.debit} to {self.credit}"
        return f"{self.at.isoformat()} {self.kind.value} {self.source_id}: {moved}{note}"
