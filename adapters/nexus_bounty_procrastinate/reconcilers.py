"""The reconcilers of the ranges that a worker has gone through, and what outlives them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from nexus_bounty.events.log import logger_of
from nexus_bounty.operations import BountyOperations
from nexus_bounty.partition import Partition
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.reconcile.range_memory import RangeMemory, is_borne_out, noted
from nexus_bounty.reconcile.reconciler import NAMES_AGE
from nexus_bounty_procrastinate.ranges import Range

REMEMBERED: Final = 512
"""How many reconcilers a worker keeps: a new one spares no more than the row of its range says."""

_NOTE: Final = "reconciled after "
"""With the beginning of a range the name of the note in its zone."""

logger = logger_of(__name__)


class Reconcilers:
    """One for each range, with what it knows, as long as no other worker's knows more."""

    def __init__(
        self, zones: Mapping[str, BountyOperations], grace: timedelta, most: int = REMEMBERED
    ) -> None:
        self._zones = zones
        self._grace = grace
        self._most = most
        self._kept: OrderedDict[tuple[str, Partition], tuple[str | None, Reconciler]]
        self._kept = OrderedDict()

    async def of(self, found: Range) -> Reconciler:
        """The reconciler that goes on where the last run of a range has got.

        It knows what is remembered if the zone bears that out, and goes by nothing while it
        cannot be asked.
        """
        token, kept = self._kept.get((found.zone_id, found.partition), (None, None))
        memory = found.memory
        try:
            if memory is not None and not await self._is_borne_out(found):
                memory = kept = None
        except Exception as error:  # noqa: BLE001 - the run itself says what is wrong
            logger.info("a range is gone through from nothing, its zone cannot be read: %s", error)
            return self._made(found)
        seen_last = memory.token if memory is not None else None
        if kept is None or token != seen_last:  # another worker was at it meanwhile
            kept = self._made(found)
        kept.go_on_from(found.cursor, memory.sweeps if memory is not None else None)
        self._keep(found, seen_last, kept)
        return kept

    async def remembered(self, found: Range, reconciler: Reconciler) -> RangeMemory | None:
        """What is to be remembered of a range after a run; `None` for nothing."""
        earlier = found.memory.between_walks() if found.memory is not None else None
        token, kept = self._kept.get((found.zone_id, found.partition), (None, None))
        if kept is not reconciler:
            return earlier
        proven = found.memory if found.memory and found.memory.token == token else None
        sweeps, is_under_way = reconciler.memory, bool(found.cursor or reconciler.cursor)
        if proven is not None and proven.sweeps == sweeps and not is_under_way:
            return proven
        store = self._zones[found.zone_id].services.store
        try:
            memory = await noted(store, sweeps, _NOTE + found.partition.lo)
        except Exception as error:  # noqa: BLE001 - the run was well all the same
            logger.info("what a run has seen is known to this process alone: %s", error)
            return earlier if proven is not None else None
        self._keep(found, memory.token if memory is not None else None, reconciler)
        return memory

    async def remembered_after(self, found: Range, at: str) -> RangeMemory | None:
        """What is remembered of the part of a range that comes after `at`.

        Raises:
            NexusError: It could not be seen whether the zone bears it out, or not be noted.
        """
        if found.memory is None or not await self._is_borne_out(found):
            return None
        store = self._zones[found.zone_id].services.store
        return await noted(store, found.memory.between_walks().sweeps, _NOTE + at)

    async def _is_borne_out(self, found: Range) -> bool:
        store = self._zones[found.zone_id].services.store
        return found.memory is not None and await is_borne_out(
            store, found.memory, _NOTE + found.partition.lo
        )

    def _made(self, found: Range) -> Reconciler:
        made = Reconciler(
            self._zones[found.zone_id],
            grace=self._grace,
            partition=found.partition,
            names_age=NAMES_AGE,
        )
        made.go_on_from(found.cursor)
        return made

    def _keep(self, found: Range, token: str | None, reconciler: Reconciler) -> None:
        key = found.zone_id, found.partition
        self._kept[key] = token, reconciler
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
