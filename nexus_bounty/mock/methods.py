"""The JSON-RPC methods on single files."""

from __future__ import annotations

from typing import Any

from nexus_bounty.mock.call import Call, readable
from nexus_bounty.mock.paths import normalise
from nexus_bounty.mock.personality import Preconditions
from nexus_bounty.mock.problems import Problem, Refusal, not_found
from nexus_bounty.mock.wire import pack_bytes, unpack_content


async def write(call: Call) -> Any:
    """Store a file, under a precondition if the client sent one."""
    path, content = call.path(), _content(call)
    conditional = not call.flag("force") and (
        call.params.get("if_match") is not None or call.flag("if_none_match")
    )
    await call.core.writable()
    if not conditional:
        return call.personality.write_result(call.core.write(call.request, path, content), False)
    check_preconditions(call, path)
    return await _write_conditionally(call, path, content)


async def _write_conditionally(call: Call, path: str, content: bytes) -> Any:
    core = call.core
    match core.behaviour.preconditions:
        case Preconditions.DROPPED:
            # The release forgets to await the write: acknowledged, and gone.
            return {"bytes_written": len(content)}
        case Preconditions.RACING:
            await core.pause()
            _lose_some_creates(call, path)
    return call.personality.write_result(core.write(call.request, path, content), True)


def _lose_some_creates(call: Call, path: str) -> None:
    """A unique index stops about half of the racing creators; the others overwrite."""
    loser = call.personality.create_race_loser
    raced = call.flag("if_none_match") and call.core.table.get(path) is not None
    if raced and loser and call.core.random.random() < 0.5:
        raise Refusal(Problem.BACKEND, loser)


def _content(call: Call) -> bytes:
    if "content" not in call.params and "buf" not in call.params:
        return b""
    value = call.params.get("content")
    if value is None and call.request.method not in call.personality.strict:
        value = call.params.get("buf") or ""
    return unpack_content(value)


def check_preconditions(call: Call, path: str) -> None:
    """Compare a write's preconditions with the file as it is now.

    Raises:
        Refusal: EXISTS or CONFLICT.
    """
    entry = call.core.table.get(path)
    if call.flag("if_none_match") and entry is not None:
        raise Refusal(Problem.EXISTS, f"File already exists: {path}")
    expected = call.params.get("if_match")
    current = entry.etag if entry else "(file does not exist)"
    if expected is not None and expected != current:
        raise conflict(call.personality.etag_key, path, str(expected), current)


def conflict(key: str, path: str, expected: str, current: str) -> Refusal:
    """The refusal of an `if_match` that does not match."""
    return Refusal(
        Problem.CONFLICT,
        "Conflict detected - file was modified by another agent. "
        f"Expected {key} '{expected[:16]}...', but current {key} is '{current[:16]}...': {path}",
        {"path": path, f"expected_{key}": expected, f"current_{key}": current},
    )


async def read(call: Call) -> Any:
    """Read a file, with its etag when asked for metadata."""
    path = call.path()
    entry = readable(call, path)
    if not call.flag("return_metadata"):
        return pack_bytes(entry.content)
    if call.core.behaviour.torn_reads:
        await call.core.pause()
    return call.personality.read_result(entry.content, call.core.shown(path) or entry)


async def delete(call: Call) -> Any:
    """Delete a file, or a directory where the release allows it."""
    path = call.path()
    await call.core.writable()
    if call.core.table.get(path) is None and path in call.core.table.directories:
        _delete_directory(call, path)
    else:
        call.core.remove(call.request, path)
    return {call.personality.done["delete"]: True}


def _delete_directory(call: Call, path: str) -> None:
    table = call.core.table
    if not call.personality.deletes_full_directories and table.is_implicit_directory(path):
        raise Refusal(Problem.INTERNAL, f"[Errno 39] Directory not empty: {path}")
    table.directories.discard(path)
    call.core.oracle.apply(call.request, path, None, None, None)


async def exists(call: Call) -> Any:
    """Whether a path is a file or a directory; bad paths do not exist."""
    return {"exists": path_exists(call, call.params["path"])}


def path_exists(call: Call, raw: Any) -> bool:
    """Whether a path exists; one that is not valid does not."""
    try:
        return call.core.table.exists(normalise(raw, root=True))
    except Refusal:
        return False


async def rename(call: Call) -> Any:
    """Move a file or directory onto a name that must be free."""
    core, old, new = call.core, call.path("old_path"), call.path("new_path")
    await core.writable()
    _check_rename(call, old, new)
    if core.behaviour.preconditions is Preconditions.RACING:
        await core.pause()
        _lose_rename_race(call, new)
    if core.table.exists(old):
        # A source that a racing delete or rename took away is reported as renamed all the same.
        core.move(call.request, old, new)
    if old.count("/") > 1:  # it is the permissions inherited from a directory that take so long
        await core.hold_writes()
    return {call.personality.done["rename"]: True}


def _check_rename(call: Call, old: str, new: str) -> None:
    table = call.core.table
    if not table.exists(old):
        raise not_found(old)
    if table.exists(new):
        raise Refusal(Problem.EXISTS, f"Destination path already exists: {new}")


def _lose_rename_race(call: Call, new: str) -> None:
    """The new name is unique in the database, so a race has one winner."""
    if call.core.table.exists(new):
        problem, text = call.personality.rename_race_loser
        raise Refusal(problem, text.format(new))
