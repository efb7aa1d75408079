"""The in-memory file table: contents, etags, versions, directories. No HTTP, no waiting."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from nexus_bounty.mock.problems import Problem, Refusal, not_found


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file as the server holds it; replaced, never changed."""

    path: str
    content: bytes
    etag: str
    version: int
    created_at: datetime
    modified_at: datetime
    readable: bool = True
    """False after a rename on releases that lose the content of a renamed file."""


@dataclass(frozen=True, slots=True)
class TableState:
    """A copy of a table, cheap because entries are shared."""

    files: dict[str, FileEntry]
    directories: set[str]
    deleted: set[str]
    order: list[str]


class FileTable:
    """Files by path, kept in path order for listings.

    Args:
        etag_of: Computes the etag of a write from path and content.
        clock: Tells the time of a write.
        by_path: Whether an etag is made of the path, and so becomes another with it.
    """

    def __init__(
        self,
        etag_of: Callable[[str, bytes], str],
        clock: Callable[[], datetime],
        *,
        by_path: bool = False,
    ) -> None:
        self._etag_of = etag_of
        self._by_path = by_path
        self._clock = clock
        self.files: dict[str, FileEntry] = {}
        self.directories: set[str] = set()
        self.deleted: set[str] = set()
        """Paths of which a file was deleted and none written since."""
        self._order: list[str] = []

    def get(self, path: str) -> FileEntry | None:
        """The file at a path, or None."""
        return self.files.get(path)

    def require(self, path: str) -> FileEntry:
        """The file at a path.

        Raises:
            Refusal: NOT_FOUND.
        """
        entry = self.files.get(path)
        if entry is None:
            raise not_found(path)
        return entry

    def write(self, path: str, content: bytes) -> FileEntry:
        """Create or replace a file."""
        now = self._clock()
        before = self.files.get(path)
        if before is None:
            insort(self._order, path)
        entry = FileEntry(
            path,
            content,
            self._etag_of(path, content),
            before.version + 1 if before else 1,
            before.created_at if before else now,
            now,
        )
        self.files[path] = entry
        self.deleted.discard(path)
        return entry

    def remove(self, path: str) -> FileEntry:
        """Delete a file.

        Raises:
            Refusal: NOT_FOUND.
        """
        entry = self._take(path)
        self.deleted.add(path)
        return entry

    def _take(self, path: str) -> FileEntry:
        entry = self.require(path)
        del self.files[path]
        del self._order[bisect_left(self._order, path)]
        return entry

    def move(self, old: str, new: str, *, readable: bool) -> list[tuple[FileEntry, FileEntry]]:
        """Rename a file, or a directory with everything beneath it; pairs of before and after."""
        sources = [old] if old in self.files else self.beneath(old)
        if old in self.directories:
            self.directories.discard(old)
            self.directories.add(new)
        return [self._move_file(path, new + path[len(old) :], readable) for path in sources]

    def _move_file(self, old: str, new: str, readable: bool) -> tuple[FileEntry, FileEntry]:
        before = self._take(old)
        etag = self._etag_of(new, before.content) if self._by_path else before.etag
        after = replace(before, path=new, etag=etag, readable=before.readable and readable)
        self.files[new] = after
        insort(self._order, new)
        return before, after

    def beneath(self, directory: str) -> list[str]:
        """The paths of all files under a directory, in order."""
        prefix = directory.rstrip("/") + "/"
        first = bisect_left(self._order, prefix)
        last = bisect_left(self._order, prefix[:-1] + "0")  # "0" follows "/" in ASCII
        return self._order[first:last]

    def files_in(self, directory: str, after: str, number: int) -> list[str]:
        """The first files directly in a directory whose paths come after one, in order.

        It looks at no more than it gives and at one file of each directory between them.
        """
        prefix = directory.rstrip("/") + "/"
        at = bisect_left(self._order, prefix)
        if after > prefix:
            at = bisect_right(self._order, after)
        found: list[str] = []
        while len(found) < number and at < len(self._order):
            path = self._order[at]
            if not path.startswith(prefix):
                break
            end = path.find("/", len(prefix))
            if end < 0:
                found.append(path)
                at += 1
            else:
                at = bisect_left(self._order, path[:end] + "0")  # "0" follows "/" in ASCII
        return found

    def directories_beneath(self, directory: str) -> Iterator[str]:
        """The directories made by `mkdir` under a directory."""
        prefix = directory.rstrip("/") + "/"
        return (path for path in self.directories if path.startswith(prefix))

    def is_directory(self, path: str) -> bool:
        """Whether a path was made by `mkdir` or has something beneath it."""
        return path in self.directories or self.is_implicit_directory(path)

    def is_implicit_directory(self, path: str) -> bool:
        """Whether a path has something beneath it."""
        prefix = path.rstrip("/") + "/"
        at = bisect_left(self._order, prefix)
        below = at < len(self._order) and self._order[at].startswith(prefix)
        return below or any(True for _ in self.directories_beneath(path))

    def exists(self, path: str) -> bool:
        """Whether a path is a file or a directory."""
        return path in self.files or self.is_directory(path)

    def make_directory(self, path: str, *, parents: bool) -> None:
        """Record a directory, and its parents when asked to."""
        self.directories.add(path)
        parent = path.rpartition("/")[0]
        while parents and parent:
            self.directories.add(parent)
            parent = parent.rpartition("/")[0]

    def remove_directory(self, path: str, *, recursive: bool) -> list[FileEntry]:
        """Forget a directory; the files that went with it.

        Raises:
            Refusal: NOT_FOUND, or INTERNAL when it is not empty and `recursive` is off.
        """
        if not self.is_directory(path):
            raise not_found(path)
        if not recursive and self.is_implicit_directory(path):
            raise Refusal(Problem.INTERNAL, f"[Errno 39] Directory not empty: {path}")
        self.directories -= {path, *self.directories_beneath(path)}
        return [self.remove(file) for file in self.beneath(path)]

    def copy(self) -> TableState:
        """A snapshot for `restore`."""
        return TableState(
            dict(self.files), set(self.directories), set(self.deleted), list(self._order)
        )

    def restore(self, state: TableState) -> None:
        """Put the table back to a snapshot."""
        self.files = dict(state.files)
        self.directories = set(state.directories)
        self.deleted = set(state.deleted)
        self._order = list(state.order)
