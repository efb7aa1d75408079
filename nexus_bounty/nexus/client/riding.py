"""Files that are written with whatever batch is sent next.

To write them costs no request of its own where one is sent anyway; where none is, they get their
own soon. Like all deferred work it does no harm whenever it is done, and none if it never is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events.log import logger_of
from nexus_bounty.nexus.client.deferred import DeferredWork, Owed
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.round_trips import RoundTrips

logger = logger_of("nexus_bounty.nexus")

Write = Callable[[Mapping[str, bytes], Deadline], Awaitable[object]]

MOST_CONTENT: Final = 64_000
"""Bytes: more than that no batch takes along that somebody waits for."""


@dataclass(frozen=True, slots=True)
class Rider:
    """What a file is to hold, by the write of that number: the higher one is the newer.

    One `after` another file is written once that one is, or with it.
    """

    content: bytes
    seq: int = 0
    after: str | None = None


class RidingWrites(DeferredWork[Rider]):
    """Files to be written with the next batch of other files, or alone within a moment.

    An empty one costs a batch next to nothing, and rides with the first. One with content waits for
    those of other writes, and rides only if it would soon cost a request of its own.

    Args:
        write: Writes files that it does no harm to write again.
        round_trips: Says how long they wait, and how soon another batch may come.
        batch: How many files do not wait any longer.
        timeout: How many seconds one batch of them alone may take.
    """

    def __init__(
        self, write: Write, round_trips: RoundTrips, *, batch: int, timeout: float
    ) -> None:
        super().__init__(delay=lambda: round_trips.moment, batch=batch, timeout=timeout)
        self._write = write
        self._round_trips = round_trips

    def owes(self, path: str) -> bool:
        """Whether the file at `path` is still to be written."""
        return path in self._owed

    def add_markers(self, paths: Iterable[str], after: str | None = None) -> None:
        """Write empty files soon, and not before the file at `after`, if that is to be written."""
        self.put(dict.fromkeys(paths, Rider(b"", after=after)))

    def add(self, path: str, content: bytes, seq: int) -> None:
        """Write a file soon, unless what is to be written there is newer."""
        owed = self._owed.get(path)
        if owed is None or owed.item.seq <= seq:
            self.put({path: Rider(content, seq)})

    def with_room_for(self, files: int, besides: Sequence[str] = ()) -> dict[str, Owed[Rider]]:
        """At most so many of the files, the oldest first, to be written `besides` others."""
        riding: dict[str, Owed[Rider]] = {}
        room = MOST_CONTENT
        for path, owed in self._riding():
            size = len(owed.item.content)
            fits = len(riding) < files and size <= room and path not in besides
            if fits and self._in_turn(owed, riding):
                riding[path] = owed
                room -= size
        return riding

    def _riding(self) -> Iterator[tuple[str, Owed[Rider]]]:
        """What is not to wait for others any longer, the oldest first."""
        is_due = True
        for path, owed in super()._free().items():
            if owed.item.content and is_due:  # where one may wait, so may all that came after it
                is_due = self._may_wait(owed) <= self._round_trips.between_batches
            if is_due or not owed.item.content:
                yield path, owed

    def _free(self) -> dict[str, Owed[Rider]]:
        free = super()._free()
        return {path: owed for path, owed in free.items() if self._in_turn(owed, free)}

    def _in_turn(self, owed: Owed[Rider], batch: Mapping[str, Owed[Rider]]) -> bool:
        """Whether the file that it comes after is written, or will be with `batch`."""
        first = owed.item.after
        return first is None or first not in self._owed or first in batch

    async def _do(self, batch: Mapping[str, Rider], deadline: Deadline) -> None:
        files = {path: rider.content for path, rider in batch.items()}
        try:
            await self._write(files, deadline)
        except NexusError as error:  # whoever reads, or looks for markers, does it
            logger.info("files are left for the next reader to bring up to date: %s", error)
