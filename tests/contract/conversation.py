"""What servers answer to single requests, good and bad, word for word: what the mock goes by.

Sent by our client as they stand, method by method, with no store above it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.contract.scenarios import ALL, scenario
from tests.contract.scene import Scene, raw

Step = tuple[str, dict[str, Any]]


def packed(text: str) -> dict[str, Any]:
    """Typed bytes of base64 text."""
    return {"__type__": "bytes", "data": text}


async def converse(scene: Scene, steps: Iterator[Step]) -> None:
    """Send each step; `$Z` is the zone, `$ETAG` and `$LOCK` what the server said last."""
    known = {"$Z": scene.path("").rstrip("/"), "$ETAG": "?", "$LOCK": "?"}
    async with scene.client() as client:
        for method, params in steps:
            result = await raw(client, method, **_replaced(params, known))
            _learn(result, known)


def _replaced(value: Any, known: dict[str, str]) -> Any:
    text = json.dumps(value)
    for placeholder, actual in known.items():
        text = text.replace(placeholder, actual)
    return json.loads(text)


def _learn(result: Any, known: dict[str, str]) -> None:
    if isinstance(result, dict) and "content" in result:
        known["$ETAG"] = str(result.get("etag") or result.get("content_id"))
    if isinstance(result, dict) and result.get("lock_id"):
        known["$LOCK"] = result["lock_id"]


@scenario(*ALL)
async def raw_files(scene: Scene) -> None:
    """Single files, with and without preconditions."""
    await converse(scene, _single_files())


@scenario(*ALL)
async def raw_bad_requests(scene: Scene) -> None:
    """Bad paths, methods and parameters."""
    await converse(scene, _bad_requests())


@scenario(*ALL)
async def raw_renames(scene: Scene) -> None:
    """Renames onto free and taken names, and old versions."""
    await converse(scene, _renames())


@scenario(*ALL)
async def raw_directories(scene: Scene) -> None:
    """Directories made and implied, and their listings."""
    await converse(scene, _directories())


@scenario(*ALL)
async def raw_bulk(scene: Scene) -> None:
    """Many files at once."""
    await converse(scene, _bulk())


@scenario(*ALL)
async def raw_locks(scene: Scene) -> None:
    """Locks of the server's own."""
    await converse(scene, _locks())


def _single_files() -> Iterator[Step]:
    yield "write", {"path": "$Z/a", "content": "hello"}
    yield "write", {"path": "$Z/a", "content": packed("aGVsbG8y")}
    yield "read", {"path": "$Z/a"}
    yield "read", {"path": "$Z/a", "return_metadata": True}
    yield "read", {"path": "$Z/none"}
    yield "write", {"path": "$Z/a", "content": "x", "if_none_match": True}
    yield "write", {"path": "$Z/a", "content": "x", "if_match": "bad"}
    yield "write", {"path": "$Z/none", "content": "x", "if_match": "bad"}
    yield "write", {"path": "$Z/a", "content": "x", "if_match": "bad", "if_none_match": True}
    yield "write", {"path": "$Z/a", "content": "good", "if_match": "$ETAG"}
    yield "read", {"path": "$Z/a"}
    yield "write", {"path": "$Z/new", "content": "good", "if_none_match": True}
    yield "read", {"path": "$Z/new"}
    yield "write", {"path": "$Z/a", "content": "forced", "if_match": "bad", "force": True}
    yield "delete", {"path": "$Z/none"}
    yield "delete", {"path": "$Z/a", "if_match": "bad"}
    for method in ("exists", "is_directory", "get_metadata", "sys_stat", "stat", "get_etag"):
        yield method, {"path": "$Z/a"}
    for method in ("exists", "get_metadata", "sys_stat", "stat"):
        yield method, {"path": "$Z/none"}
    for method in ("exists", "is_directory", "get_metadata", "sys_stat", "stat"):
        yield method, {"path": "$Z"}
    yield "sys_read", {"path": "$Z/a"}
    yield "sys_write", {"path": "$Z/a", "buf": "x"}


def _bad_requests() -> Iterator[Step]:
    for path in ("$Z/../x", "$Z/a\0b", "", "   ", "$Z/a\tb", "$Z/ a/b"):
        yield "write", {"path": path, "content": "x"}
        yield "exists", {"path": path}
    for method in ("read", "list", "get_metadata", "sys_stat", "delete", "mkdir"):
        yield method, {"path": "$Z/../x"}
    yield "read", {"path": "/"}
    yield "rename", {"old_path": "$Z/a", "new_path": "$Z/../x"}
    yield "nope", {}
    for method in ("read", "write", "delete", "exists", "rename", "mkdir", "sys_stat", "read_bulk"):
        yield method, {}
    for method in ("read", "exists", "delete", "is_directory"):
        yield method, {"path": "$Z/none", "bogus": 1}
    yield "list", {"path": "$Z/none", "bogus": 1}
    yield "write", {"path": "$Z/bad64", "content": packed("not base64!")}


def _renames() -> Iterator[Step]:
    yield "write", {"path": "$Z/from", "content": "moved"}
    yield "write", {"path": "$Z/taken", "content": "stays"}
    yield "rename", {"old_path": "$Z/from", "new_path": "$Z/taken"}
    yield "rename", {"old_path": "$Z/none", "new_path": "$Z/free"}
    yield "rename", {"old_path": "$Z/from", "new_path": "$Z/to"}
    yield "read", {"path": "$Z/to"}
    yield "read", {"path": "$Z/from"}
    yield "exists", {"path": "$Z/to"}
    yield "write", {"path": "$Z/to", "content": "again"}
    yield "read", {"path": "$Z/to"}
    yield "get_version", {"path": "$Z/taken", "version": 1}
    yield "get_version", {"path": "$Z/taken", "version": 9}


def _directories() -> Iterator[Step]:
    yield "write", {"path": "$Z/dir/one", "content": "1"}
    yield "write", {"path": "$Z/dir/sub/two", "content": "2"}
    yield "mkdir", {"path": "$Z/no/parent"}
    yield "mkdir", {"path": "$Z/made/deep", "parents": True}
    yield "mkdir", {"path": "$Z/made/deep"}
    yield "mkdir", {"path": "$Z/made/deep", "exist_ok": True}
    for details in (False, True):
        for recursive in (False, True):
            yield "list", {"path": "$Z/dir", "recursive": recursive, "details": details}
    yield "list", {"path": "$Z/missing"}
    yield "list", {"path": "$Z/dir/one"}
    yield "list", {"path": "$Z/dir/", "recursive": False}
    yield "list", {"path": "$Z/dir/sub", "limit": 10**6}
    yield "list", {"path": "$Z/dir", "limit": 0}
    yield "rmdir", {"path": "$Z/dir"}
    yield "rmdir", {"path": "$Z/dir", "recursive": True}
    yield "list", {"path": "$Z/dir"}


def _bulk() -> Iterator[Step]:
    files = [["$Z/b1", packed("b25l")], ["$Z/b2", packed("dHdv")]]
    yield "write_batch", {"files": files}
    yield "write_batch", {"files": []}
    yield "write_batch", {"files": [["$Z/b3", packed("b25l")], ["$Z/../x", packed("dHdv")]]}
    paths = {"paths": ["$Z/b1", "$Z/b3"]}
    yield "read_bulk", paths
    yield "read_bulk", paths | {"return_metadata": True}
    yield "read_bulk", paths | {"skip_errors": False}
    for method in ("read_batch", "exists_batch", "metadata_batch", "stat_bulk", "delete_batch"):
        yield method, paths
    yield "list", {"path": "$Z/none", "limit": 2}
    yield "rename_batch", {"renames": [["$Z/b2", "$Z/b4"]]}


def _locks() -> Iterator[Step]:
    yield "lock_acquire", {"path": "$Z/lock", "ttl": 30}
    yield "lock_acquire", {"path": "$Z/lock", "ttl": 30}
    yield "sys_lock", {"path": "$Z/lock", "ttl": 30}
    yield "sys_lock", {"path": "$Z/lock", "ttl": 30, "lock_id": "$LOCK"}
    yield "sys_unlock", {"path": "$Z/lock", "lock_id": "wrong"}
    yield "sys_unlock", {"path": "$Z/lock"}
    yield "sys_unlock", {"path": "$Z/lock", "lock_id": "$LOCK"}
    yield "sys_unlock", {"path": "$Z/lock", "lock_id": "$LOCK"}
    yield "lock_release", {"path": "$Z/lock", "lock_id": "$LOCK"}
