"""The stretch of a directory in which the files of a range of ids are.

Names have endings, `.json` or the generation of a marker, and so are not quite in the order of
the ids: an id that is the beginning of another may come after it. Such names are looked for by
themselves, or the stretch is longer and what does not belong to the range is left out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nexus_bounty.nexus.documents import paths
from nexus_bounty.partition import Partition, encode_segment

_DOCUMENT = ".json"
_LAST_GENERATION = "%@:"
"""After every generation: `:` follows the digits."""
_LAST_INSIDE = "/\U0010ffff"
"""After every file in a directory of that name."""


@dataclass(frozen=True, slots=True)
class Window:
    """Where in a directory the files of a range are.

    Attributes:
        after: The path that they come after; empty for the beginning of the directory.
        until: The path that they end with; `None` for the end of the directory.
        stragglers: Paths after `until` at which there may be another one.
        partition: The range: other files may lie between them.
        is_sparse: Whether so many do that a page has only few of the range.
    """

    after: str
    until: str | None
    stragglers: Sequence[str]
    partition: Partition
    is_sparse: bool = False

    def going_on(self, after: str) -> Window:
        """What is left of it after the path `after`."""
        left = [path for path in self.stragglers if path > after]
        return replace(self, after=max(self.after, after), stragglers=left)

    def of_documents(self, found: Sequence[str]) -> list[str]:
        """Those of the documents that were `found` that are in the range."""
        if self.partition.is_everything:
            return list(found)
        return [path for path in found if paths.document_id(path) in self.partition]

    def of_markers(self, found: Sequence[str]) -> list[str]:
        """Those of the markers that were `found` that are of a bounty in the range."""
        if self.partition.is_everything:
            return list(found)
        return [path for path in found if paths.marked_id(path) in self.partition]

    def of_targets(self, found: Sequence[str]) -> list[str]:
        """Those of the markers that were `found` that are of a claim on a target in the range."""
        if self.partition.is_everything:
            return list(found)
        return [path for path in found if paths.marked_target(path) in self.partition]


def of_documents(directory: str, partition: Partition) -> Window:
    """Where the documents in `directory` with ids in `partition` are."""
    last = _last(partition)
    until = None if last is None else f"{directory}/{last}{_DOCUMENT}"
    late = (f"{directory}/{each}{_DOCUMENT}" for each in _beginnings(partition))
    stragglers = [path for path in late if until is not None and path > until]
    return Window(_after(directory, partition), until, sorted(stragglers), partition)


def of_markers(directory: str, partition: Partition) -> Window:
    """Where the markers in `directory` of bounties with ids in `partition` are."""
    return _ending_with(directory, partition, _LAST_GENERATION)


def of_targets(directory: str, targets: Partition) -> Window:
    """Where the directories of those `targets` are, of which each has markers of its own."""
    return _ending_with(directory, targets, _LAST_INSIDE)


def _ending_with(directory: str, partition: Partition, ending: str) -> Window:
    """Where names of the `partition` are, none of which has an ending that is after this one."""
    last = _last(partition)
    if last is None:
        return Window(_after(directory, partition), None, (), partition)
    names = (f"{each}{ending}" for each in (last, *_beginnings(partition)))
    return Window(_after(directory, partition), f"{directory}/{max(names)}", (), partition)


def _after(directory: str, partition: Partition) -> str:
    return f"{directory}/{encode_segment(partition.lo)}" if partition.lo else ""


def _last(partition: Partition) -> str | None:
    return None if partition.hi is None else encode_segment(partition.hi)


def _beginnings(partition: Partition) -> Iterator[str]:
    """The encoded names in the range that the last one begins with."""
    last, first = _last(partition) or "", encode_segment(partition.lo)
    return (last[:length] for length in range(1, len(last)) if last[:length] > first)
