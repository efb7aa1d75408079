"""What reconcilers remember of ranges, kept in the same database as the ledger."""

from __future__ import annotations

from typing import Protocol

from nexus_bounty.transactions import Transactional


class RangeBook(Protocol):
    """Where it is kept, inside a transaction."""

    def range_memory(self, zone_id: str, name: str) -> str | None:
        """What is remembered under a name, or `None`."""
        ...

    def save_range_memory(self, zone_id: str, name: str, memory: str) -> None:
        """Remember that, in place of what was."""
        ...


class RememberingLedger(Transactional[RangeBook]):
    """A `RemembersRanges` over a book."""

    async def find_range_memory(self, zone_id: str, name: str) -> str | None:
        """What was kept last under `name` for a zone; `None` if nothing was.

        Raises:
            CommitUnknownError: It cannot be read.
        """
        return await self._read("find", lambda book: book.range_memory(zone_id, name))

    async def keep_range_memory(self, zone_id: str, name: str, memory: str) -> None:
        """Keep `memory` under `name` for a zone, in place of the one before.

        Raises:
            PreCommitError: It could not be kept.
            CommitUnknownError: It may have been kept.
        """
        await self._write("keep", None, lambda book: book.save_range_memory(zone_id, name, memory))
