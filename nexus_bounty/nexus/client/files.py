"""Files and listings as single answers showed them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Paths = list[str]


@dataclass(frozen=True, slots=True)
class File:
    """A file as one answer showed it: whether `etag` speaks for `content` is to be checked."""

    path: str
    content: bytes
    etag: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Paths of a listing, in their order; `goes_on_after` is what to ask on with, if it does."""

    paths: Paths
    goes_on_after: str | None


@dataclass(frozen=True, slots=True)
class Etags:
    """The etags of the files of one page by their paths.

    Attributes:
        by_path: The etags.
        until: The last path of the page; `None` if it is the whole listing.
    """

    by_path: Mapping[str, str]
    until: str | None

    def cover(self, path: str) -> bool:
        """Whether `path` would be on the page, if it exists and comes after the page's start."""
        return self.until is None or path <= self.until
