"""Where a copy of a ledger has gone on by itself: what it has that its source has not.

Whoever asks gives what the copy has; it is compared in the source. What the source has besides,
or has further, is only yet to be copied: of an operation that both went on with, that is all that
can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from nexus_bounty.ledger.book import Book
from nexus_bounty.ledger.entries import EntryKind, JournalEntry
from nexus_bounty.models import Wire
from nexus_bounty.outcomes import Outcome
from nexus_bounty.ports import JOURNAL_KEPT, JournaledOperation, Reservation, ReservationStatus

HAPPENED: Final = (Outcome.COMMITTED, Outcome.POST_COMMIT)
_NOT_ENDED: Final = datetime.min.replace(tzinfo=UTC)


class Movement(Wire, frozen=True, kw_only=True):
    """A journal entry, and the reservation that it belongs to as it stands, if it is one's."""

    entry: JournalEntry
    reservation: Reservation | None = None


def movements_ahead(source: Book, page: Sequence[Movement]) -> list[str]:
    """What is told of those movements of a copy that did not come from `source`."""
    return [
        f"{each.entry.kind.value} {each.entry.source_id} is not in the source, or otherwise"
        for each in page
        if not _came_from(source, each)
    ]


def operations_ahead(
    found: Sequence[tuple[JournaledOperation, JournaledOperation | None]], now: datetime
) -> list[str]:
    """What is told of those operations of a copy that went on, each beside the source's own."""
    return [
        f"operation {ours.key} of zone {ours.zone_id} is not as far in the source"
        for ours, theirs in found
        if not _is_forgotten(ours, theirs, now) and is_further(ours, theirs)
    ]


def is_further(operation: JournaledOperation, than: JournaledOperation | None) -> bool:
    """Whether what an operation says came after what the other place says of its key."""
    return than is None or _progress(operation) > _progress(than)


def is_assigned_otherwise(ours: Reservation, theirs: Reservation | None) -> bool:
    """Whether a reservation is to be paid to somebody, and not to the other place's payee."""
    return ours.assignment is not None and (theirs is None or theirs.assignment != ours.assignment)


def _came_from(source: Book, movement: Movement) -> bool:
    entry, ours = movement.entry, movement.reservation
    if entry.kind in (EntryKind.TOP_UP, EntryKind.TRANSFER):
        return source.transfer(entry.source_id) == entry.as_transfer
    theirs = source.reservation(entry.source_id)
    if ours is None or theirs is None:
        return False
    if ours.status is ReservationStatus.HELD:
        return not is_assigned_otherwise(ours, theirs)
    return (ours.status, ours.captured_to) == (theirs.status, theirs.captured_to)


def _progress(operation: JournaledOperation) -> tuple[bool, datetime, int, bool, datetime, bool]:
    """How far an operation is: each change makes it more, that of the last word on it aside."""
    return (
        operation.outcome in HAPPENED,  # for good
        operation.began_at,  # later for another one under a key that was left free
        operation.calls,
        not operation.is_open,
        operation.ended_at or _NOT_ENDED,
        bool(operation.reason),
    )


def _is_forgotten(
    ours: JournaledOperation, theirs: JournaledOperation | None, now: datetime
) -> bool:
    """Whether the source may have had it, and dropped it for its age."""
    return theirs is None and ours.ended_at is not None and ours.ended_at < now - JOURNAL_KEPT
