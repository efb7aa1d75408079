"""What is committed on a mock, by preconditions or by rename, read from its files alone."""

from __future__ import annotations

from functools import lru_cache, partial

import msgspec

from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents import paths


def content_of(mock: MockNexus, path: str) -> bytes | None:
    """The document at `path`: what won the last of its slots, or its file if it has none."""
    slots = _slots_of(path)
    won = [each for each in mock.files if each.startswith(slots)]
    last = max(won, key=partial(_number, slots)) if len(won) > 1 else (won or [path])[0]
    return mock.read_file(last)


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
    slots = _slots_of(path)
    won = [_number(slots, each) for each in mock.files if each.startswith(slots)]
    file = msgspec.json.decode(mock.read_file(path) or b"{}")
    followed: int = file.get("nexusBounty", {}).get("seq", 0)
    return max(won) - followed if won else 0


def is_commit_of(path: str, document: str) -> bool:
    """Whether a write to `path` may be a commit of `document`."""
    return path == document or path.startswith(_slots_of(document))


@lru_cache(maxsize=256)
def _slots_of(path: str) -> str:
    return f"{paths.commit_slots(path)}/"


def _number(slots: str, path: str) -> int:
    return int(path.removeprefix(slots))
