"""The port of the journal: which operations were begun, and what became of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final, Protocol, runtime_checkable

import msgspec

from nexus_bounty.models import Wire, utc_now
from nexus_bounty.outcomes import Outcome

JOURNAL_KEPT: Final = timedelta(days=30)
"""How long the journal names operations that have ended; then their keys are forgotten."""


class JournaledOperation(Wire, frozen=True, kw_only=True):
    """One operation as the journal has it; open, and so in doubt, until its outcome is known.

    Attributes:
        key: Its idempotency key, which stands for it alone in its zone.
        zone_id: The zone that it works on.
        kind: What is done, such as `claim`.
        bounty_id: To which bounty.
        fingerprint: A digest of what was asked for.
        decided_by: The key of the commit that decides whether it happened.
        actor: Who asked for it, where that was said.
        began_at: When it was first written down; aware.
        ended_at: When its outcome was.
        outcome: What became of it; `None` while that is not known.
        reason: The last word on it, for people.
        calls: How often it was begun.
    """

    key: str
    zone_id: str
    kind: str
    bounty_id: str
    fingerprint: str
    decided_by: str
    actor: str | None = None
    began_at: datetime = msgspec.field(default_factory=utc_now)
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    reason: str = ""
    calls: int = 1

    @property
    def is_open(self) -> bool:
        """Whether it may have happened or may yet, as far as the journal knows."""
        return self.outcome is None


@runtime_checkable
class OperationJournal(Protocol):
    """Remembers operations beside the ledger, across processes; some ledgers are one.

    An operation is written down before its first request and closed with its outcome, so that
    whoever takes over the key of a process that died has that process's doubt.
    """

    async def begin_operation(self, operation: JournaledOperation) -> JournaledOperation | None:
        """Write an operation down; returns what the key stood for before this call.

        What provably never happened is opened again by a repeat; what happened stays closed.

        Raises:
            IdempotencyMismatchError: The key stands for another operation, which is attached.
            PreCommitError: It could not be written down.
            CommitUnknownError: It may have been written down.
        """
        ...

    async def end_operation(
        self, zone_id: str, key: str, outcome: Outcome | None, reason: str
    ) -> None:
        """Note the outcome of an operation; with `None` only the reason why it is not known.

        Raises:
            PreCommitError, CommitUnknownError: The journal could not be read or written.
        """
        ...

    async def find_operation(self, zone_id: str, key: str) -> JournaledOperation | None:
        """The operation that a key stands for; `None` if there is none, or it was forgotten.

        Raises:
            PreCommitError, CommitUnknownError: The journal could not be read or written.
        """
        ...

    def open_operations(self, zone_id: str) -> AsyncIterator[JournaledOperation]:
        """Every operation of a zone that is in doubt, the oldest first.

        Raises:
            PreCommitError, CommitUnknownError: The journal could not be read or written.
        """
        ...

    async def forget_operations(self, zone_id: str, before: datetime) -> int:
        """Drop operations that were closed before then; returns how many.

        What is forgotten is never taken for "did not happen": the history of the bounty's
        document is asked, as it is for keys of which there never was an entry.

        Raises:
            PreCommitError, CommitUnknownError: The journal could not be written.
        """
        ...


@runtime_checkable
class RemembersRanges(Protocol):
    """A journal whose database also keeps what reconcilers remember of ranges, for those to come.

    It is lost, or an earlier one, where the database is put back from a backup: whoever goes by it
    sees whether it is of this time.
    """

    async def find_range_memory(self, zone_id: str, name: str) -> str | None:
        """What was kept last under `name` for a zone; `None` if nothing was.

        Raises:
            PreCommitError, CommitUnknownError: It could not be read.
        """
        ...

    async def keep_range_memory(self, zone_id: str, name: str, memory: str) -> None:
        """Keep `memory` under `name` for a zone, in place of the one before.

        Raises:
            PreCommitError: It could not be kept.
            CommitUnknownError: It may have been kept.
        """
        ...
