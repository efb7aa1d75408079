"""Services whose rules are written over a book, wherever that book is kept.

A *book* is what the rules may read and write inside one transaction: the accounts and the journal
of a ledger, or the claims on targets. A place to keep it says how a transaction is run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Generic, Self, TypeVar

from nexus_bounty.calls_in_doubt import CallsInDoubt
from nexus_bounty.models import utc_now

BookT = TypeVar("BookT")
ScopeT = TypeVar("ScopeT")
T = TypeVar("T")
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Announced(Generic[ScopeT, BookT, T]):
    """Work for one transaction that says before it begins what it may read and change.

    A place with many locks takes them in one order, so that no two calls wait for each other, and
    reads all of it at once. Other places run it like any work.

    Attributes:
        scope: What it may read and change.
        work: Does it.
        foreseeable: Whether it may be tried on what is believed to be there, and be kept if that
            turns out to be true. Of a balance it decides no more than whether it is enough.
    """

    scope: ScopeT
    work: Callable[[BookT], T]
    foreseeable: bool = False

    def __call__(self, book: BookT) -> T:
        """Do it."""
        return self.work(book)


class Transactional(ABC, Generic[BookT]):
    """A service over a book, which is closed after use.

    Args:
        clock: Says what has expired; aware. May be called from another thread.
    """

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._in_doubt = CallsInDoubt()

    async def _write(
        self,
        operation: str,
        key: str | None,
        work: Callable[[BookT], T],
        *,
        call_id: Hashable = None,
    ) -> T:
        """Run `work` in one transaction that nothing else can change, and commit it.

        Calls of an operation with one `call_id`, which is the `key` if not given, are the same
        call: what is raised of one speaks of the earlier ones, too.

        Raises:
            PreCommitError: It was not committed, nor was an earlier one that is in doubt.
            CommitUnknownError: It, or an earlier one, may have been.
        """
        call_id = key if call_id is None else call_id
        if call_id is None:
            return await self._commit(operation, key, work)
        with self._in_doubt.about((operation, call_id)):
            return await self._commit(operation, key, work)

    @abstractmethod
    async def _commit(self, operation: str, key: str | None, work: Callable[[BookT], T]) -> T:
        """Run `work` in one transaction that nothing else can change, and commit it.

        What is raised speaks of this call alone.
        """

    @abstractmethod
    async def _read(self, operation: str, work: Callable[[BookT], T]) -> T:
        """Run `work` on one consistent state."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of what the service itself opened."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class InMemory(Transactional[BookT]):
    """A service in this process, for one event loop at a time.

    Nothing is awaited between reading and writing, so that each call is one transaction.
    """

    def __init__(self, book: BookT, *, clock: Clock = utc_now) -> None:
        super().__init__(clock=clock)
        self._book = book

    async def _commit(self, operation: str, key: str | None, work: Callable[[BookT], T]) -> T:  # noqa: ARG002 - for stores that report failures
        return work(self._book)

    async def _read(self, operation: str, work: Callable[[BookT], T]) -> T:  # noqa: ARG002 - same
        return work(self._book)

    async def close(self) -> None:
        """Nothing to let go of."""
