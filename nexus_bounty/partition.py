"""Ranges of ids: how work on many bounties is divided among runs, processes and machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nexus_bounty.outcomes import InvalidInputError


def encode_segment(segment: str) -> str:
    """`segment` as one path segment."""
    return segment.replace("%", "%25").replace("/", "%2F")


def decode_segment(segment: str) -> str:
    """The inverse of `encode_segment`."""
    return segment.replace("%2F", "/").replace("%25", "%")


@dataclass(frozen=True, slots=True)
class Partition:
    """The ids after `lo`, up to and including `hi`; each id is in one of two that meet.

    Ids are in the order of the files that are named by them, so that a range of bounties is a
    stretch of every directory: `%` and `/` count as they are encoded there.

    Attributes:
        lo: The id before the first one; empty for the beginning.
        hi: The last one; `None` for the end.

    Raises:
        InvalidInputError: There can be no id between them.
    """

    lo: str = ""
    hi: str | None = None

    def __post_init__(self) -> None:
        if self.hi is not None and encode_segment(self.hi) <= encode_segment(self.lo):
            raise InvalidInputError("hi", self.hi, f"must come after {self.lo!r}")

    def __contains__(self, name: str) -> bool:
        encoded = encode_segment(name)
        return encoded > encode_segment(self.lo) and (
            self.hi is None or encoded <= encode_segment(self.hi)
        )

    def __str__(self) -> str:
        return f"{self.lo or 'the first'} … {self.hi or 'the last'}"

    @property
    def is_first(self) -> bool:
        """Whether nothing comes before it: what belongs to no bounty is seen to with it."""
        return not self.lo

    @property
    def is_everything(self) -> bool:
        """Whether every id is in it."""
        return not self.lo and self.hi is None

    def prefixed(self, prefix: str) -> Partition:
        """The range of names that are `prefix` and an id.

        Names without that prefix are before all of them, in the first range, or after, in the
        last one: so they, too, are in one range each.
        """
        hi = None if self.hi is None else prefix + self.hi
        return Partition(prefix + self.lo if self.lo else "", hi)

    def split(self, at: str) -> tuple[Partition, Partition]:
        """The part up to and including `at`, and the rest.

        Raises:
            InvalidInputError: One of them would be empty.
        """
        return Partition(self.lo, at), Partition(at, self.hi)


EVERYTHING: Final = Partition()
