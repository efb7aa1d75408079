"""`CreditsService` over any `Book`; the book may be kept anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import msgspec

from nexus_bounty.ledger import ahead, copying, rules
from nexus_bounty.ledger.accounts import MINT, check_account, check_name, check_note
from nexus_bounty.ledger.ahead import Movement
from nexus_bounty.ledger.audit import Audit, audit
from nexus_bounty.ledger.book import Book, LedgerScope, both_accounts_of
from nexus_bounty.ledger.entries import JournalEntry
from nexus_bounty.ledger.totals import Sums
from nexus_bounty.outcomes import (
    CommitUnknownError,
    IdempotencyMismatchError,
    InvalidInputError,
    PreCommitError,
)
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.ports import (
    Assignment,
    Balance,
    EscrowTerms,
    Reservation,
    ReservationStatus,
    Transfer,
)
from nexus_bounty.transactions import Announced, Clock, Transactional
from nexus_bounty.validation import check_amount, check_duration, check_text, check_time

T = TypeVar("T")

PAGE: Final = 200
"""How many rows an iterator holds at a time."""


class LedgerCredits(Transactional[Book]):
    """Holds credits in a double-entry ledger; see `CreditsService` for what each method promises.

    Reads raise `CommitUnknownError` when the ledger cannot be read, never a `PreCommitError`: a
    failed look at a reservation must not pass for a proof that it was not made.
    """

    _identity: str | None = None

    async def reserve(
        self,
        reservation_id: str,
        *,
        account: str,
        amount: int,
        reference: str = "",
        expires_at: datetime | None = None,
        timeout: timedelta | None = None,
    ) -> Reservation:
        """Set `amount` of `account` aside.

        With `timeout` it expires so long after now: a repeat, later, is the same reservation.

        Raises:
            InvalidInputError: A parameter is wrong, or `expires_at` has passed (pre-commit).
            IdempotencyMismatchError: The id was used with other parameters; this call did nothing.
            InsufficientCreditsError: `account` does not have it (pre-commit).
            CommitUnknownError: The ledger did not say; ask again with the same id.
        """
        check_amount("amount", amount)
        now = self._clock()
        if timeout is not None:
            check_duration("timeout", timeout)
            if expires_at is not None:
                raise InvalidInputError("expires_at", expires_at, "must not be given with timeout")
            expires_at = now + timeout
        if expires_at is not None:
            check_time("expires_at", expires_at)
        wanted = Reservation(
            reservation_id=check_name("reservation_id", reservation_id),
            account=check_account("account", account),
            amount=amount,
            reference=check_note("reference", reference),
            expires_at=expires_at,
            created_at=now,
        )
        rule = partial(rules.reserve, wanted=wanted, timeout=timeout)
        scope = LedgerScope(
            reservations=(reservation_id,), accounts=both_accounts_of(wanted.account)
        )
        return await self._change("reserve", reservation_id, rule, scope)

    async def assign(
        self,
        reservation_id: str,
        assignment: Assignment,
        *,
        held_for: EscrowTerms | None = None,
        replacing: str | None = None,
        shared_work: bool = False,
    ) -> Reservation:
        """Record who is to be paid from a held reservation; the same again is a no-op.

        Raises:
            AssignedError: Another assignment stands (pre-commit).
            PaymentError: It is unknown, not held, or not for that; or the work is paid from
                another reservation (pre-commit).
            CommitUnknownError: The ledger did not say; ask again.
        """
        check_name("reservation_id", reservation_id)
        payee = check_account("payee", assignment.payee)
        assignment = msgspec.structs.replace(assignment, payee=payee)
        check_name("work", assignment.work)
        rule = partial(
            rules.assign,
            reservation_id=reservation_id,
            assignment=assignment,
            held_for=held_for,
            replacing=replacing,
            shared_work=shared_work,
        )
        works = () if shared_work else (assignment.work,)
        scope = LedgerScope(reservations=(reservation_id,), works=works)
        return await self._change("assign", reservation_id, rule, scope)

    async def unassign(self, reservation_id: str, key: str) -> Reservation:
        """Take back the assignment of the settlement `key`, which never will commit.

        Raises:
            PaymentError: The reservation is unknown (pre-commit).
            CommitUnknownError: The ledger did not say; ask again.
        """
        check_name("reservation_id", reservation_id)
        rule = partial(rules.unassign, reservation_id=reservation_id, key=key)
        return await self._change("unassign", reservation_id, rule, _of(reservation_id))

    async def capture(
        self,
        reservation_id: str,
        *,
        to_account: str,
        work: str | None = None,
        held_for: EscrowTerms | None = None,
    ) -> Reservation:
        """Pay a held reservation to `to_account`; again to the same account is a no-op.

        Raises:
            AssignedError: It is to be paid to another, or for other work (pre-commit).
            PaymentError: It is unknown, voided, expired, captured to another, or not held for
                that; with `work`, also if nobody is on record to be paid (pre-commit).
            CommitUnknownError: The ledger did not say; ask again with the same id.
        """
        check_name("reservation_id", reservation_id)
        to_account = check_account("to_account", to_account)
        rule = partial(
            rules.capture,
            reservation_id=reservation_id,
            to_account=to_account,
            work=work,
            held_for=held_for,
        )
        return await self._change("capture", reservation_id, rule, _of(reservation_id, to_account))

    async def void(
        self,
        reservation_id: str,
        *,
        held_for: EscrowTerms | None = None,
        despite: str | None = None,
    ) -> Reservation:
        """Give a held reservation back; one that is back already stays as it is.

        Raises:
            AssignedError: It is to be paid to somebody (pre-commit).
            PaymentError: It is unknown, captured, or not held for that (pre-commit).
            CommitUnknownError: The ledger did not say; ask again with the same id.
        """
        check_name("reservation_id", reservation_id)
        rule = partial(
            rules.void, reservation_id=reservation_id, held_for=held_for, despite=despite
        )
        return await self._change("void", reservation_id, rule, _of(reservation_id))

    async def rescue(
        self, reservation_id: str, *, to_account: str | None, because: str
    ) -> Reservation:
        """Free what no rule can: pay it to `to_account`, or give it back without one.

        Raises:
            InvalidInputError: No reason is given, or the account is none (pre-commit).
            PaymentError: It is unknown, or has ended otherwise (pre-commit).
            CommitUnknownError: The ledger did not say; ask again.
        """
        check_name("reservation_id", reservation_id)
        check_text("because", because)
        if to_account is not None:
            to_account = check_account("to_account", to_account)
        rule = partial(
            rules.rescue, reservation_id=reservation_id, to_account=to_account, because=because
        )
        return await self._change("rescue", reservation_id, rule, _of(reservation_id, to_account))

    async def transfer(
        self, transfer_id: str, *, from_account: str, to_account: str, amount: int, memo: str = ""
    ) -> Transfer:
        """Move free credits; the same id again is a no-op.

        Raises:
            InvalidInputError: A parameter is wrong, or both accounts are one (pre-commit).
            IdempotencyMismatchError: The id was used with other parameters; this call did nothing.
            InsufficientCreditsError: `from_account` does not have it (pre-commit).
            CommitUnknownError: The ledger did not say; ask again with the same id.
        """
        from_account = check_account("from_account", from_account)
        to_account = check_account("to_account", to_account)
        if from_account == to_account:
            raise InvalidInputError("to_account", to_account, "must be another account")
        return await self._move("transfer", transfer_id, from_account, to_account, amount, memo)

    async def top_up(self, transfer_id: str, *, account: str, amount: int) -> Transfer:
        """Bring new credits into the system, up to `MOST_AMOUNT` in all.

        Raises:
            IdempotencyMismatchError: The id was used with other parameters; this call did nothing.
            PaymentError: The system would have more credits than it can count (pre-commit).
            CommitUnknownError: The ledger did not say; ask again with the same id.
        """
        return await self._move("top_up", transfer_id, MINT, account, amount, "")

    async def identity(self) -> str:
        """Which ledger this is; once credits were issued, it never changes.

        Raises:
            CommitUnknownError: The ledger cannot be read.
        """
        if self._identity is not None:
            return self._identity
        identity, is_final = await self._read("identity", _identity_of)
        if is_final:
            self._identity = identity
        return identity

    async def balance(self, account: str) -> Balance:
        """What the account has; an account never heard of has nothing.

        Raises:
            InvalidInputError: The account cannot be; nothing was sent.
            CommitUnknownError: The ledger could not be read.
        """
        account = check_account("account", account)
        scope = LedgerScope(accounts=both_accounts_of(account))
        return await self._look("balance", partial(rules.balance, account=account), scope)

    async def get_reservation(self, reservation_id: str) -> Reservation | None:
        """The reservation as it stands, or `None`.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        check_name("reservation_id", reservation_id)
        return await self._look(
            "get_reservation", lambda book: book.reservation(reservation_id), _of(reservation_id)
        )

    async def reservations(
        self, status: ReservationStatus | None = None, *, bounties: Partition = EVERYTHING
    ) -> AsyncIterator[Reservation]:
        """Every reservation (in `status`), oldest first, a page at a time.

        Only those for `bounties`, see `referred_to`.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        after = 0
        while page := await self._look(
            "reservations",
            partial(_page_of_reservations, status=status, bounties=bounties, after=after),
        ):
            for position, reservation in page:
                after = position
                yield reservation

    async def history(
        self, *, source_id: str | None = None, account: str | None = None
    ) -> AsyncIterator[JournalEntry]:
        """The journal, oldest first: of one reservation or transfer, of one account, or all.

        Raises:
            InvalidInputError: What is asked for cannot be a name; nothing was sent.
            CommitUnknownError: The ledger could not be read.
        """
        for field, name in (("source_id", source_id), ("account", account)):
            if name is not None:
                check_text(field, name)
        names = None if account is None else both_accounts_of(account)
        after = 0
        while page := await self._look(
            "history", partial(_page_of_entries, after=after, source_id=source_id, names=names)
        ):
            for entry in page:
                after = entry.entry_id
                yield entry

    async def sums(self) -> Sums:
        """The whole system's credits: issued, free and reserved.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        return await self._look("sums", lambda book: book.sums())

    async def total(self) -> int:
        """All credits that users have, free and reserved; only `top_up` changes it.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        return (await self.sums()).total

    async def verify(self) -> Audit:
        """Recount the whole journal and compare it with balances and reservations.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        return await self._read("verify", audit)

    async def expire_due(self) -> int:
        """Give back what is overdue now; every other call does so for what it is about.

        Raises:
            CommitUnknownError: The ledger did not say; ask again.
        """
        now, count = self._clock(), 0
        while True:
            overdue = await self._read("expire_due", lambda book: book.overdue(now, limit=PAGE))
            if not overdue:
                return count
            scope = LedgerScope(reservations=tuple(each.reservation_id for each in overdue))
            expire = partial(rules.expire_overdue, now=now, scope=scope)
            count += await self._write("expire_due", None, Announced(scope, expire))

    async def movements(self) -> AsyncIterator[list[Movement]]:
        """The whole journal in pages, each entry with its reservation, to be copied.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        after = 0
        while page := await self._read(
            "movements", partial(copying.movements, after=after, limit=PAGE)
        ):
            yield page
            after = page[-1].entry.entry_id

    async def take_over(self, identity: str, page: Sequence[Movement]) -> int:
        """Make the movements of another place of this ledger here; returns how many were missing.

        A reservation that is to be paid to somebody else here is left as it is.

        Raises:
            PaymentError: This is another ledger, with movements of its own (pre-commit).
            CommitUnknownError: The ledger did not say; ask again.
        """
        work = partial(copying.take_over, identity=identity, page=page)
        return await self._write("take_over", None, Announced(copying.scope_of(page), work))

    async def take_over_assignment(self, held: Reservation) -> None:
        """Record whom a held reservation is to be paid to, as another place of this ledger has it.

        Whoever is on record here stays so.

        Raises:
            CommitUnknownError: The ledger did not say; ask again.
        """
        work = partial(copying.take_over_assignment, held=held)
        await self._write("take_over", None, Announced(_of(held.reservation_id), work))

    async def movements_ahead(self, page: Sequence[Movement]) -> list[str]:
        """What is told of those movements of a copy that did not come from here.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        work = partial(ahead.movements_ahead, page=page)
        return await self._read("compare", Announced(copying.scope_of(page), work))

    async def _move(
        self, operation: str, transfer_id: str, source: str, target: str, amount: int, memo: str
    ) -> Transfer:
        check_amount("amount", amount)
        wanted = Transfer(
            transfer_id=check_name("transfer_id", transfer_id),
            from_account=source,
            to_account=check_account("to_account", target),
            amount=amount,
            memo=check_note("memo", memo),
            created_at=self._clock(),
        )
        scope = LedgerScope(
            transfers=(transfer_id,), accounts=(wanted.from_account, wanted.to_account)
        )
        rule = partial(rules.transfer, wanted=wanted)
        return await self._change(operation, transfer_id, rule, scope)

    async def _change(
        self, operation: str, key: str, rule: Callable[[Book, datetime], T], scope: LedgerScope
    ) -> T:
        work = partial(_expire_and_apply, clock=self._clock, rule=rule, scope=scope)
        announced = Announced(scope, work, foreseeable=True)
        result = await self._write(operation, key, announced)
        if isinstance(result, PreCommitError | IdempotencyMismatchError):
            raise result.about(operation, None, key)
        return result

    async def _look(
        self, operation: str, work: Callable[[Book], T], scope: LedgerScope | None = None
    ) -> T:
        """Run `work` on a state without overdue reservations in `scope`, or in the whole ledger."""
        now = self._clock()
        look = partial(_unless_overdue, now=now, work=work, scope=scope)
        seen = await self._read(operation, look if scope is None else Announced(scope, look))
        if seen is not None:
            return seen[0]
        try:
            await self.expire_due()
        except PreCommitError as exc:
            message = f"overdue reservations could not be given back: {exc.message}"
            raise CommitUnknownError(message, operation=operation, evidence=exc.evidence) from exc
        return await self._read(operation, work if scope is None else Announced(scope, work))


def _identity_of(book: Book) -> tuple[str, bool]:
    """Which ledger this is, and whether it stays so: an empty one may become another's copy."""
    return book.identity(), book.balance(MINT) != 0


def _of(reservation_id: str, payee: str | None = None) -> LedgerScope:
    """What a change of one reservation is about."""
    return LedgerScope(reservations=(reservation_id,), accounts=() if payee is None else (payee,))


def _expire_and_apply(
    book: Book, clock: Clock, rule: Callable[[Book, datetime], T], scope: LedgerScope
) -> T | PreCommitError | IdempotencyMismatchError:
    """Apply `rule` to a book without overdue reservations in `scope`.

    A refusal is returned rather than raised: it has written nothing itself, and what has expired
    must be kept with it, or a later clock could still capture what this one refused.
    """
    now = clock()  # not before the transaction has its turn, however long it waited
    rules.expire_overdue(book, now, scope)
    try:
        return rule(book, now)
    except (PreCommitError, IdempotencyMismatchError) as refusal:
        return refusal


def _unless_overdue(
    book: Book, now: datetime, work: Callable[[Book], T], scope: LedgerScope | None
) -> tuple[T] | None:
    return None if book.overdue(now, limit=1, scope=scope) else (work(book),)


def _page_of_reservations(
    book: Book, status: ReservationStatus | None, bounties: Partition, after: int
) -> list[tuple[int, Reservation]]:
    return book.reservations(status=status, bounties=bounties, after=after, limit=PAGE)


def _page_of_entries(
    book: Book, after: int, source_id: str | None, names: tuple[str, str] | None
) -> list[JournalEntry]:
    return book.entries(after=after, limit=PAGE, source_id=source_id, names=names)
