"""What each movement of credits requires and does, over any `Book`.

Every rule refuses before it writes, so that a refusal leaves the book as it was.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeVar

import msgspec

from nexus_bounty.ledger.accounts import MINT, escrow_of
from nexus_bounty.ledger.book import Book
from nexus_bounty.ledger.entries import EntryKind, JournalEntry
from nexus_bounty.outcomes import (
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
from nexus_bounty.ports import Balance, Reservation, ReservationStatus, Transfer
from nexus_bounty.validation import MOST_AMOUNT

Source = Reservation | Transfer
SourceT = TypeVar("SourceT", Reservation, Transfer)

_ENDING: Final = {
    ReservationStatus.CAPTURED: EntryKind.CAPTURE,
    ReservationStatus.VOIDED: EntryKind.VOID,
    ReservationStatus.EXPIRED: EntryKind.EXPIRE,
}


def reserve(book: Book, now: datetime, wanted: Reservation) -> Reservation:
    """Move `wanted.amount` into escrow, or find that it has been done."""
    existing = book.reservation(wanted.reservation_id)
    if existing is not None:
        asked = ("account", "amount", "reference", "expires_at")
        return _unless_different(existing, wanted, asked)
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise InvalidInputError("expires_at", wanted.expires_at, "must lie in the future")
    _require(book, wanted.account, wanted.amount)
    book.add_reservation(wanted)
    _post(book, EntryKind.RESERVE, wanted, wanted.account, escrow_of(wanted.account), now)
    return wanted


def capture(book: Book, now: datetime, reservation_id: str, to_account: str) -> Reservation:
    """Pay the escrowed credits to `to_account`, or find that it has been done."""
    found = _known(book, reservation_id)
    if found.captured_to == to_account:
        return found
    if found.status is not ReservationStatus.HELD:
        raise _refused(found)
    return _close(book, now, found, ReservationStatus.CAPTURED, to_account)


def void(book: Book, now: datetime, reservation_id: str) -> Reservation:
    """Give the escrowed credits back, or find that they are back."""
    found = _known(book, reservation_id)
    if found.status is ReservationStatus.CAPTURED:
        raise _refused(found)
    if found.status is not ReservationStatus.HELD:
        return found
    return _close(book, now, found, ReservationStatus.VOIDED)


def expire_overdue(book: Book, now: datetime) -> int:
    """Give back what was reserved until now at most; returns how many reservations that were.

    Writing it down makes it final: no clock that runs late can capture them any more.
    """
    overdue = book.overdue(now)
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
) -> Reservation:
    closed = msgspec.structs.replace(held, status=status, captured_to=captured_to)
    book.close_reservation(closed)
    payee = captured_to or held.account
    _post(book, _ENDING[status], held, escrow_of(held.account), payee, now)
    return closed


def _post(
    book: Book, kind: EntryKind, source: Source, debit: str, credit: str, now: datetime
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
        memo=memo,
    )
    book.post(entry)
