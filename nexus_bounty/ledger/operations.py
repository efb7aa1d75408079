"""The journal of operations, kept in the same database as the ledger.

The rules are written once, over any `JournalBook`; see `OperationJournal` for what they promise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Protocol

import msgspec

from nexus_bounty.ledger.ahead import HAPPENED, is_further, operations_ahead
from nexus_bounty.ledger.book import LedgerScope
from nexus_bounty.outcomes import (
    Evidence,
    IdempotencyMismatchError,
    Observation,
    OtherOperation,
    Outcome,
    Proof,
)
from nexus_bounty.ports import JournaledOperation
from nexus_bounty.transactions import Announced, Transactional

PAGE: Final = 200
"""How many open operations an iterator holds at a time."""
_SAME: Final = ("kind", "bounty_id", "fingerprint")
"""What a repeat has in common with the operation that it repeats."""


class JournalBook(Protocol):
    """What the rules of the journal need of the place where it is kept, inside a transaction."""

    def operation(self, zone_id: str, key: str) -> JournaledOperation | None:
        """The operation that a key stands for, or `None`."""
        ...

    def save_operation(self, operation: JournaledOperation) -> None:
        """Write an operation, new or changed."""
        ...

    def operations_in_doubt(
        self, zone_id: str, after: str, limit: int
    ) -> list[tuple[str, JournaledOperation]]:
        """Open operations after the place `after`, the oldest first, each with its place."""
        ...

    def operations_after(self, zone_id: str, key: str, limit: int) -> list[JournaledOperation]:
        """Operations of all zones, those with the next names after that one, in their order."""
        ...

    def forget_operations(self, zone_id: str, before: datetime) -> int:
        """Drop those that were closed before then; returns how many."""
        ...


class JournaledLedger(Transactional[JournalBook]):
    """An `OperationJournal` over a book."""

    async def begin_operation(self, operation: JournaledOperation) -> JournaledOperation | None:
        """Write an operation down; returns what the key stood for before this call.

        Raises:
            IdempotencyMismatchError: The key stands for another operation, which is attached.
            PreCommitError: It could not be written down.
            CommitUnknownError: It may have been written down.
        """
        work = partial(_begin, wanted=operation)
        scope = _scope_of(operation.zone_id, operation.key)
        announced = Announced(scope, work, foreseeable=True)
        call_id = operation.zone_id, operation.key
        return await self._write("begin", operation.key, announced, call_id=call_id)

    async def end_operation(
        self, zone_id: str, key: str, outcome: Outcome | None, reason: str
    ) -> None:
        """Note the outcome of an operation; with `None` only the reason why it is not known.

        Raises:
            PreCommitError: It could not be noted.
            CommitUnknownError: It may have been noted.
        """
        now, said = self._clock(), _storable(reason)
        rule = partial(_end, zone_id=zone_id, key=key, outcome=outcome, reason=said, now=now)
        announced = Announced(_scope_of(zone_id, key), rule)
        await self._write("end", key, announced, call_id=(zone_id, key))

    async def find_operation(self, zone_id: str, key: str) -> JournaledOperation | None:
        """The operation that a key stands for; `None` if there is none, or it was forgotten.

        Raises:
            CommitUnknownError: The journal cannot be read.
        """
        work = partial(_find, zone_id=zone_id, key=key)
        return await self._read("find", Announced(_scope_of(zone_id, key), work))

    async def open_operations(self, zone_id: str) -> AsyncIterator[JournaledOperation]:
        """Every operation of a zone that is in doubt, the oldest first, a page at a time.

        Raises:
            CommitUnknownError: The journal cannot be read.
        """
        after = ""
        while page := await self._read("open", partial(_page, zone_id=zone_id, after=after)):
            for place, operation in page:
                after = place
                yield operation

    async def operations(self) -> AsyncIterator[list[JournaledOperation]]:
        """Every operation of every zone, closed ones included, in pages.

        Raises:
            CommitUnknownError: The journal cannot be read.
        """
        zone_id = key = ""
        while page := await self._read("operations", partial(_next_page, zone_id=zone_id, key=key)):
            yield page
            zone_id, key = page[-1].zone_id, page[-1].key

    async def take_over_operations(self, page: Sequence[JournaledOperation]) -> int:
        """Write down operations of another place of this journal; returns how many had to be.

        Those that are further here stay as they are.

        Raises:
            PreCommitError: They could not be written down.
            CommitUnknownError: They may have been written down.
        """
        work = partial(_take_over, page=page)
        return await self._write("take_over", None, Announced(_scope_of_page(page), work))

    async def operations_ahead(self, page: Sequence[JournaledOperation]) -> list[str]:
        """What is told of those operations of a copy that are further there than here.

        Raises:
            CommitUnknownError: The journal cannot be read.
        """
        work = partial(_ahead, page=page, now=self._clock())
        return await self._read("compare", Announced(_scope_of_page(page), work))

    async def forget_operations(self, zone_id: str, before: datetime) -> int:
        """Drop operations that were closed before then; returns how many.

        Raises:
            PreCommitError: They could not be dropped.
        """
        return await self._write(
            "forget", None, lambda book: book.forget_operations(zone_id, before)
        )


def _storable(reason: str) -> str:
    """The last word on an operation, which may quote a server: no database keeps all that can be.

    An operation must not stay in doubt for that.
    """
    return reason.encode(errors="replace").decode().replace("\x00", "\ufffd")


def _scope_of(zone_id: str, key: str) -> LedgerScope:
    return LedgerScope(operations=((zone_id, key),))


def _scope_of_page(page: Sequence[JournaledOperation]) -> LedgerScope:
    return LedgerScope(operations=tuple((each.zone_id, each.key) for each in page))


def _begin(book: JournalBook, wanted: JournaledOperation) -> JournaledOperation | None:
    standing = book.operation(wanted.zone_id, wanted.key)
    if standing is None or standing.outcome is Outcome.OTHER_OPERATION:
        book.save_operation(wanted)
        return None
    if any(getattr(standing, name) != getattr(wanted, name) for name in _SAME):
        if standing.outcome is not Outcome.PRE_COMMIT:
            raise _another(standing, wanted)
        book.save_operation(wanted)  # what never was, and never will be, has left its key free
        return standing
    again = msgspec.structs.replace(standing, calls=standing.calls + 1)
    if standing.outcome not in HAPPENED:
        again = msgspec.structs.replace(again, outcome=None, ended_at=None)
    book.save_operation(again)
    return standing


def _find(book: JournalBook, zone_id: str, key: str) -> JournaledOperation | None:
    return book.operation(zone_id, key)


def _end(
    book: JournalBook,
    zone_id: str,
    key: str,
    outcome: Outcome | None,
    reason: str,
    now: datetime,
) -> None:
    standing = book.operation(zone_id, key)
    if standing is None or standing.outcome in HAPPENED:
        return  # what happened once has happened
    ended = None if outcome is None else now
    book.save_operation(
        msgspec.structs.replace(standing, outcome=outcome, reason=reason, ended_at=ended)
    )


def _next_page(book: JournalBook, zone_id: str, key: str) -> list[JournaledOperation]:
    return book.operations_after(zone_id, key, PAGE)


def _take_over(book: JournalBook, page: Sequence[JournaledOperation]) -> int:
    taken = 0
    for each in page:
        known = book.operation(each.zone_id, each.key)
        if known is None or (known != each and not is_further(known, each)):
            book.save_operation(each)
            taken += 1
    return taken


def _ahead(book: JournalBook, page: Sequence[JournaledOperation], now: datetime) -> list[str]:
    beside = [(each, book.operation(each.zone_id, each.key)) for each in page]
    return operations_ahead(beside, now)


def _page(book: JournalBook, zone_id: str, after: str) -> list[tuple[str, JournaledOperation]]:
    return book.operations_in_doubt(zone_id, after, PAGE)


def _another(standing: JournaledOperation, wanted: JournaledOperation) -> IdempotencyMismatchError:
    was = f"{standing.kind} of {standing.bounty_id}"
    said = standing.outcome.value if standing.outcome else "its outcome is not known"
    seen = Observation(action="read", target="the journal", answer=f"{was}: {said}")
    asked = f"{wanted.kind} of {wanted.bounty_id}"
    if (standing.kind, standing.bounty_id) == (wanted.kind, wanted.bounty_id):
        asked += " with other parameters"
    return IdempotencyMismatchError(
        f"the key stands for {was}, not for {asked}",
        other=OtherOperation(
            kind=standing.kind,
            idempotency_key=standing.key,
            record_id=standing.bounty_id,
            at=standing.began_at,
            outcome=standing.outcome,
        ),
        evidence=Evidence(proof=Proof.DOCUMENT, observations=(seen,)),
    ).about(wanted.kind, wanted.bounty_id, wanted.key)
