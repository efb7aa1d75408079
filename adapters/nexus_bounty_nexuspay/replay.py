"""Whether an entry does what the ledger's rules would do: whoever may pay can write one.

An entry that does not is passed over, the same by every reader, and `verify` reports it. So a
forged entry, or one of a later release, neither counts nor stops the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from nexus_bounty.ledger import MINT, EntryKind, JournalEntry, escrow_of
from nexus_bounty.ledger.accounts import is_own
from nexus_bounty.memory import MemoryBook
from nexus_bounty.ports import Reservation, ReservationStatus
from nexus_bounty_nexuspay.entries import VERSION, Entry

_FREE: Final = (EntryKind.TRANSFER, EntryKind.TOP_UP)
_ENDINGS: Final = {
    ReservationStatus.CAPTURED: EntryKind.CAPTURE,
    ReservationStatus.VOIDED: EntryKind.VOID,
    ReservationStatus.EXPIRED: EntryKind.EXPIRE,
}
_Movement = tuple[EntryKind | None, str, str, str, int]


def objection(entry: Entry, book: MemoryBook, covered: int) -> str | None:
    """What `entry` says that no ledger by the rules would do to `book`; `None` if nothing.

    `covered` are the new credits that the deposits until then allow for.
    """
    if entry.version > VERSION:
        return f"it is of version {entry.version}, this release knows up to {VERSION}"
    if entry.issued > covered:
        return f"it issues {entry.issued}, of which {max(covered, 0)} were deposited"
    return (
        _reservations_amiss(entry, book)
        or _movements_amiss(entry)
        or _overdrawn(entry.moved, book)
        or _spent_twice(entry.moved, book)
    )


def _reservations_amiss(entry: Entry, book: MemoryBook) -> str | None:
    for each in entry.opened:
        if book.reservation(each.reservation_id) is not None:
            return f"it opens {each.reservation_id} a second time"
        if each.status is not ReservationStatus.HELD or each.assignment is not None:
            return f"it opens {each.reservation_id} as {each.status.value}"
    for each in (*entry.assigned, *entry.closed):
        standing = book.reservation(each.reservation_id)
        if standing is None or standing.status is not ReservationStatus.HELD:
            return f"it changes {each.reservation_id}, which is not held"
        if standing.terms != each.terms:
            return f"it changes what {each.reservation_id} is held for"
    for each in entry.closed:
        payee = _payee_on_record(entry, book, each)
        if each.status is ReservationStatus.CAPTURED and payee not in (None, each.captured_to):
            return f"it pays {each.captured_to}, and {payee} is on record for {each.reservation_id}"
    return None


def _payee_on_record(entry: Entry, book: MemoryBook, reservation: Reservation) -> str | None:
    """Who is on record to be paid from a reservation, once the entry has assigned what it does."""
    standing = book.reservation(reservation.reservation_id)
    for each in entry.assigned:
        standing = each if each.reservation_id == reservation.reservation_id else standing
    return standing.assignment.payee if standing and standing.assignment else None


def _movements_amiss(entry: Entry) -> str | None:
    """What the movements do besides what the reservations call for."""
    called_for = [_opening(each) for each in entry.opened]
    called_for += [_ending(each) for each in entry.closed]
    for each in entry.moved:
        moved = (each.kind, each.source_id, each.debit, each.credit, each.amount)
        if each.amount <= 0:
            return f"it moves {each.amount}"
        if each.kind in _FREE:
            from_mint = each.debit == MINT
            if from_mint != (each.kind is EntryKind.TOP_UP) or _is_system(each, from_mint):
                return f"its {each.kind.value} touches an account of the ledger's own"
        elif moved in called_for:
            called_for.remove(moved)
        else:
            return f"its {each.kind.value} of {each.source_id} fits no reservation"
    return "it changes reservations without moving their credits" if called_for else None


def _is_system(movement: JournalEntry, from_mint: bool) -> bool:
    """Whether a transfer or top-up touches an account that only the ledger itself may move."""
    names = [movement.credit] if from_mint else [movement.debit, movement.credit]
    return any(is_own(name) for name in names)


def _opening(each: Reservation) -> _Movement:
    escrow = escrow_of(each.account)
    return EntryKind.RESERVE, each.reservation_id, each.account, escrow, each.amount


def _ending(each: Reservation) -> _Movement:
    kind = _ENDINGS.get(each.status)
    payee = each.captured_to or each.account
    return kind, each.reservation_id, escrow_of(each.account), payee, each.amount


def _overdrawn(moved: Sequence[JournalEntry], book: MemoryBook) -> str | None:
    changes: Counter[str] = Counter()
    for movement in moved:
        for name, change in movement.postings:
            changes[name] += change
            if name != MINT and book.balance(name) + changes[name] < 0:
                return f"it takes more from {name} than there is"
    return None


def _spent_twice(moved: Sequence[JournalEntry], book: MemoryBook) -> str | None:
    """The id of a transfer stands for one movement."""
    for movement in moved:
        if movement.kind in _FREE and book.transfer(movement.source_id) is not None:
            return f"it repeats {movement.source_id}"
    return None
