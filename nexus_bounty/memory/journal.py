"""A journal of operations for ledgers that keep none: it ends with the process."""

from __future__ import annotations

from collections import OrderedDict

from nexus_bounty.bounded_set import MOST_REMEMBERED
from nexus_bounty.ledger import JournaledLedger
from nexus_bounty.memory.credits import MemoryBook
from nexus_bounty.models import utc_now
from nexus_bounty.ports import JournaledOperation
from nexus_bounty.transactions import Clock, InMemory


class MemoryJournal(InMemory[MemoryBook], JournaledLedger):
    """An `OperationJournal` in this process: a key tells nothing to any other process.

    Args:
        clock: The current time, aware.
        most: How many operations it remembers that have ended, the latest ones; those in doubt
            stay.
    """

    def __init__(self, *, clock: Clock = utc_now, most: int = MOST_REMEMBERED) -> None:
        super().__init__(_LatestOperations(most), clock=clock)


class _LatestOperations(MemoryBook):
    """Forgets the operation that ended longest ago when too many have."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._ended: OrderedDict[tuple[str, str], None] = OrderedDict()

    def save_operation(self, operation: JournaledOperation) -> None:
        super().save_operation(operation)
        name = operation.zone_id, operation.key
        self._ended.pop(name, None)
        if operation.is_open:
            return
        self._ended[name] = None
        if len(self._ended) > self._most:
            oldest, _ = self._ended.popitem(last=False)
            self._operations.pop(oldest, None)
