"""What tells the releases of Nexus apart, as data.

Measured on servers 0.5.6, 0.7.0, 0.9.18, 0.9.20, 0.9.26 and 0.10.1, the last two with a kernel that
was built for it. One personality is hypothetical, and says so in its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum, auto
from typing import Any, Literal

import blake3

from nexus_bounty.mock import shapes
from nexus_bounty.mock.files import FileEntry
from nexus_bounty.mock.paths import kernel_path, normalise
from nexus_bounty.mock.problems import Problem

EtagSource = Literal["content", "version", "path"]
"""`content` hashes the bytes; `version` is new with every write; `path` never changes."""


class Release(StrEnum):
    """What can be imitated, by the names under which it is asked for."""

    V0_5_6 = "0.5.6"
    V0_7_0 = "0.7.0"
    V0_9 = "0.9"
    V0_9_20_WITHOUT_KERNEL = "0.9.20-without-kernel"
    V0_9_26 = "0.9.26"
    V0_10 = "0.10"
    HYPOTHETICAL = "0.10-hypothetical"
    """Speaks as 0.10 and has what no release that was measured has: an `if_match` that is safe."""


class Preconditions(Enum):
    """What a release makes of `if_match` and `if_none_match`."""

    ATOMIC = auto()
    """Checked and applied in one step."""
    RACING = auto()
    """Checked, and applied a little later: writers that race all win."""
    DROPPED = auto()
    """Checked and acknowledged, but never stored."""


class Paging(Enum):
    """How a release pages its listings."""

    NONE = auto()
    """No `limit`; asking for it is a bad parameter."""
    OPAQUE = auto()
    """Pages in path order, with an encoded cursor."""
    WRITTEN = auto()
    """Pages in the order of writing, with a cursor that assumes path order: entries are lost."""
    PATH = auto()
    """Pages in path order; the cursor is the last path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Personality:
    """One release as clients see it."""

    name: str
    imitates: str
    """The release that was measured."""
    digest: Callable[[bytes], str]
    etag: EtagSource = "content"
    etag_key: str = "etag"
    stale_etags: bool = False
    """Whether `read` and `sys_stat` go on showing the etag that a file had when first asked for."""
    reads_work: bool = True
    preconditions: Preconditions
    paging: Paging
    cursor_zone: Mapping[str, str | None] = field(default_factory=dict)
    """The zone of a listing, as an encoded cursor hashes it."""
    methods: frozenset[str]
    strict: Mapping[str, str]
    """Methods that refuse unknown and missing parameters, with the class that complains."""
    errors: Mapping[Problem, tuple[int, str]]
    check_path: Callable[[object], str] = normalise
    """How it looks at the path of a single file."""
    words_bad_path: Callable[[str], str] = str
    """How it words what is wrong with a path."""
    lists_bad_paths: bool = False
    """Whether a bad path is an empty directory."""
    stats_bad_paths: bool = False
    """Whether there is just no metadata at a bad path."""
    missing_data: bool = False
    """Whether a missing file's error repeats its message as data."""
    error_keeps_id: bool = False
    plain_http_server: bool = False
    """Python's http.server instead of FastAPI: no id where there is none, no 405, empty 404s."""
    bare_params: bool = False
    """Whether parameters may stand in the body without `params` around them."""
    write_result: Callable[[FileEntry, bool], Any]
    batch_write_result: Callable[[FileEntry], Any] = shapes.batch_write_etag
    read_result: Callable[[bytes, FileEntry], Any]
    bulk_read_result: Callable[[bytes, FileEntry], Any] | None = None
    """How `read_bulk` words what `read` words otherwise; its stat has the same dates."""
    stat_result: Callable[[str, FileEntry | None], Any]
    stat_wrapped: bool = True
    """Whether stat answers `{"metadata": …}`."""
    metadata_result: Callable[[str, FileEntry], Any] = shapes.metadata_local
    brief_result: Callable[[FileEntry | None], Any] = shapes.brief_etag
    listed: Callable[[str, FileEntry | None], Any]
    done: Mapping[str, str]
    """The word for success of delete, rename, mkdir and rmdir."""
    mkdir_needs_parent: bool = True
    implicit_parents: bool = True
    """Whether mkdir accepts a parent that exists only because files are beneath it."""
    directories_as_entries: bool = False
    """Whether directories are entries of a recursive listing, and of a flat one with details."""
    deletes_full_directories: bool = False
    removes_implicit_directories: bool = False
    files_pass_for_directories: bool = False
    bulk_read_works: bool = True
    bulk_read_in_order: bool = False
    """Whether a bulk read answers in the order asked, and not what is missing first."""
    batches_trip_over_deleted: bool = False
    """Whether write_batch stores nothing when one of its files was deleted before."""
    rename_keeps_content: bool = True
    lost_content_by_path: bool = False
    """Whether the error for the content that a rename has lost names the path as it was asked."""
    rename_delay: float = 0.0
    """Seconds that a winning rename of a file in a directory blocks its answer and all writes."""
    rename_race_loser: tuple[Problem, str] = (Problem.INTERNAL, "")
    create_race_loser: str | None = None
    """What half of the racing creators hear, where a unique index stops them."""
    unlock_wrapped: bool = False
    locks_refuse_by_error: bool = False
    """Whether a lock that another holds is an internal error, and a release always says yes."""
    keeps_versions: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """What every answer to JSON-RPC carries besides."""
    health: Mapping[str, Any]
    unauthorized_status: int = 401
    rest: bool = False
    rest_preconditions: bool = False
    pay: bool = False


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def blake3_hex(content: bytes) -> str:
    """BLAKE3 in hex."""
    return blake3.blake3(content).hexdigest()


_BASE = frozenset(
    (
        *("read", "write", "delete", "exists", "is_directory", "list", "rename", "mkdir", "rmdir"),
        *("get_version", "list_versions"),
    )
)
_BULK = frozenset(
    (
        *("read_bulk", "write_batch", "exists_batch", "metadata_batch"),
        *("stat", "get_etag", "stat_bulk"),
    )
)
_KERNEL = frozenset(
    (
        *("sys_read", "sys_write", "sys_stat", "sys_readdir", "sys_unlink", "sys_rename"),
        *("lock_acquire", "sys_lock", "sys_unlock", "delete_batch", "rename_batch", "access"),
    )
)

_OLD_CODES: dict[Problem, tuple[int, str]] = {
    Problem.NOT_FOUND: (-32000, "{}"),
    Problem.EXISTS: (-32603, "Internal error: {}"),
    Problem.BAD_PATH: (-32002, "{}"),
    Problem.CONFLICT: (-32006, "{}"),
    Problem.BAD_PARAMS: (-32602, "Invalid parameters: {}"),
    Problem.UNREADABLE: (-32602, "Invalid parameters: {}"),
    Problem.BACKEND: (-32603, "Nexus error: {}"),
    Problem.INTERNAL: (-32603, "Internal error: {}"),
}
_HIDDEN = (-32603, "Internal server error")
_HIDING_CODES = _OLD_CODES | dict.fromkeys(
    (Problem.EXISTS, Problem.BACKEND, Problem.INTERNAL), _HIDDEN
)

UNIQUE_PATH = "(sqlite3.IntegrityError) UNIQUE constraint failed: file_paths.virtual_path"


def _classes(methods: frozenset[str]) -> dict[str, str]:
    return {method: method.title().replace("_", "") + "Params" for method in methods}


V0_5_6 = Personality(
    name=Release.V0_5_6,
    imitates="0.5.6",
    digest=sha256,
    preconditions=Preconditions.RACING,
    paging=Paging.NONE,
    methods=_BASE | {"get_metadata"},
    strict=_classes(_BASE | {"get_metadata"}),
    errors=_OLD_CODES
    | {Problem.EXISTS: (-32001, "{}"), Problem.UNREADABLE: (-32700, "Failed to parse request: {}")},
    missing_data=True,
    stats_bad_paths=True,
    error_keeps_id=True,
    plain_http_server=True,
    write_result=shapes.write_flat,
    read_result=shapes.read_naive,
    stat_result=shapes.stat_full,
    listed=shapes.listed_naive,
    done=dict.fromkeys(("delete", "rename", "mkdir", "rmdir"), "success"),
    implicit_parents=False,
    deletes_full_directories=True,
    removes_implicit_directories=True,
    # A real server takes 30 s here; a thousandth of it keeps tests short and still shows.
    rename_delay=0.03,
    rename_race_loser=(Problem.BACKEND, "Destination path already exists: {0}: {0}"),
    create_race_loser=f"Failed to store metadata: {UNIQUE_PATH}",
    keeps_versions=True,
    health={"status": "healthy", "service": "nexus-rpc"},
    unauthorized_status=200,
)

_DONE = {"delete": "deleted", "rename": "renamed", "mkdir": "created", "rmdir": "removed"}
_HEALTH = {"status": "healthy", "service": "nexus-rpc", "enforce_permissions": False}

V0_7_0 = Personality(
    name=Release.V0_7_0,
    imitates="0.7.0",
    digest=blake3_hex,
    preconditions=Preconditions.RACING,
    paging=Paging.OPAQUE,
    cursor_zone={"tenant_id": None},
    methods=_BASE | _BULK | {"get_metadata", "delete_bulk"},
    strict=_classes(_BASE | _BULK | {"get_metadata", "delete_bulk"}),
    errors=_OLD_CODES,
    write_result=shapes.write_nested,
    read_result=shapes.read_aware,
    bulk_read_result=shapes.read_naive,
    stat_result=shapes.stat_posix,
    listed=shapes.listed_aware,
    done=_DONE,
    implicit_parents=False,
    deletes_full_directories=True,
    removes_implicit_directories=True,
    rename_race_loser=(Problem.BACKEND, "Destination path already exists: {0}: {0}"),
    create_race_loser=f"Failed to store metadata: {UNIQUE_PATH}",
    batches_trip_over_deleted=True,
    keeps_versions=True,
    health=_HEALTH | {"enforce_tenant_isolation": True, "has_auth": False},
)

V0_9 = Personality(
    name=Release.V0_9,
    imitates="0.9.18",
    digest=blake3_hex,
    preconditions=Preconditions.DROPPED,
    paging=Paging.WRITTEN,
    cursor_zone={"zone_id": "root"},
    methods=_BASE | _BULK | _KERNEL,
    strict={
        "delete": "SysUnlinkParams",
        "exists": "SysAccessParams",
        "rename": "SysRenameParams",
    },
    errors=_HIDING_CODES,
    write_result=shapes.write_counted,
    read_result=shapes.read_plain_date,
    stat_result=shapes.stat_kernel,
    metadata_result=shapes.metadata_path_local,
    listed=shapes.listed_aware,
    done=_DONE,
    files_pass_for_directories=True,
    bulk_read_works=False,
    rename_keeps_content=False,
    health=_HEALTH | {"enforce_zone_isolation": True, "has_auth": True},
    bare_params=True,
    rest=True,
    pay=True,
)

V0_9_20_WITHOUT_KERNEL = replace(
    V0_9,
    name=Release.V0_9_20_WITHOUT_KERNEL,
    imitates="0.9.20",
    reads_work=False,
)

V0_9_26 = replace(
    V0_9,
    name=Release.V0_9_26,
    imitates="0.9.26",
    stale_etags=True,
    paging=Paging.OPAQUE,
    words_bad_path=shapes.bad_path_in_rust,
    bulk_read_works=True,
    read_result=shapes.read_undated,
    stat_result=shapes.stat_undated,
    metadata_result=shapes.metadata_undated,
    brief_result=shapes.brief_undated,
    listed=shapes.listed_undated,
    files_pass_for_directories=False,
    lost_content_by_path=True,
)

_BULK_0_10 = (_BULK - {"get_etag"}) | {"read_batch", "get_content_id"}

V0_10 = Personality(
    name=Release.V0_10,
    imitates="0.10.1",
    digest=blake3_hex,
    etag="path",
    etag_key="content_id",
    preconditions=Preconditions.ATOMIC,
    paging=Paging.PATH,
    methods=_BASE | _BULK_0_10 | _KERNEL,
    strict={},
    errors=_HIDING_CODES | {Problem.NOT_FOUND: (-32007, "{}"), Problem.BAD_PATH: (-32004, "{}")},
    check_path=kernel_path,
    words_bad_path=shapes.bad_path_with_dot,
    lists_bad_paths=True,
    stats_bad_paths=True,
    write_result=shapes.write_content_id,
    batch_write_result=shapes.batch_write_content_id,
    read_result=shapes.read_content_id,
    stat_result=shapes.stat_content_id,
    stat_wrapped=False,
    metadata_result=shapes.metadata_content_id,
    brief_result=shapes.brief_content_id,
    listed=shapes.listed_content_id,
    done=_DONE,
    mkdir_needs_parent=False,
    directories_as_entries=True,
    bulk_read_in_order=True,
    unlock_wrapped=True,
    locks_refuse_by_error=True,
    headers=((b"deprecation", b"true"), (b"sunset", b"Wed, 25 Jun 2026 00:00:00 GMT")),
    health=_HEALTH | {"enforce_zone_isolation": True, "has_auth": True},
    bare_params=True,
    rest=True,
    rest_preconditions=True,
    pay=True,
)

HYPOTHETICAL = replace(V0_10, name=Release.HYPOTHETICAL, etag="content")

PERSONALITIES: dict[str, Personality] = {
    each.name: each
    for each in (
        *(V0_5_6, V0_7_0, V0_9, V0_9_20_WITHOUT_KERNEL, V0_9_26, V0_10),
        HYPOTHETICAL,
    )
}


def find_personality(name: str | Personality) -> Personality:
    """Look a personality up by name.

    Raises:
        ValueError: There is no such personality.
    """
    if isinstance(name, Personality):
        return name
    try:
        return PERSONALITIES[name]
    except KeyError:
        known = ", ".join(PERSONALITIES)
        raise ValueError(f"unknown personality {name!r}: known are {known}") from None
