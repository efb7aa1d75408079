"""A journal of operations for ledgers that keep none: it ends with the process."""

from __future__ import annotations

from nexus_bounty.ledger import JournaledLedger
from nexus_bounty.memory.credits import MemoryBook
from nexus_bounty.models import utc_now
from nexus_bounty.transactions import Clock, InMemory


class MemoryJournal(InMemory[MemoryBook], JournaledLedger):
    """An `OperationJournal` in this process: a key tells nothing to any other process."""

    def __init__(self, *, clock: Clock = utc_now) -> None:
        super().__init__(MemoryBook(), clock=clock)
