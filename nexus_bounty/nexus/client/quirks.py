"""What is known of Nexus servers, and what a client learns of the one that it speaks to.

A dialect is what some releases have in common: how they word their answers, and what they do
wrong. `DIALECTS` has one row for each, as measured. Nothing is decided by a version string: which
dialect a server speaks is told by how it words the acknowledgement of a write, and what a client
relies on it has seen on that server (`Capabilities`, `RenameQuirks`). The rows serve where nothing
can be seen in time, such as a race that does not show, and they tell people what to expect.

A new dialect takes its row here, a personality of the mock, and recordings. Two of them word a
write alike, and are told apart by what a read says after an overwrite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from blake3 import blake3


class EtagKind(StrEnum):
    """What an etag is made of."""

    SHA256 = "sha256"
    BLAKE3 = "blake3"
    OPAQUE = "opaque"
    """No hash of the content that is known, but another one for other content."""
    CONSTANT = "constant"
    """The same whatever the content, so that every `if_match` of it succeeds."""
    NONE = "none"


HASHES: Final[Mapping[EtagKind, Callable[[bytes], str]]] = {
    EtagKind.BLAKE3: lambda content: blake3(content).hexdigest(),
    EtagKind.SHA256: lambda content: hashlib.sha256(content).hexdigest(),
}
"""Etags that prove what bytes the server has, the most frequent first."""


class Extra(StrEnum):
    """What not every dialect understands; the value is the method that it is asked of."""

    LIMITS = "list"
    """Takes `limit` and `cursor`."""
    BULK_READS = "read_bulk"
    BULK_CHECKS = "exists_batch"
    """Which of several files exist."""
    BULK_WRITES = "write_batch"
    BATCH_DELETES = "delete_batch"
    BULK_DELETES = "delete_bulk"


BULK_DELETES: Final = (Extra.BATCH_DELETES, Extra.BULK_DELETES)
"""The names under which several files can be deleted, the newer one first."""

STAT: Final = "sys_stat"
"""The etag of a file without its content; the older `get_metadata` does not say it everywhere."""


@dataclass(slots=True)
class Capabilities:
    """What a server was seen to do; `None`, or nothing, until it was asked.

    Attributes:
        understood: Which extras it took, or refused as bad parameters.
        orders_pages: Whether a page of a listing says where to go on, so that none loses a file.
        shows_in_bulk: Whether a bulk read has ever shown a file.
        hashes: Which hash of the content an etag was seen to be.
    """

    understood: dict[Extra, bool] = field(default_factory=dict)
    orders_pages: bool | None = None
    shows_in_bulk: bool | None = None
    hashes: EtagKind | None = None

    def has(self, extra: Extra) -> bool | None:
        """Whether the server understands `extra`, if it was asked."""
        return self.understood.get(extra)

    @property
    def lists_whole(self) -> bool:
        """Whether a listing was seen to be of all names, however few are wanted."""
        return self.orders_pages is False or self.has(Extra.LIMITS) is False


@dataclass(frozen=True, slots=True)
class RenameQuirks:
    """What is odd about a server's rename; found by the probe.

    Attributes:
        blocks_in_directories: Renaming a file that lies in a directory blocks the server for half
            a minute, as it updates the file's inherited permissions and waits for its own lock
            (0.5.6). A file at the root has none, so files are staged there.
        loses_content: A renamed file keeps its etag, and its content cannot be read any more
            (0.9.9 to 0.9.26). So a copy is kept under a name that is that etag.
        creates_instead: Nothing needs to be renamed: of those who create one name, one wins (0.10).
    """

    blocks_in_directories: bool = False
    loses_content: bool = False
    creates_instead: bool = False


class Acknowledges(StrEnum):
    """How the acknowledgement of a write is worded, which tells the dialect."""

    FLAT = "etag and version, no count"
    NESTED = "etag and version under the name of the count"
    COUNTED = "a count, etag and version"
    CONTENT_ID = "a count, and a content id for an etag"


class ConditionalWrites(StrEnum):
    """What becomes of conditional writes, as measured."""

    RACE = "checked, then applied: writers who race may all win"
    DROPPED = "acknowledged, and never stored"
    CHECKED = "checked and applied in one step, against an etag that may be constant"


class Contention(StrEnum):
    """What a second taker of a lock hears."""

    NO_LOCKS = "there are no locks"
    NOT_ACQUIRED = "acquired: false"
    ERROR = "an internal error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What some releases have in common.

    Attributes:
        name: What a probe calls it.
        releases: From which release to which it was seen.
        measured: The releases that were run and asked.
        acknowledges: How it words the acknowledgement of a write.
        etags: What its etags are made of, the usual kind first.
        stale_etags: Whether `read` and `sys_stat` show, after an overwrite, the new content with
            the etag that the file had when they first showed it.
        missing: The code of the error for a missing file.
        bad_path: The code of the error for a path that cannot be.
        exists: The code of the error for `if_none_match` on a file that is there.
        extras: What it understands of what others do not.
        preconditions: What becomes of conditional writes.
        rename: What is odd about its rename, which has one winner on every release measured.
        contention: What a second taker of a lock hears.
        notes: What else is odd, for people.
    """

    name: str
    releases: str
    measured: tuple[str, ...]
    acknowledges: Acknowledges
    etags: tuple[EtagKind, ...]
    stale_etags: bool = False
    missing: int = -32000
    bad_path: int = -32002
    exists: int = -32603
    extras: frozenset[Extra]
    preconditions: ConditionalWrites
    rename: RenameQuirks = RenameQuirks()
    contention: Contention = Contention.NO_LOCKS
    notes: tuple[str, ...] = ()


_BULK: Final = frozenset({Extra.LIMITS, Extra.BULK_READS, Extra.BULK_CHECKS, Extra.BULK_WRITES})

_LIMITED: Final = "with a key, 300 calls a minute and method, then 429"

_ROWS: Final = (
    Dialect(
        name="0.5",
        releases="0.5.6",
        measured=("0.5.6",),
        acknowledges=Acknowledges.FLAT,
        etags=(EtagKind.SHA256,),
        exists=-32001,
        extras=frozenset(),
        preconditions=ConditionalWrites.RACE,
        rename=RenameQuirks(blocks_in_directories=True),
        notes=(
            "a listing knows no pages, and nothing is done in bulk",
            (
                "of files that are written at the same moment it later says, when they are to be "
                "deleted, that they are not there, and keeps them"
            ),
            "a rename that races a delete of its source: both are told that they succeeded",
        ),
    ),
    Dialect(
        name="0.7",
        releases="0.7.0",
        measured=("0.7.0",),
        acknowledges=Acknowledges.NESTED,
        etags=(EtagKind.BLAKE3,),
        extras=_BULK | {Extra.BULK_DELETES},
        preconditions=ConditionalWrites.RACE,
        notes=(
            "cursors of a listing are opaque",
            "a batch of writes is refused for good when one of its files was deleted before",
            "the metadata of a file has no etag",
            "a rename that races a delete of its source: both are told that they succeeded",
        ),
    ),
    Dialect(
        name="0.9",
        releases="0.9.9 to 0.9.23",
        measured=("0.9.18", "0.9.20", "0.9.23"),
        acknowledges=Acknowledges.COUNTED,
        etags=(EtagKind.BLAKE3,),
        extras=_BULK | {Extra.BATCH_DELETES},
        preconditions=ConditionalWrites.DROPPED,
        rename=RenameQuirks(loses_content=True),
        contention=Contention.NOT_ACQUIRED,
        notes=(
            "pages of a listing are in the order of writing and lose entries",
            "a bulk read answers with null for every path",
            _LIMITED,
            "0.9.19 and later need a kernel: 0.9.20 and 0.9.21 start without it and read nothing",
        ),
    ),
    Dialect(
        name="0.9.26",
        releases="0.9.26",
        measured=("0.9.26",),
        acknowledges=Acknowledges.COUNTED,
        etags=(EtagKind.BLAKE3,),
        stale_etags=True,
        extras=_BULK | {Extra.BATCH_DELETES},
        preconditions=ConditionalWrites.DROPPED,
        rename=RenameQuirks(loses_content=True),
        contention=Contention.NOT_ACQUIRED,
        notes=(
            "pages of a listing are complete, with an opaque cursor, and a bulk read works",
            (
                "after an overwrite, read and sys_stat show the new content with the old etag; "
                "listings, metadata_batch and read_bulk show the right one"
            ),
            "no answer but that to a write has a date: what commits leave behind stays there",
            _LIMITED,
        ),
    ),
    Dialect(
        name="0.10",
        releases="0.10.1 and later",
        measured=("0.10.1",),
        acknowledges=Acknowledges.CONTENT_ID,
        etags=(EtagKind.CONSTANT, EtagKind.BLAKE3),
        missing=-32007,
        bad_path=-32004,
        extras=_BULK | {Extra.BATCH_DELETES},
        preconditions=ConditionalWrites.CHECKED,
        rename=RenameQuirks(creates_instead=True),
        contention=Contention.ERROR,
        notes=(
            (
                "on the kernel that is built the etag is the file's path and never changes, so "
                "that every if_match succeeds; a create has one winner"
            ),
            "the cursor of a listing is the last path of its page",
            "a recursive listing has directories among the files",
            "/api/nfs answers that it is to be shut off",
        ),
    ),
)

DIALECTS: Final[Mapping[str, Dialect]] = {row.name: row for row in _ROWS}

MISSING: Final = frozenset(row.missing for row in _ROWS)
"""The codes that say that a file is missing."""


def dialect_of(acknowledgement: Mapping[str, Any], *, stale_etags: bool = False) -> Dialect:
    """Which dialect words the acknowledgement of a write like this.

    Args:
        acknowledgement: What the server answered to a write.
        stale_etags: Whether a read was seen to show an etag of earlier content.
    """
    said = _wording(acknowledgement)
    rows = [row for row in _ROWS if row.acknowledges is said]
    return next((row for row in rows if row.stale_etags is stale_etags), rows[0])


def _wording(acknowledgement: Mapping[str, Any]) -> Acknowledges:
    written = acknowledgement.get("bytes_written")
    if "content_id" in acknowledgement:
        return Acknowledges.CONTENT_ID
    if isinstance(written, dict):
        return Acknowledges.NESTED
    return Acknowledges.FLAT if written is None else Acknowledges.COUNTED


def dialect_of_release(release: str) -> Dialect:
    """The dialect of a release, for those who start one and so know which it is.

    Raises:
        KeyError: No dialect is known of it.
    """
    measured = (row for row in _ROWS if release in row.measured)
    return next(measured, None) or DIALECTS[".".join(release.split(".")[:2])]
