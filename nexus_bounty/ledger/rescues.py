"""What an operator has freed: the ledger's journal says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from nexus_bounty.ledger.entries import EntryKind
from nexus_bounty.ports import CreditsService, Reservation, ReservationStatus

if TYPE_CHECKING:
    from nexus_bounty.ledger.service import LedgerCredits

_ENDS: Final = frozenset({EntryKind.CAPTURE, EntryKind.VOID})


async def why_rescued(credit: CreditsService, found: Reservation) -> str | None:
    """Why an operator has freed a reservation; `None` if none has, or the ledger does not tell.

    Credits that go where they belong have no reason on record.

    Raises:
        CommitUnknownError: The ledger could not be read.
    """
    if not hasattr(credit, "history") or found.status is ReservationStatus.HELD:
        return None
    journal = cast("LedgerCredits", credit).history(source_id=found.reservation_id)
    entries = [each async for each in journal]
    memos = [each.memo for each in entries if each.kind in _ENDS]
    prefix = f"{found.reference}: "
    return next((each[len(prefix) :] for each in memos if each.startswith(prefix)), None)
