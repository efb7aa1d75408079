"""AutoCommit: commits in the way that a probe found to be safe on the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from weakref import WeakValueDictionary

from nexus_bounty.deadlines import Deadline
from nexus_bounty.models import utc_now
from nexus_bounty.nexus.client import Etags, NexusClient, Page
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.commit.conditional import ConditionalCommit
from nexus_bounty.nexus.commit.file_backend import FileBackend
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.commit.single_writer import SingleWriter
from nexus_bounty.nexus.documents import BelievedFile, Document, UnreadableDocumentError
from nexus_bounty.nexus.documents.commits import (
    CommitResult,
    CommitStrategy,
    Intent,
    Trail,
    Unknown,
)
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.probe import Verdict
from nexus_bounty.nexus.selection.strategy_selection import (
    MAX_AGE,
    PinnedVerdict,
    choose,
    pinned_verdict,
    reader_for,
    strategy_for,
)
from nexus_bounty.outcomes import UnsupportedServerError

CommitOption = CommitStrategy | Literal["auto", "conditional"]
"""How a store commits: in a way of its own, as a probe finds to be safe, or by preconditions."""

Choice = CommitStrategy | UnsupportedServerError

RECHECK_MAY_LAST: Final = 5.0
"""Seconds; what is known already will do if the server is slow to say its version."""
UNPINNED_RECHECK: Final = timedelta(seconds=5)

_NEVER = datetime.min.replace(tzinfo=UTC)
_shared: WeakValueDictionary[tuple[int, str], AutoCommit] = WeakValueDictionary()


def commit_strategy(option: CommitOption, client: NexusClient, zone_id: str) -> CommitStrategy:
    """The strategy that `option` stands for; stores on one client and zone share what they find."""
    if option == "conditional":
        return ConditionalCommit(client)
    if option == "auto":
        # the id of a client is its own for as long as this, which refers to it, is kept
        return _shared.setdefault((id(client), zone_id), AutoCommit(client, zone_id))
    return option


class AutoCommit:
    """Finds out before the first write how commits are safe, and commits in that way.

    What it finds is pinned in the zone, for every other program that uses it, and looked at
    again when the server becomes another version or the verdict is old. On an unsafe server it
    reads, and refuses every commit with `UnsupportedServerError` before anything is written.

    A read goes by what is pinned, and finds out nothing: it writes nothing but what was committed
    by rename and whose writer died before its file was up to date.

    Args:
        client: The server.
        zone_id: The zone; the client's setting if not given.
        wanted: The strategy to insist on. `SINGLE_WRITER` says that no other process writes the
            zone; close this then, to let the next one have it.
        max_age: How old a pinned verdict may be.
        recheck: How often the server is asked for its version.
        clock: The current time, aware.
    """

    def __init__(
        self,
        client: NexusClient,
        zone_id: str | None = None,
        *,
        wanted: Verdict | None = None,
        max_age: timedelta = MAX_AGE,
        recheck: timedelta = timedelta(minutes=5),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._zone = ZonePaths(zone_id if zone_id is not None else client.settings.zone_id)
        self._wanted = wanted
        self._max_age = max_age
        self._recheck = recheck
        self._clock = clock
        self._finding_out = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._checked = self._looked = _NEVER
        self._chosen: Choice | None = None
        self._pinned: PinnedVerdict | None = None
        self._reader: FileBackend | RenameCommit = RenameCommit(client)
        self.verdict: PinnedVerdict | None = None
        """What it goes by, once it has found out."""

    async def close(self) -> None:
        """Give the zone back, if it was held for this process alone."""
        if isinstance(self._chosen, SingleWriter):
            await self._chosen.close()

    async def _writing(self, deadline: Deadline | None = None) -> CommitStrategy:
        """How to commit; with a deadline to find out in, if what is known is old.

        Raises:
            UnsupportedServerError: In no way.
            NexusError: It could not be found out.
        """
        async with self._finding_out:
            chosen = self._chosen
            if chosen is None or (deadline and self._is_due(self._checked)):
                chosen = await self._find_out(chosen, deadline or self._client.deadline())
        if isinstance(chosen, UnsupportedServerError):
            raise UnsupportedServerError(chosen.message, evidence=chosen.evidence)
        return chosen

    def _is_due(self, last: datetime) -> bool:
        return self._clock() - last > self._recheck

    async def _find_out(self, before: Choice | None, deadline: Deadline) -> Choice:
        """What is safe now; what was chosen `before` if the server cannot be asked."""
        try:
            within = deadline.within(RECHECK_MAY_LAST) if before else deadline
            chosen = self._chosen = await self._choose(before, within)
        except NexusError:
            if before is None:
                raise
            return before  # it will hardly commit now; ask again next time
        self._checked = self._clock()
        if self.verdict is not None:
            self._read_by(self.verdict)
        if isinstance(before, SingleWriter) and before is not chosen:
            await before.close()
        return chosen

    async def _choose(self, before: Choice | None, deadline: Deadline) -> Choice:
        known = self.verdict
        try:
            found = await choose(
                self._client,
                self._zone,
                deadline,
                wanted=self._wanted,
                max_age=self._max_age,
                clock=self._clock,
            )
        except UnsupportedServerError as error:
            self.verdict = None
            return error
        self.verdict = found
        same = known and (known.strategy, known.quirks) == (found.strategy, found.quirks)
        return before if same and before else strategy_for(found, self._client, self._zone)

    async def _reading(self, deadline: Deadline) -> FileBackend | RenameCommit:
        async with self._looking:
            every = self._recheck if self._pinned else UNPINNED_RECHECK
            if self._clock() - self._looked > every:
                self._read_by(await pinned_verdict(self._client, self._zone, deadline))
        return self._reader

    def _read_by(self, pinned: PinnedVerdict | None) -> None:
        self._pinned = pinned
        self._reader = reader_for(pinned, self._client)
        self._looked = self._clock()

    async def ready(self, deadline: Deadline) -> None:
        """Make sure that commits are safe here.

        Raises:
            UnsupportedServerError: They are not; nothing was written (pre-commit).
        """
        strategy = await self._writing(deadline)
        await strategy.ready(deadline)

    async def read(self, path: str, deadline: Deadline) -> Document | None:
        """The document as committed."""
        return await (await self._reading(deadline)).read(path, deadline)

    async def read_many(
        self, paths: Sequence[str], deadline: Deadline
    ) -> list[Document | UnreadableDocumentError]:
        """The documents that exist among `paths`, as committed."""
        return await (await self._reading(deadline)).read_many(paths, deadline)

    async def names(self, directory: str, deadline: Deadline) -> list[str]:
        """The paths of all documents that were committed in `directory`."""
        return await (await self._reading(deadline)).names(directory, deadline)

    async def page(self, directory: str, after: str, deadline: Deadline) -> Page:
        """The paths of documents that were committed in `directory`, those after `after`."""
        return await (await self._reading(deadline)).page(directory, after, deadline)

    async def etags(self, directory: str, after: str, deadline: Deadline) -> Etags | None:
        """The etags of documents as committed, of a page after `after`, where they say it."""
        return await (await self._reading(deadline)).etags(directory, after, deadline)

    async def commit(
        self, intent: Intent, deadline: Deadline, trail: Trail, *, in_doubt: bool
    ) -> CommitResult:
        """Carry `intent` to a proven end."""
        try:
            strategy = await self._writing()
        except UnsupportedServerError as refusal:  # found out since `ready`
            if in_doubt:
                return Unknown(refusal.message)
            raise
        return await strategy.commit(intent, deadline, trail, in_doubt=in_doubt)

    async def abort(self, intent: Intent, deadline: Deadline, trail: Trail) -> CommitResult:
        """Find out what became of `intent`, and fence it off if it has not landed."""
        try:
            strategy = await self._writing()
        except UnsupportedServerError as refusal:
            return Unknown(refusal.message)
        return await strategy.abort(intent, deadline, trail)

    async def read_lock(self, path: str, deadline: Deadline) -> BelievedFile | None:
        """The lock as it was last moved."""
        return await (await self._reading(deadline)).read_lock(path, deadline)

    async def move_lock(
        self,
        path: str,
        now: BelievedFile | None,
        content: bytes,
        deadline: Deadline,
        trail: Trail,
    ) -> bool:
        """Try once to move the lock on from `now`."""
        return await (await self._writing()).move_lock(path, now, content, deadline, trail)

    async def collect(self, directory: str, before: datetime) -> list[str]:
        """Remove what commits left behind in `directory` before a time.

        Without a pinned verdict nothing is collected: what cannot be read cannot be judged.
        """
        reader = await self._reading(self._client.deadline())
        return await reader.collect(directory, before) if self._pinned else []
