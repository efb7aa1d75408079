"""What each movement of credits requires and does, over any `Book`.

Every rule refuses before it writes, so that a refusal leaves the book as it was.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec

from nexus_bounty.ledger.accounts import MINT, escrow_of
from nexus_bounty.ledger.book import Book, LedgerScope
from nexus_bounty.ledger.entries import EntryKind, JournalEntry
from nexus_bounty.outcomes import (
    AssignedError,
    Evidence,
    IdempotencyMismatchError,
    InsufficientCreditsError,
    InvalidInputError,
    Observation,
    OtherOperation,
    Outcome,
    PaymentError,
    Proof,
)
from nexus_bounty.ports import (
    Assignment,
    Balance,
    EscrowTerms,
    Reservation,
    ReservationStatus,
    Transfer,
)
from nexus_bounty.validation import MOST_AMOUNT

Source = Reservation | Transfer
SourceT = TypeVar("SourceT", Reservation, Transfer)

_ENDING: Final = {
    ReservationStatus.CAPTURED: EntryKind.CAPTURE,
    ReservationStatus.VOIDED: EntryKind.VOID,
    ReservationStatus.EXPIRED: EntryKind.EXPIRE,
}


def reserve(
    book: Book, now: datetime, wanted: Reservation, timeout: timedelta | None = None
) -> Reservation:
    """Move `wanted.amount` into escrow, or find that it has been done.

    A `timeout` was reckoned from the moment of the call, of which there may have been an earlier.
    """
    existing = book.reservation(wanted.reservation_id)
    if existing is not None:
        if timeout is not None:
            since = existing.created_at + timeout
            wanted = msgspec.structs.replace(wanted, expires_at=since)
        asked = ("account", "amount", "reference", "expires_at")
        return _unless_different(existing, wanted, asked)
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise InvalidInputError("expires_at", wanted.expires_at, "must lie in the future")
    _require(book, wanted.account, wanted.amount)
    book.add_reservation(wanted)
    _post(book, EntryKind.RESERVE, wanted, wanted.account, escrow_of(wanted.account), now)
    return wanted


def assign(
    book: Book,
    now: datetime,  # noqa: ARG001 - every rule is told the time
    reservation_id: str,
    assignment: Assignment,
    held_for: EscrowTerms | None,
    replacing: str | None,
    *,
    shared_work: bool,
) -> Reservation:
    """Record who is to be paid, or find that it has been done."""
    found = _fitting(book, reservation_id, held_for)
    if found.assignment == assignment:
        return found
    if found.status is not ReservationStatus.HELD:
        raise _refused(found)
    if found.assignment is not None and found.assignment.key != replacing:
        raise _assigned(found, found.assignment)
    if not shared_work:
        _require_unpaid(book, found, assignment.work)
    assigned = msgspec.structs.replace(found, assignment=assignment)
    book.assign_reservation(assigned)
    return assigned


def unassign(book: Book, now: datetime, reservation_id: str, key: str) -> Reservation:  # noqa: ARG001 - every rule is told the time
    """Take an assignment back, if it is the one of the settlement `key`."""
    found = _known(book, reservation_id)
    if found.status is not ReservationStatus.HELD:
        return found
    if found.assignment is None or found.assignment.key != key:
        return found
    free = msgspec.structs.replace(found, assignment=None)
    book.assign_reservation(free)
    return free


def capture(
    book: Book,
    now: datetime,
    reservation_id: str,
    to_account: str,
    work: str | None,
    held_for: EscrowTerms | None,
) -> Reservation:
    """Pay the escrowed credits to `to_account`, or find that it has been done."""
    found = _fitting(book, reservation_id, held_for)
    assigned = found.assignment
    if found.captured_to == to_account and (assigned is None or work in (None, assigned.work)):
        return found
    if found.status is not ReservationStatus.HELD:
        raise _refused(found)
    if assigned is not None and (assigned.payee != to_account or work not in (None, assigned.work)):
        raise _assigned(found, assigned)
    if assigned is None and work is not None:
        message = (
            f"the ledger has nobody on record to be paid from {reservation_id}: no settlement "
            f"by these rules has decided that {to_account} is to be paid for {work}"
        )
        raise PaymentError(message, evidence=_seen(reservation_id, "not assigned"))
    return _close(book, now, found, ReservationStatus.CAPTURED, to_account)


def void(
    book: Book,
    now: datetime,
    reservation_id: str,
    held_for: EscrowTerms | None,
    despite: str | None,
) -> Reservation:
    """Give the escrowed credits back, or find that they are back."""
    found = _fitting(book, reservation_id, held_for)
    if found.status is ReservationStatus.CAPTURED:
        raise _refused(found)
    if found.status is not ReservationStatus.HELD:
        return found
    if found.assignment is not None and found.assignment.key != despite:
        raise _assigned(found, found.assignment)
    return _close(book, now, found, ReservationStatus.VOIDED)


def rescue(
    book: Book, now: datetime, reservation_id: str, to_account: str | None, because: str
) -> Reservation:
    """Pay or give back whatever stands in the way, or find that it has been done."""
    found = _known(book, reservation_id)
    ended = ReservationStatus.VOIDED if to_account is None else ReservationStatus.CAPTURED
    if found.status is ended and found.captured_to == to_account:
        return found
    if found.status is not ReservationStatus.HELD:
        raise _refused(found)
    if found.assignment is not None:
        found = msgspec.structs.replace(found, assignment=None)
        book.assign_reservation(found)
    return _close(book, now, found, ended, to_account, because)


def expire_overdue(book: Book, now: datetime, scope: LedgerScope | None = None) -> int:
    """Give back what was reserved until now at most; returns how many reservations that were.

    With a `scope` only what it covers: what becomes of a call depends on nothing else.

    Writing it down makes it final: no clock that runs late can capture them any more.
    """
    overdue = book.overdue(now, scope=scope)
    for reservation in overdue:
        _close(book, now, reservation, ReservationStatus.EXPIRED)
    return len(overdue)


def transfer(book: Book, now: datetime, wanted: Transfer) -> Transfer:
    """Move free credits, or find that it has been done. From `MINT` it is a top-up."""
    existing = book.transfer(wanted.transfer_id)
    if existing is not None:
        asked = ("from_account", "to_account", "amount", "memo")
        return _unless_different(existing, wanted, asked)
    if wanted.from_account == MINT:
        kind = EntryKind.TOP_UP
        _require_countable(book, wanted.amount)
    else:
        kind = EntryKind.TRANSFER
        _require(book, wanted.from_account, wanted.amount)
    _post(book, kind, wanted, wanted.from_account, wanted.to_account, now)
    return wanted


def balance(book: Book, account: str) -> Balance:
    """What `account` has, free and set aside."""
    reserved = book.balance(escrow_of(account))
    return Balance(account=account, available=book.balance(account), reserved=reserved)


def _require_countable(book: Book, amount: int) -> None:
    issued = -book.balance(MINT)
    if issued + amount > MOST_AMOUNT:
        message = f"{issued} credits are issued, {amount} more would exceed {MOST_AMOUNT}"
        raise PaymentError(message, evidence=_seen(MINT, f"{issued} issued"))


def _require(book: Book, account: str, amount: int) -> None:
    available = book.balance(account)
    if available < amount:
        raise InsufficientCreditsError(
            f"{account} has {available} available, {amount} required",
            available=available,
            required=amount,
            evidence=_seen(account, f"{available} available"),
        )


def _known(book: Book, reservation_id: str) -> Reservation:
    found = book.reservation(reservation_id)
    if found is None:
        evidence = _seen(reservation_id, "no such reservation")
        raise PaymentError(f"there is no reservation {reservation_id}", evidence=evidence)
    return found


def _fitting(book: Book, reservation_id: str, held_for: EscrowTerms | None) -> Reservation:
    """The reservation, if it is held for what the caller names."""
    found = _known(book, reservation_id)
    if held_for is not None and found.terms != held_for:
        message = f"reservation {reservation_id} is {_spoken(found.terms)}, not {_spoken(held_for)}"
        raise PaymentError(message, evidence=_seen(reservation_id, _spoken(found.terms)))
    return found


def _spoken(terms: EscrowTerms) -> str:
    what = f" for {terms.reference}" if terms.reference else ""
    return f"{terms.amount} of {terms.account}{what}"


def _require_unpaid(book: Book, found: Reservation, work: str) -> None:
    other = book.paid_for(work, besides=found.reservation_id)
    if other is None:
        return
    message = (
        f"contribution {work} is paid from reservation {other.reservation_id} "
        f"({_spoken(other.terms)}): one contribution pays one bounty"
    )
    raise PaymentError(message, evidence=_seen(other.reservation_id, other.status.value))


def _assigned(found: Reservation, assignment: Assignment) -> AssignedError:
    state = f"to be paid to {assignment.payee} for {assignment.work}"
    return AssignedError(
        f"reservation {found.reservation_id} is {state}, as settlement {assignment.key} decided",
        payee=assignment.payee,
        work=assignment.work,
        key=assignment.key,
        evidence=_seen(found.reservation_id, state),
    )


def _refused(found: Reservation) -> PaymentError:
    state = found.status.value + (f" to {found.captured_to}" if found.captured_to else "")
    message = f"reservation {found.reservation_id} is {state}"
    return PaymentError(message, evidence=_seen(found.reservation_id, state))


def _seen(what: str, answer: str) -> Evidence:
    seen = Observation(action="read", target=what, answer=answer)
    return Evidence(proof=Proof.DOCUMENT, observations=(seen,))


def _unless_different(existing: SourceT, wanted: SourceT, asked: tuple[str, ...]) -> SourceT:
    different = [name for name in asked if getattr(existing, name) != getattr(wanted, name)]
    if different:
        record_id = getattr(wanted, wanted.__struct_fields__[0])
        raise IdempotencyMismatchError(
            f"{record_id} was used before with another {' and '.join(different)}",
            other=OtherOperation(
                kind=type(existing).__name__.lower(),
                idempotency_key=record_id,
                record_id=record_id,
                at=existing.created_at,
                outcome=Outcome.COMMITTED,
            ),
            evidence=_seen(record_id, f"{different[0]} is {getattr(existing, different[0])!r}"),
        )
    return existing


def _close(
    book: Book,
    now: datetime,
    held: Reservation,
    status: ReservationStatus,
    captured_to: str | None = None,
    because: str = "",
) -> Reservation:
    closed = msgspec.structs.replace(held, status=status, captured_to=captured_to)
    book.close_reservation(closed)
    payee = captured_to or held.account
    _post(book, _ENDING[status], held, escrow_of(held.account), payee, now, because)
    return closed


def _post(
    book: Book,
    kind: EntryKind,
    source: Source,
    debit: str,
    credit: str,
    now: datetime,
    because: str = "",
) -> None:
    if isinstance(source, Transfer):
        source_id, memo = source.transfer_id, source.memo
    else:
        source_id, memo = source.reservation_id, source.reference
    entry = JournalEntry(
        kind=kind,
        source_id=source_id,
        debit=debit,
        credit=credit,
        amount=source.amount,
        at=now,
        memo=f"{memo}: {because}" if because else memo,
    )
    book.post(entry)
