"""A ledger moved to another place: every movement made again there, under the same identity.

Bounties name their ledger, so that the copy is the same ledger for them. What is there already is
passed over: a copy that was cut short is carried on by another, and what has been added to the
source since comes after it. Nothing but the last copy may be worked on: two places with one
identity would each spend the same credits. A copy that has been worked on is not written to any
more, and each step sees for itself that it undoes nothing there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

import msgspec

from nexus_bounty.ledger.ahead import Movement, is_assigned_otherwise
from nexus_bounty.ledger.audit import Audit
from nexus_bounty.ledger.book import Book, LedgerScope
from nexus_bounty.ledger.entries import EntryKind, JournalEntry
from nexus_bounty.models import Wire
from nexus_bounty.outcomes import Evidence, Observation, PaymentError, Proof
from nexus_bounty.ports import JournaledOperation, Reservation, ReservationStatus

_ENDED: Final = {
    EntryKind.CAPTURE: ReservationStatus.CAPTURED,
    EntryKind.VOID: ReservationStatus.VOIDED,
    EntryKind.EXPIRE: ReservationStatus.EXPIRED,
}


class LedgerCopy(Wire, frozen=True, kw_only=True):
    """What was copied, and whether the two are the same now.

    Attributes:
        identity: The ledger that both are.
        entries: How many journal entries the source has.
        copied: How many of them were not in the target before.
        operations: How many operations of the journal were written, new or changed.
        problems: What is not the same, or does not add up in the target.
        went_on: Whether the target has been worked on by itself, and so is written to no more.
    """

    identity: str
    entries: int
    copied: int
    operations: int
    problems: Sequence[str] = ()
    went_on: bool = False

    @property
    def ok(self) -> bool:
        """Whether the target is the source's equal."""
        return not self.problems


class CopiedLedger(Protocol):
    """What a ledger with a journal of operations has to be able to do."""

    async def identity(self) -> str:
        """Which ledger it is."""
        ...

    async def expire_due(self) -> int:
        """Give back what is overdue."""
        ...

    async def verify(self) -> Audit:
        """Recount it."""
        ...

    def movements(self) -> AsyncIterator[list[Movement]]:
        """All its movements, in pages."""
        ...

    def reservations(self, status: ReservationStatus | None = None) -> AsyncIterator[Reservation]:
        """Its reservations."""
        ...

    def operations(self) -> AsyncIterator[list[JournaledOperation]]:
        """All operations of its journal, in pages."""
        ...

    async def take_over(self, identity: str, page: Sequence[Movement]) -> int:
        """Make what is missing."""
        ...

    async def take_over_assignment(self, held: Reservation) -> None:
        """Record whom a held reservation is to be paid to."""
        ...

    async def movements_ahead(self, page: Sequence[Movement]) -> list[str]:
        """What of these movements of a copy is not here."""
        ...

    async def operations_ahead(self, page: Sequence[JournaledOperation]) -> list[str]:
        """What of these operations of a copy is further there."""
        ...

    async def take_over_operations(self, page: Sequence[JournaledOperation]) -> int:
        """Write down what is missing or less far."""
        ...


async def copy_ledger(
    source: CopiedLedger, target: CopiedLedger, step: Callable[[], None] = lambda: None
) -> LedgerCopy:
    """Copy all of `source` to `target`, and compare them; `step` is called for each page.

    Nothing is written to a target that has gone on by itself.

    Raises:
        PaymentError: The source is empty, or the target is another ledger, with movements or
            operations of its own (pre-commit).
        CommitUnknownError: One of them did not answer; ask again.
    """
    identity = await source.identity()
    await source.expire_due()  # or it would do that by itself in the middle
    ahead = await _ahead(source, target, identity)
    copied = operations = 0
    if not ahead:
        copied = await _copy_movements(source, target, step)
        async for listed in source.operations():
            operations += await target.take_over_operations(listed)
            step()
        ahead = await _ahead(source, target, identity)  # somebody may have begun meanwhile
    entries, differences = await _differences(source, target)
    return LedgerCopy(
        identity=identity,
        entries=entries,
        copied=copied,
        operations=operations,
        problems=[*ahead, *differences],
        went_on=bool(ahead),
    )


async def _copy_movements(
    source: CopiedLedger, target: CopiedLedger, step: Callable[[], None]
) -> int:
    """How many movements were missing in the target."""
    identity = await source.identity()
    copied = 0
    is_empty = True
    async for page in source.movements():
        copied += await target.take_over(identity, page)
        is_empty = False
        step()
    if is_empty:
        seen = Observation(action="read", target=identity, answer="no movements")
        raise PaymentError(
            f"nothing was copied: {identity!r} is empty; see whether its URL is right",
            evidence=Evidence(proof=Proof.DOCUMENT, observations=(seen,)),
        )
    async for held in source.reservations(ReservationStatus.HELD):
        await target.take_over_assignment(held)
    return copied


async def _ahead(source: CopiedLedger, target: CopiedLedger, identity: str) -> list[str]:
    """What a copy has that its source has not, of each kind no more than one page tells.

    Raises:
        PaymentError: The target is another ledger, with operations of its own (pre-commit).
    """
    own = await target.identity()
    if own != identity:
        async for _ in target.operations():
            raise _not_empty(own, identity)
        return []
    told = []
    async for moved in target.movements():
        if found := await source.movements_ahead(moved):
            told += found
            break
    async for listed in target.operations():
        if found := await source.operations_ahead(listed):
            told += found
            break
    return told


async def _differences(source: CopiedLedger, target: CopiedLedger) -> tuple[int, list[str]]:
    """How many movements the source has, and where the target's differ from them."""
    problems = []
    count = 0
    theirs = _one_by_one(target)
    async for ours in _one_by_one(source):
        count += 1
        if ours != await anext(theirs, None):
            problems.append(f"movements differ from the {count}th on")
            break
    else:
        if await anext(theirs, None):
            problems.append("the target has movements that the source has not")
    # as they stand: to ask for the sums would give back what is overdue, at each place by itself
    recounted, copy_recounted = await source.verify(), await target.verify()
    if recounted.sums != copy_recounted.sums:
        problems.append("the sums differ")
    return count, [*problems, *copy_recounted.problems]


async def _one_by_one(ledger: CopiedLedger) -> AsyncIterator[Movement]:
    """All movements, without their numbers, however many are on a page of this ledger."""
    async for page in ledger.movements():
        for each in page:
            yield _unnumbered(each)


def _unnumbered(movement: Movement) -> Movement:
    """Without the number, which each ledger gives itself."""
    entry = msgspec.structs.replace(movement.entry, entry_id=0)
    return msgspec.structs.replace(movement, entry=entry)


def movements(book: Book, after: int, limit: int) -> list[Movement]:
    """The next entries of the journal, with what they belong to."""
    return [
        Movement(entry=entry, reservation=book.reservation(entry.source_id))
        for entry in book.entries(after=after, limit=limit)
    ]


def scope_of(page: Sequence[Movement]) -> LedgerScope:
    """What taking these movements over is about."""
    names = {name for each in page for name in (each.entry.debit, each.entry.credit)}
    ids = tuple({each.entry.source_id for each in page})
    return LedgerScope(accounts=tuple(names), reservations=ids, transfers=ids)


def take_over(book: Book, identity: str, page: Sequence[Movement]) -> int:
    """Make those movements that are not in the book yet; returns how many."""
    if book.identity() != identity:
        _require_empty(book, identity)
        book.adopt_identity(identity)
    made = 0
    for each in page:
        if not _is_there(book, each.entry) and not _is_paid_otherwise(book, each):
            _make(book, each)
            made += 1
    return made


def take_over_assignment(book: Book, held: Reservation) -> None:
    """Record whom a held reservation is to be paid to, if nobody is on record."""
    found = book.reservation(held.reservation_id)
    if found is None or found.status is not ReservationStatus.HELD:
        return
    if found.assignment is None and held.assignment is not None:
        book.assign_reservation(held)


def _is_paid_otherwise(book: Book, movement: Movement) -> bool:
    """Whether it ends a reservation that is to be paid to somebody else here."""
    if movement.entry.kind not in _ENDED:
        return False
    ours = book.reservation(movement.entry.source_id)
    return ours is not None and is_assigned_otherwise(ours, movement.reservation)


def _make(book: Book, movement: Movement) -> None:
    entry, reservation = movement.entry, movement.reservation
    if entry.kind is EntryKind.RESERVE and reservation is not None:
        fresh = {"status": ReservationStatus.HELD, "captured_to": None, "assignment": None}
        book.add_reservation(msgspec.structs.replace(reservation, **fresh))
    elif entry.kind in _ENDED and reservation is not None:
        if reservation.assignment is not None:
            held = {"status": ReservationStatus.HELD, "captured_to": None}
            book.assign_reservation(msgspec.structs.replace(reservation, **held))
        payee = entry.credit if entry.kind is EntryKind.CAPTURE else None
        ended = {"status": _ENDED[entry.kind], "captured_to": payee}
        book.close_reservation(msgspec.structs.replace(reservation, **ended))
    book.post(msgspec.structs.replace(entry, entry_id=0))


def _is_there(book: Book, entry: JournalEntry) -> bool:
    if entry.kind in (EntryKind.TOP_UP, EntryKind.TRANSFER):
        return book.transfer(entry.source_id) is not None
    found = book.reservation(entry.source_id)
    if entry.kind is EntryKind.RESERVE:
        return found is not None
    return found is not None and found.status is not ReservationStatus.HELD


def _require_empty(book: Book, identity: str) -> None:
    if book.entries(limit=1):
        raise _not_empty(book.identity(), identity)


def _not_empty(own: str, identity: str) -> PaymentError:
    seen = Observation(action="read", target="the target", answer=own)
    return PaymentError(
        f"the target is the ledger {own}, which has movements of its own, or operations; "
        f"{identity} can only be copied to an empty place, or to a copy of itself: use a new "
        "database, which no program uses yet",
        evidence=Evidence(proof=Proof.DOCUMENT, observations=(seen,)),
    )
