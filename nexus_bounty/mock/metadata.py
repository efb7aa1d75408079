"""The JSON-RPC methods that tell about a file without its content, and its older versions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nexus_bounty.mock.call import Call
from nexus_bounty.mock.paths import normalise
from nexus_bounty.mock.problems import Problem, Refusal, not_found
from nexus_bounty.mock.wire import pack_bytes, pack_time


async def get_metadata(call: Call) -> Any:
    """Metadata of a path, null when there is nothing."""
    path = _stat_path(call)
    stat = None
    if path is not None and call.core.table.exists(path):
        stat = call.personality.stat_result(path, call.core.shown(path))
    return {"metadata": stat} if call.personality.stat_wrapped else stat


def _stat_path(call: Call) -> str | None:
    try:
        return normalise(call.params["path"], root=True)
    except Refusal:
        if call.personality.stats_bad_paths:
            return None
        raise


async def stat(call: Call) -> Any:
    """Size, etag and version of a path."""
    return brief_stat(call, call.path())


def brief_stat(call: Call, path: str, *, naive: bool = False) -> dict[str, Any]:
    """The answer of `stat` for one path; naive dates have no time zone.

    Raises:
        Refusal: NOT_FOUND.
    """
    entry = call.core.table.get(path)
    if entry is None and not call.core.table.is_directory(path):
        raise not_found(path)
    if naive and entry is not None:
        entry = replace(entry, modified_at=entry.modified_at.replace(tzinfo=None))
    brief: dict[str, Any] = call.personality.brief_result(entry)
    return brief


async def get_etag(call: Call) -> Any:
    """The etag of a file, null when it is missing."""
    entry = call.core.table.get(call.path())
    return entry and entry.etag


async def get_version(call: Call) -> Any:
    """An older content of a file, where the release keeps it."""
    path, version = call.path(), call.params["version"]
    kept = call.core.oracle.history(path) if call.personality.keeps_versions else []
    for change in reversed(kept):
        if change.version == version and change.content is not None:
            return pack_bytes(change.content)
    raise Refusal(Problem.NOT_FOUND, f"File not found: {path} (version {version})")


async def list_versions(call: Call) -> Any:
    """The versions of a file, newest first, where the release keeps them."""
    path = call.path()
    entry = call.core.table.get(path)
    if entry is None or not call.personality.keeps_versions:
        return []
    changes = [c for c in call.core.oracle.history(path) if c.version and c.content is not None]
    return [
        {
            "version": change.version,
            "content_hash": change.etag_after,
            "size": len(change.content or b""),
            "mime_type": None,
            "created_at": pack_time(entry.modified_at.replace(tzinfo=None)),
            "created_by": "user:anonymous",
            "change_reason": None,
            "source_type": "original",
            "parent_version_id": None,
        }
        for change in reversed(changes)
    ]
