"""What is committed on a mock, by preconditions or by rename, read from its files alone."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents import paths


def content_of(mock: MockNexus, path: str) -> bytes | None:
    """The document at `path`: what won the last of its slots, or its file if it has none."""
    won = dict(_won(mock, f"{paths.commit_slots(path)}/"))
    return mock.read_file(won[max(won)] if won else path)


def contents_in(mock: MockNexus, directory: str) -> dict[str, bytes]:
    """Every document in `directory`, those that have no file yet included, by its path."""
    slots = f"{paths.all_commit_slots(directory)}/"
    names = {path for path in mock.files if path.startswith(f"{directory}/")}
    names |= {
        f"{directory}/{path.removeprefix(slots).partition('/')[0]}.json"
        for path in mock.files
        if path.startswith(slots)
    }
    return {path: content_of(mock, path) or b"" for path in sorted(names)}


def lag(mock: MockNexus, path: str) -> int:
    """How many commits the file at `path` has not followed yet."""
    won = dict(_won(mock, f"{paths.commit_slots(path)}/"))
    file = msgspec.json.decode(mock.read_file(path) or b"{}")
    followed: int = file.get("nexusBounty", {}).get("seq", 0)
    return max(won) - followed if won else 0


def is_commit_of(path: str, document: str) -> bool:
    """Whether a write to `path` may be a commit of `document`."""
    return path == document or path.startswith(f"{paths.commit_slots(document)}/")


def _won(mock: MockNexus, slots: str) -> Iterator[tuple[int, str]]:
    for path in mock.files:
        if path.startswith(slots):
            yield int(path.removeprefix(slots)), path
