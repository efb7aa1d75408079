"""What a store remembers of what it has seen, to spare reads; all of it bounded."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from nexus_bounty.models import Bounty, utc_now
from nexus_bounty.nexus.client import etags
from nexus_bounty.nexus.documents import Document

V = TypeVar("V")

DATES_RENEWED_AFTER: Final = timedelta(minutes=30)


class Bounded(Generic[V]):
    """The `capacity` values that were used last, by their path."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[str, V] = OrderedDict()

    def __contains__(self, path: str) -> bool:
        """Whether there is a value for `path`."""
        return path in self._values

    def put(self, path: str, value: V) -> None:
        """Keep `value`, forgetting the least recently used one if there is no room."""
        self._values[path] = value
        self._values.move_to_end(path)
        if len(self._values) > self._capacity:
            self._values.popitem(last=False)

    def drop(self, path: str) -> None:
        """Keep nothing for `path`."""
        self._values.pop(path, None)

    def get(self, path: str) -> V | None:
        """The value for `path`, or `None`."""
        value = self._values.get(path)
        if value is not None:
            self._values.move_to_end(path)
        return value

    def drop_oldest(self, is_over: Callable[[V], bool]) -> None:
        """Drop the least recently used values, up to the first that is not over."""
        while self._values and is_over(next(iter(self._values.values()))):
            self._values.popitem(last=False)

    def clear(self) -> None:
        """Drop everything."""
        self._values.clear()


def _tick() -> float:
    return asyncio.get_running_loop().time()


class DocumentMemory:
    """The last seen version of the most recently used documents, by path.

    A memory may be out of date: whoever acts on it has to find out by a conditional write, and
    has to read again before refusing anything. With `lasts`, what was seen longer ago by `clock`
    is forgotten.
    """

    def __init__(
        self,
        capacity: int,
        *,
        lasts: timedelta | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._documents: Bounded[tuple[Document, datetime, float]] = Bounded(capacity)
        self._lasts = lasts
        self._clock = clock

    def remember(self, document: Document) -> None:
        """Keep `document`, forgetting the least recently used one if there is no room."""
        self._documents.put(document.path, (document, self._clock(), _tick()))

    def recall(self, path: str) -> Document | None:
        """The document as last seen, or `None`."""
        document, seen, _ = self._documents.get(path) or (None, None, None)
        if seen is None or self._lasts is None or self._clock() - seen < self._lasts:
            return document
        self.forget(path)
        return None

    def age(self, path: str) -> float:
        """How many seconds ago the document at `path` was seen, by a clock that nobody sets."""
        seen = self._documents.get(path)
        return _tick() - seen[2] if seen else math.inf

    def forget(self, path: str) -> None:
        """Drop what was seen of the document at `path`."""
        self._documents.drop(path)

    def clear(self) -> None:
        """Drop everything."""
        self._documents.clear()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the document with this etag says: `None` if it is no bounty, but a tombstone, say."""

    etag: str
    bounty: Bounty | None


class SnapshotMemory:
    """Bounties as listings have seen them, by the paths of their documents.

    Kept only under etags that are hashes of the content: a document that has the same one again
    is the same again.
    """

    def __init__(self, capacity: int) -> None:
        self._snapshots: Bounded[Snapshot] = Bounded(capacity)

    def remember(self, document: Document, bounty: Bounty | None) -> None:
        """Keep what `document` says."""
        file = document.file
        if etags.speaks_for(file.etag, file.content):
            self._snapshots.put(file.path, Snapshot(file.etag, bounty))

    def knows(self, path: str) -> bool:
        """Whether something is kept of the document at `path`, of whatever age."""
        return path in self._snapshots

    def recall(self, path: str, etag: str | None) -> Snapshot | None:
        """What the document at `path` says if it has this etag; `None` if it is to be read."""
        snapshot = self._snapshots.get(path)
        return snapshot if snapshot is not None and snapshot.etag == etag else None

    def clear(self) -> None:
        """Drop everything."""
        self._snapshots.clear()


@dataclass(frozen=True, slots=True)
class Dates:
    """What no transition of a bounty changes, of ours or of the peer's."""

    created_at: datetime
    deadline: datetime


class DatesMemory:
    """When bounties were created and are due, by the paths of their documents.

    Nothing that follows the protocol ever changes these, so they are believed without asking;
    should a person do it with an editor, it is noticed within an hour.
    """

    def __init__(self, capacity: int, clock: Callable[[], datetime]) -> None:
        self._capacity = capacity
        self._clock = clock
        self._begun = clock()
        self._recent: dict[str, Dates] = {}
        self._older: dict[str, Dates] = {}

    def remember(self, path: str, bounty: Bounty) -> None:
        """Keep the dates of `bounty`, for a while or until there is no room."""
        self._forget(full=len(self._recent) >= self._capacity / 2)
        if self._capacity:
            self._recent[path] = Dates(bounty.created_at, bounty.deadline)

    def recall(self, path: str) -> Dates | None:
        """The dates of the bounty at `path`, or `None`."""
        self._forget()
        return self._recent.get(path) or self._older.get(path)

    def _forget(self, *, full: bool = False) -> None:
        age = self._clock() - self._begun
        if full or age >= DATES_RENEWED_AFTER:
            self._older = self._recent if age < 2 * DATES_RENEWED_AFTER else {}
            self._recent = {}
            self._begun = self._clock()

    def clear(self) -> None:
        """Drop everything."""
        self._recent, self._older = {}, {}
