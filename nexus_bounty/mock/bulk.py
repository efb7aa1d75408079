"""The JSON-RPC methods on many files at once."""

from __future__ import annotations

from typing import Any

from nexus_bounty.mock.call import Call, readable
from nexus_bounty.mock.files import FileEntry
from nexus_bounty.mock.metadata import brief_stat
from nexus_bounty.mock.methods import path_exists
from nexus_bounty.mock.paths import normalise
from nexus_bounty.mock.personality import UNIQUE_PATH
from nexus_bounty.mock.problems import Problem, Refusal, not_found
from nexus_bounty.mock.wire import pack_bytes, unpack_content


async def read_bulk(call: Call) -> Any:
    """Read many files into a map; what cannot be read is null unless errors were asked for."""
    found = {path: _read_or_refusal(call, path) for path in call.paths()}
    if not call.flag("skip_errors", default=True):
        for outcome in found.values():
            if isinstance(outcome, Refusal):
                raise outcome
    if not call.personality.bulk_read_works:
        return dict.fromkeys(found)
    items = list(found.items())
    if not call.personality.bulk_read_in_order:
        items.sort(key=lambda item: isinstance(item[1], FileEntry))
    return {path: _bulk_item(call, outcome) for path, outcome in items}


def _bulk_item(call: Call, outcome: FileEntry | Refusal) -> Any:
    if isinstance(outcome, Refusal):
        return None
    if call.flag("return_metadata"):
        worded = call.personality.bulk_read_result or call.personality.read_result
        return worded(outcome.content, outcome)
    return pack_bytes(outcome.content)


def _read_or_refusal(call: Call, path: Any) -> FileEntry | Refusal:
    try:
        return readable(call, normalise(path))
    except Refusal as refusal:
        return refusal


async def read_batch(call: Call) -> Any:
    """Read many files into a list in the order asked; a missing one fails all unless partial."""
    paths = [normalise(path) for path in call.paths()]
    partial = call.flag("partial")
    return [_batch_item(call, path, partial=partial) for path in paths]


def _batch_item(call: Call, path: str, *, partial: bool) -> dict[str, Any]:
    try:
        entry = readable(call, path)
    except Refusal:
        if partial:
            return {"path": path, "error": "not_found"}
        raise
    return {"path": path, **call.personality.read_result(entry.content, entry)}


async def write_batch(call: Call) -> Any:
    """Store many files, without preconditions; a bad path or content stores none."""
    files = [_file(pair) for pair in _pairs(call, "files")]
    await call.core.writable()
    deleted = call.core.table.deleted
    if call.personality.batches_trip_over_deleted and any(path in deleted for path, _ in files):
        raise Refusal(Problem.BACKEND, f"Failed to store batch metadata: {UNIQUE_PATH}")
    entries = [call.core.write(call.request, path, content) for path, content in files]
    return [call.personality.batch_write_result(entry) for entry in entries]


def _file(pair: list[Any]) -> tuple[str, bytes]:
    path, content = pair
    if isinstance(content, str):
        raise Refusal(
            Problem.INTERNAL, "argument 'content': 'str' object cannot be cast as 'bytes'"
        )
    return normalise(path), unpack_content(content)


def _pairs(call: Call, name: str) -> list[list[Any]]:
    pairs = call.params[name]
    if not isinstance(pairs, list):
        raise Refusal(Problem.INTERNAL, f"{name} is not a list")
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise Refusal(Problem.INTERNAL, f"{name} is not a list of pairs")
    return pairs


async def exists_batch(call: Call) -> Any:
    """Whether each of many paths exists."""
    return {path: path_exists(call, path) for path in call.paths()}


async def metadata_batch(call: Call) -> Any:
    """Metadata of many files; null for what is missing or not a valid path."""
    return {path: _metadata(call, path) for path in call.paths()}


def _metadata(call: Call, raw: Any) -> Any:
    try:
        path = normalise(raw)
        return call.personality.metadata_result(path, call.core.table.require(path))
    except Refusal:
        return None


async def stat_bulk(call: Call) -> Any:
    """Size, etag and version of many paths; null for what is missing."""
    return {path: _stat_or_none(call, path) for path in call.paths()}


def _stat_or_none(call: Call, raw: Any) -> Any:
    try:
        naive = call.personality.bulk_read_result is not None
        return brief_stat(call, normalise(raw), naive=naive)
    except Refusal:
        if call.flag("skip_errors", default=True):
            return None
        raise


async def delete_batch(call: Call) -> Any:
    """Delete many files, each with its own success."""
    return {path: _delete_one(call, path) for path in call.paths()}


def _delete_one(call: Call, raw: Any) -> dict[str, Any]:
    try:
        call.core.remove(call.request, normalise(raw))
    except Refusal as refusal:
        missing = refusal.problem is Problem.NOT_FOUND
        return {"success": False, "error": "File not found" if missing else refusal.message}
    return {"success": True}


async def rename_batch(call: Call) -> Any:
    """Rename many files, each with its own success."""
    return {old: _rename_one(call, old, new) for old, new in _pairs(call, "renames")}


def _rename_one(call: Call, old: Any, new: Any) -> dict[str, Any]:
    try:
        source, target = normalise(old), normalise(new)
        _check_free(call, source, target)
    except Refusal as refusal:
        return {"success": False, "error": refusal.message}
    call.core.move(call.request, source, target)
    return {"success": True, "new_path": target}


def _check_free(call: Call, source: str, target: str) -> None:
    if not call.core.table.exists(source):
        raise not_found(source)
    if call.core.table.exists(target):
        raise Refusal(Problem.EXISTS, f"Destination path already exists: {target}")
