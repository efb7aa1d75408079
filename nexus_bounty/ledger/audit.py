"""Whether the balances and reservations are what the journal says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nexus_bounty.ledger.accounts import MINT, escrow_of, is_escrow
from nexus_bounty.ledger.book import Book
from nexus_bounty.ledger.entries import EntryKind, JournalEntry
from nexus_bounty.ledger.totals import Sums
from nexus_bounty.models import Wire
from nexus_bounty.ports import Reservation, ReservationStatus


class Audit(Wire, frozen=True, kw_only=True):
    """What a recount of the whole journal found."""

    entries: int
    accounts: int
    reservations: int
    sums: Sums
    problems: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def audit(book: Book) -> Audit:
    """Recount everything from the journal and compare."""
    journal = book.entries()
    accounts = dict(book.accounts())
    reservations = [reservation for _, reservation in book.reservations()]
    problems = [
        *_wrong_balances(journal, accounts),
        *_wrong_reservations(journal, reservations),
        *_wrong_escrow(accounts, reservations),
    ]
    return Audit(
        entries=len(journal),
        accounts=len(accounts),
        reservations=len(reservations),
        sums=book.sums(),
        problems=problems,
    )


def _wrong_balances(journal: Iterable[JournalEntry], accounts: Mapping[str, int]) -> Iterator[str]:
    counted: Counter[str] = Counter()
    for entry in journal:
        for name, change in entry.postings:
            counted[name] += change
            if counted[name] < 0 and name != MINT:
                yield f"{name} was below zero after entry {entry.entry_id}"
    for name in sorted(counted.keys() | accounts.keys()):
        if counted[name] != accounts.get(name, 0):
            yield f"{name} has {accounts.get(name, 0)}, its postings add up to {counted[name]}"


def _wrong_reservations(
    journal: Iterable[JournalEntry], reservations: Iterable[Reservation]
) -> Iterator[str]:
    not_about_reservations = (EntryKind.TRANSFER, EntryKind.TOP_UP)
    written: dict[str, list[tuple[str, str, str, int]]] = {}
    for entry in journal:
        if entry.kind not in not_about_reservations:
            moved = (entry.kind.value, entry.debit, entry.credit, entry.amount)
            written.setdefault(entry.source_id, []).append(moved)
    for reservation in reservations:
        found = written.pop(reservation.reservation_id, [])
        if found != _expected(reservation):
            yield f"reservation {reservation.reservation_id} does not follow from {found}"
    for source_id in written:
        yield f"the journal names {source_id}, which is no reservation"


def _expected(reservation: Reservation) -> list[tuple[str, str, str, int]]:
    account, escrow = reservation.account, escrow_of(reservation.account)
    opening = (EntryKind.RESERVE.value, account, escrow, reservation.amount)
    ending = {
        ReservationStatus.HELD: [],
        ReservationStatus.CAPTURED: [(EntryKind.CAPTURE.value, reservation.captured_to or "")],
        ReservationStatus.VOIDED: [(EntryKind.VOID.value, account)],
        ReservationStatus.EXPIRED: [(EntryKind.EXPIRE.value, account)],
    }[reservation.status]
    return [opening, *((kind, escrow, payee, reservation.amount) for kind, payee in ending)]


def _wrong_escrow(
    accounts: Mapping[str, int], reservations: Iterable[Reservation]
) -> Iterator[str]:
    held: Counter[str] = Counter()
    for reservation in reservations:
        if reservation.status is ReservationStatus.HELD:
            held[escrow_of(reservation.account)] += reservation.amount
    for name in sorted(held.keys() | filter(is_escrow, accounts)):
        if held[name] != accounts.get(name, 0):
            yield f"{name} has {accounts.get(name, 0)}, held reservations need {held[name]}"
