"""What a reconciler that runs for ever remembers, kept beside the journal for the one after it.

Before each run it is seen whether the zone still bears it out, see `range_memory`: a zone that was
put back from a backup is gone through from nothing, in the middle of a life, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from nexus_bounty.events.log import logger_of
from nexus_bounty.idempotency import derived_id
from nexus_bounty.models import Wire
from nexus_bounty.operations.services import Services
from nexus_bounty.partition import Partition, encode_segment
from nexus_bounty.ports import KeepsNotes, RemembersRanges
from nexus_bounty.reconcile.range_memory import RangeMemory, noted
from nexus_bounty.reconcile.sweep_state import SweepMemory

logger: Final = logger_of("nexus_bounty.reconcile")


class KeptRange(Wire, frozen=True, kw_only=True):
    """How far the sweeps of a range have got, and what they remember.

    Attributes:
        cursor: See `Reconciler.cursor`.
        memory: What is remembered, and what the note in the zone says if it may be believed.
    """

    cursor: Mapping[str, str | None]
    memory: RangeMemory


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a reconciler is to begin, and what it may go by; with nothing if both are empty."""

    cursor: Mapping[str, str | None]
    memory: Mapping[str, SweepMemory]


class RangeKeeper:
    """Keeps what the reconciler of one range remembers, for one ledger.

    Whatever cannot be read or kept costs requests, and is logged: it is no error of a run.

    Args:
        journal: Where it is kept.
        store: Bears it out.
        services: Whose zone and ledger it is about: what has ended is held against one ledger.
        partition: The range.
    """

    def __init__(
        self,
        journal: RemembersRanges,
        store: KeepsNotes,
        services: Services,
        partition: Partition,
    ) -> None:
        self._journal = journal
        self._store = store
        self._services = services
        self._partition = partition
        self._name = ""
        self._kept: KeptRange | None = None
        self._is_known = False
        """Whether what the reconciler goes by was compared with the zone."""

    @classmethod
    def of(cls, services: Services, partition: Partition) -> RangeKeeper | None:
        """One for a range, if there is a place to keep it and one to bear it out."""
        journal, store = services.journal, services.store
        if isinstance(journal, RemembersRanges) and isinstance(store, KeepsNotes):
            return cls(journal, store, services, partition)
        return None

    async def look(self) -> Beginning | None:
        """Where the next run is to begin; `None` to go on as it is.

        With what is kept if the zone bears that out, else with nothing.
        """
        try:
            self._name = self._name or await self._named()
            beginning = await self._look()
        except Exception as error:  # noqa: BLE001 - the run itself says what is wrong
            logger.info("it cannot be seen whether what is remembered holds: %s", error)
            self._is_known = False
            return None
        self._is_known = True
        return beginning

    async def _named(self) -> str:
        """The name under which it is kept, and borne out."""
        ends = [encode_segment(each) for each in (self._partition.lo, self._partition.hi or "")]
        return derived_id("watched", "/".join([await self._services.credits.identity(), *ends]))

    async def _look(self) -> Beginning | None:
        if self._is_known and self._kept is None:
            return None
        token = await self._store.find_note(self._name)
        if self._kept is not None and self._kept.memory.token == token:
            return None
        found = None if token is None else await self._find()
        was_kept, self._kept = self._kept, None
        if found is not None and found.memory.token == token:
            self._kept = found
            return Beginning(found.cursor, found.memory.sweeps)
        return None if was_kept is None else Beginning({}, {})

    async def _find(self) -> KeptRange | None:
        """What is in the database; nothing, if another release has put it there."""
        text = await self._journal.find_range_memory(self._services.store.zone_id, self._name)
        try:
            return None if text is None else msgspec.json.decode(text, type=KeptRange)
        except msgspec.MsgspecError:
            return None

    async def keep(
        self, cursor: Mapping[str, str | None], sweeps: Mapping[str, SweepMemory]
    ) -> None:
        """Keep what is remembered after a run, if that is something else than before.

        The note comes first: what is in the database is believed only with it.
        """
        kept = self._kept
        is_kept = kept is not None and (kept.cursor, kept.memory.sweeps) == (cursor, sweeps)
        if is_kept or not self._is_known:
            return
        try:
            memory = await noted(self._store, sweeps, self._name)
            if memory is not None:
                self._kept = KeptRange(cursor=cursor, memory=memory)
                text = msgspec.json.encode(self._kept).decode()
                await self._journal.keep_range_memory(
                    self._services.store.zone_id, self._name, text
                )
        except Exception as error:  # noqa: BLE001 - the run was well all the same
            logger.info("what a run has seen is known to this process alone: %s", error)
