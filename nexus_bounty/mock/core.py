"""The server behind the wire: state, and the commit of every change. Knows no HTTP."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from nexus_bounty.mock.files import FileEntry, FileTable, TableState
from nexus_bounty.mock.locks import LockTable
from nexus_bounty.mock.oracle import Oracle, ReceivedRequest
from nexus_bounty.mock.pay import pay_of
from nexus_bounty.mock.personality import EtagSource, Personality, Preconditions, blake3_hex
from nexus_bounty.mock.rate_limit import RateLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How this mock departs from, or adds to, its personality.

    Attributes:
        preconditions: What becomes of conditional writes.
        etag: What an etag is made of.
        race_window: Seconds between the check of a precondition and the write, where they race;
            0 still lets every other task run once.
        rename_delay: Seconds that a winning rename of a file in a directory blocks its answer
            and all writes.
        torn_reads: Whether a read takes the content first and the etag a little later.
        pay: Whether there is a record store behind NexusPay; without one it answers 503.
        api_key: The key that requests must carry; None runs open.
        rate_limit: How many calls of one method are answered in a minute; None has no limit.
    """

    preconditions: Preconditions
    etag: EtagSource
    race_window: float
    rename_delay: float
    torn_reads: bool
    pay: bool
    api_key: str | None
    rate_limit: int | None

    @property
    def waits(self) -> bool:
        """Whether a request may pause inside the server."""
        racing = self.preconditions is Preconditions.RACING
        return racing or self.torn_reads or self.rename_delay > 0


@dataclass(frozen=True, slots=True)
class CoreState:
    """A snapshot of files and writes; locks, money and the oracle are not part of it."""

    table: TableState
    writes: int


class NexusCore:
    """State of one mock server.

    Args:
        personality: The release to imitate.
        behaviour: Departures from it.
        oracle: Where changes are recorded.
        clock: Tells the time of writes.
        rng: The source of all randomness.
    """

    def __init__(
        self,
        personality: Personality,
        behaviour: Behaviour,
        oracle: Oracle,
        clock: Callable[[], datetime],
        rng: random.Random,
    ) -> None:
        self.personality = personality
        self.behaviour = behaviour
        self.oracle = oracle
        self.clock = clock
        self.random = rng
        self.table = FileTable(_etags(self), clock, by_path=behaviour.etag == "path")
        self.locks = LockTable(rng)
        self.pay = pay_of(personality.imitates)(rng, clock)
        self.rate_limit = RateLimit(behaviour.rate_limit)
        self.writes = 0
        self._salt = rng.getrandbits(64)
        self._writes_blocked_until = 0.0
        self._shown: dict[str, FileEntry] = {}
        """What `read` and `sys_stat` show of files, where that is not looked up each time."""

    async def pause(self) -> None:
        """Let others in, as a real server does between a check and a write."""
        await asyncio.sleep(self.behaviour.race_window)

    async def writable(self) -> None:
        """Wait while a rename holds the database."""
        wait = self._writes_blocked_until and (
            self._writes_blocked_until - asyncio.get_running_loop().time()
        )
        if wait > 0:
            await asyncio.sleep(wait)

    async def hold_writes(self) -> None:
        """Hold the database for as long as a rename does."""
        delay = self.behaviour.rename_delay
        if delay > 0:
            self._writes_blocked_until = asyncio.get_running_loop().time() + delay
            await asyncio.sleep(delay)

    def shown(self, path: str) -> FileEntry | None:
        """The file at a path as `read` and `sys_stat` show it, its content aside."""
        entry = self.table.get(path)
        if entry is None or not self.personality.stale_etags:
            return entry
        return self._shown.setdefault(path, entry)

    def write(self, request: ReceivedRequest, path: str, content: bytes) -> FileEntry:
        """Store a file and record it."""
        before = self.table.get(path)
        self.writes += 1
        entry = self.table.write(path, content)
        etag_before = before.etag if before else None
        self.oracle.apply(request, path, content, etag_before, entry.etag, entry.version)
        return entry

    def remove(self, request: ReceivedRequest, path: str) -> None:
        """Delete a file and record it.

        Raises:
            Refusal: NOT_FOUND.
        """
        entry = self.table.remove(path)
        self._shown.pop(path, None)
        self.oracle.apply(request, path, None, entry.etag, None)

    def move(self, request: ReceivedRequest, old: str, new: str) -> None:
        """Rename a file or a directory and record both ends of each file."""
        readable = self.personality.rename_keeps_content
        for before, after in self.table.move(old, new, readable=readable):
            self._shown.pop(before.path, None)
            self.oracle.apply(request, before.path, None, before.etag, None)
            self.oracle.apply(request, after.path, after.content, None, after.etag, after.version)

    def next_version_etag(self) -> str:
        """An etag that says nothing about content and never comes again."""
        return blake3_hex(f"{self._salt}:{self.writes}".encode())

    def snapshot(self) -> CoreState:
        """Remember the files."""
        return CoreState(self.table.copy(), self.writes)

    def restore(self, state: CoreState) -> None:
        """Put the files back as they were remembered."""
        self.table.restore(state.table)
        self._shown.clear()
        # Version etags must stay new even after the table went back in time.
        self.writes = max(self.writes, state.writes)


def _etags(core: NexusCore) -> Callable[[str, bytes], str]:
    digest = core.personality.digest
    kinds: dict[EtagSource, Callable[[str, bytes], str]] = {
        "content": lambda _path, content: digest(content),
        "version": lambda _path, _content: core.next_version_etag(),
        "path": lambda path, _content: path.lstrip("/"),
    }
    return kinds[core.behaviour.etag]
