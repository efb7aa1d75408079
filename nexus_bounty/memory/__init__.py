"""Ports kept in memory, for tests and for the `memory:` URL: gone when the process is."""

from __future__ import annotations

from nexus_bounty.memory.claims import MemoryClaimStore
from nexus_bounty.memory.contributions import MemoryContributionStore
from nexus_bounty.memory.credits import MemoryBook, MemoryCredits
from nexus_bounty.memory.journal import MemoryJournal

__all__ = [
    "MemoryBook",
    "MemoryClaimStore",
    "MemoryContributionStore",
    "MemoryCredits",
    "MemoryJournal",
]
