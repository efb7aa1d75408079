"""The JSON-RPC methods on directories, listings aside."""

from __future__ import annotations

from typing import Any

from nexus_bounty.mock.call import Call
from nexus_bounty.mock.paths import normalise
from nexus_bounty.mock.problems import Problem, Refusal, not_found


async def is_directory(call: Call) -> Any:
    """Whether a path is a directory."""
    path, table = normalise(call.params["path"], root=True), call.core.table
    passes = call.personality.files_pass_for_directories and path in table.files
    return {"is_directory": passes or table.is_directory(path)}


async def mkdir(call: Call) -> Any:
    """Make a directory."""
    path, parents = call.path(), call.flag("parents")
    table = call.core.table
    if table.exists(path):
        if not call.flag("exist_ok"):
            raise Refusal(Problem.EXISTS, f"Directory already exists: {path}")
    elif call.personality.mkdir_needs_parent and not parents and not _has_parent(call, path):
        raise _no_parent(call, path)
    table.make_directory(path, parents=parents)
    call.core.oracle.apply(call.request, path, None, None, None)
    return {call.personality.done["mkdir"]: True}


def _has_parent(call: Call, path: str) -> bool:
    parent = path.rpartition("/")[0]
    table = call.core.table
    implicit = call.personality.implicit_parents and table.is_directory(parent)
    return not parent or implicit or parent in table.directories


def _no_parent(call: Call, path: str) -> Refusal:
    bare = path.lstrip("/")
    if not call.personality.implicit_parents:
        return Refusal(Problem.BACKEND, f"[local] Parent directory not found: {bare}: {bare}")
    parent = bare.rpartition("/")[0]
    return Refusal(Problem.NOT_FOUND, f"Parent directory not found: {parent}: {parent}")


async def rmdir(call: Call) -> Any:
    """Remove a directory, with everything beneath it when asked to."""
    path, table = call.path(), call.core.table
    await call.core.writable()
    if path not in table.directories and not call.personality.removes_implicit_directories:
        raise not_found(path)
    for entry in table.remove_directory(path, recursive=call.flag("recursive")):
        call.core.oracle.apply(call.request, entry.path, None, entry.etag, None)
    call.core.oracle.apply(call.request, path, None, None, None)
    return {call.personality.done["rmdir"]: True}
