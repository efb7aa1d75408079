"""The `list` method: recursive or not, with details or not, in pages or not."""

from __future__ import annotations

import base64
import binascii
from itertools import islice
from typing import Any

from nexus_bounty.mock.call import Call
from nexus_bounty.mock.paths import normalise
from nexus_bounty.mock.personality import Paging, sha256
from nexus_bounty.mock.problems import Problem, Refusal
from nexus_bounty.mock.wire import decode_json, encode_json


async def list_files(call: Call) -> Any:
    """List what is beneath a directory; a missing one is empty."""
    path = _directory(call)
    if path is None:
        return {"files": [], "has_more": False, "next_cursor": None}
    recursive = call.flag("recursive", default=True)
    limit = call.params.get("limit")
    if limit is not None and not recursive and _pages_files_in_order(call, path):
        after = _decode_cursor(call, call.params.get("cursor")) or ""
        found = call.core.table.files_in(path, after, int(limit) + 1)
        return _page(call, found, int(limit))
    found = _entries(call, path, recursive=recursive)
    if limit is not None:
        return _page(call, _pageable(call, found), int(limit))
    files = _worded(call, found)
    if call.personality.paging is Paging.NONE:
        return {"files": files}
    return {"files": files, "has_more": False, "next_cursor": None}


def _directory(call: Call) -> str | None:
    try:
        return normalise(call.params.get("path", "/"), root=True)
    except Refusal:
        if call.personality.lists_bad_paths:
            return None
        raise


def _pages_files_in_order(call: Call, directory: str) -> bool:
    """Whether a page can be taken from the table as it is, however large that is."""
    in_order = call.personality.paging in (Paging.OPAQUE, Paging.PATH)
    return in_order and not any(call.core.table.directories_beneath(directory))


def _entries(call: Call, directory: str, *, recursive: bool) -> list[str]:
    if not call.personality.directories_as_entries:
        return _beneath(call, directory) if recursive else _children(call, directory)
    if recursive:
        return _with_directories(call, directory)
    children = _children(call, directory)
    return children if call.flag("details") else [each for each in children if _is_file(call, each)]


def _is_file(call: Call, path: str) -> bool:
    return path in call.core.table.files


def _with_directories(call: Call, directory: str) -> list[str]:
    """Everything beneath, and every directory on the way to it."""
    start = len(directory.rstrip("/")) + 1
    found: set[str] = set()
    for path in _beneath(call, directory):
        found.add(path)
        end = path.find("/", start)
        while end > 0:
            found.add(path[:end])
            end = path.find("/", end + 1)
    return sorted(found)


def _beneath(call: Call, directory: str) -> list[str]:
    table = call.core.table
    files = table.beneath(directory)
    made = list(table.directories_beneath(directory))
    return sorted([*files, *made]) if made else files


def _children(call: Call, directory: str) -> list[str]:
    start = len(directory.rstrip("/")) + 1
    children: dict[str, None] = {}
    for path in _beneath(call, directory):
        end = path.find("/", start)
        children[path if end < 0 else path[:end]] = None
    return list(children)


def _worded(call: Call, paths: list[str]) -> list[Any]:
    if not call.flag("details"):
        return list(paths)
    table, worded = call.core.table, call.personality.listed
    return [worded(path, table.get(path)) for path in paths]


def _pageable(call: Call, paths: list[str]) -> list[str]:
    """Pages are made of entries in the table, so directories that only exist beneath are out."""
    if call.personality.directories_as_entries:
        return paths
    table = call.core.table
    known = [path for path in paths if path in table.files or path in table.directories]
    if call.personality.paging is Paging.WRITTEN:
        written = {path: place for place, path in enumerate(table.files)}
        known.sort(key=lambda path: written.get(path, len(written)))
    return known


def _page(call: Call, paths: list[str], limit: int) -> dict[str, Any]:
    if limit <= 0:
        total = len(paths) if _counts_rest(call) else None
        return {"files": [], "next_cursor": None, "has_more": True, "total_count": total}
    after = _decode_cursor(call, call.params.get("cursor"))
    rest = paths if after is None else [path for path in paths if path > after]
    page = list(islice(rest, limit))
    more = len(rest) > limit
    total = len(rest) if _counts_rest(call) else None
    return {
        "files": _worded(call, page),
        "next_cursor": _encode_cursor(call, page[-1]) if more else None,
        "has_more": more,
        "total_count": total,
    }


def _counts_rest(call: Call) -> bool:
    return call.personality.paging is Paging.PATH and call.flag("recursive", default=True)


def _encode_cursor(call: Call, path: str) -> str:
    if call.personality.paging is Paging.PATH:
        return path
    prefix = str(call.params.get("path")).rstrip("/") + "/"
    recursive = call.flag("recursive", default=True)
    asked = {"prefix": prefix, "recursive": recursive, **call.personality.cursor_zone}
    scope = sha256(encode_json(asked))[:16]
    return base64.urlsafe_b64encode(encode_json({"p": path, "i": None, "h": scope})).decode()


def _decode_cursor(call: Call, cursor: str | None) -> str | None:
    if not cursor or call.personality.paging is Paging.PATH:
        return cursor or None
    try:
        return str(decode_json(base64.urlsafe_b64decode(cursor))["p"])
    except (binascii.Error, ValueError, KeyError, TypeError) as exc:
        if call.personality.paging is Paging.WRITTEN:  # 0.9 starts again from the beginning
            return None
        raise Refusal(Problem.INTERNAL, f"Malformed cursor: {exc}") from exc
