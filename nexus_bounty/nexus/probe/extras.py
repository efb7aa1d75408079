"""What no verdict depends on, and who looks at a server closely wants to know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from nexus_bounty.nexus.client import etags, wire
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import HASHES, EtagKind, Extra
from nexus_bounty.nexus.probe.report import Bulk, LockKind, Paging
from nexus_bounty.nexus.probe.scratch import ScratchZone, is_refused

T = TypeVar("T")

MANY_PAGES: Final = 4
_raw = msgspec.json.Decoder(dict[str, Any])
_anything = msgspec.json.Decoder()


class Files(NamedTuple):
    """What was seen of files, one and many.

    Attributes:
        write_seconds: How long a write takes on a connection that is open.
        read_seconds: How long a read takes.
        stale_etags: Whether a read shows the etag of what was overwritten; `None`: cannot be told.
        bulk: What can be done to several files at once, and really is.
    """

    write_seconds: float
    read_seconds: float
    stale_etags: bool | None
    bulk: Bulk


async def files(zone: ScratchZone, number: int, kind: EtagKind) -> Files:
    """Write, read, overwrite and read again, and do what can be done in bulk."""
    path = zone.path(f"one-{number}")
    clock = asyncio.get_running_loop().time
    began = clock()
    await zone.written(path, "first")
    written = clock()
    await zone.read(path)
    read = clock()
    stale = await _shows_stale_etag(zone, path) if kind in HASHES else None
    many = await _bulk(zone, path, zone.path(f"bulk-{number}"))
    return Files(written - began, read - written, stale, many)


async def _shows_stale_etag(zone: ScratchZone, path: str) -> bool:
    await zone.written(path, "second")
    read = await zone.read(path)
    return read is not None and not etags.speaks_for(read.version_tag, read.body)


async def _bulk(zone: ScratchZone, path: str, new: str) -> Bulk:
    reads = {"paths": [path], "return_metadata": True, "skip_errors": True}
    found = await _if_understood(zone, lambda: zone.call(Extra.BULK_READS, reads, wire.bulk_files))
    checks = {"paths": [path]}
    checked = await _if_understood(
        zone, lambda: zone.call(Extra.BULK_CHECKS, checks, wire.existences)
    )
    zone.wrote(new)
    pairs = {"files": [[new, wire.encode_bytes(b"bulk")]]}
    written = await _if_understood(zone, lambda: zone.call(Extra.BULK_WRITES, pairs, _anything))
    return Bulk(
        reads=bool(found and found.get(path)),
        checks=bool(checked and checked.get(path)),
        writes=written is not None and await zone.exists(new),
    )


async def _if_understood(zone: ScratchZone, ask: Callable[[], Awaitable[T]]) -> T | None:
    """The answer, or `None` from a server that does not know the method as we do."""
    try:
        return await zone.sure(ask)
    except NexusError as error:
        if error.reason in (Reason.BAD_REQUEST, Reason.UNREADABLE):
            return None
        raise


async def paging(zone: ScratchZone) -> Paging:
    """Whether the pages of a listing have all that the whole listing has.

    The file that is written last is the first in the order of paths.
    """
    await zone.sure(lambda: zone.write(zone.path("0"), ""))
    everything = {"path": zone.root, "recursive": True}
    whole = await zone.sure(lambda: zone.call("list", everything, wire.listings))
    limit = max(len(whole.files) // (MANY_PAGES - 1), 1)
    paged = await _if_understood(zone, lambda: _pages(zone, everything | {"limit": limit}))
    if paged is None:
        return Paging.NONE
    return Paging.COMPLETE if paged >= set(whole.files) else Paging.LOSES_ENTRIES


async def _pages(zone: ScratchZone, params: dict[str, Any]) -> set[Any]:
    found: set[Any] = set()
    for _ in range(MANY_PAGES):
        page = await zone.call("list", params, wire.listings)
        found.update(page.files)
        if not (page.has_more and page.next_cursor):
            break
        params = {**params, "cursor": page.next_cursor}
    return found


async def locks(zone: ScratchZone, number: int) -> LockKind:
    """Whether a lock that is held is refused to another, and granted again once it is released."""
    path = zone.path(f"lock-{number}")
    params = {"path": path, "ttl": 30}
    try:
        first = await zone.heard(lambda: zone.call("lock_acquire", params, _raw))
    except NexusError as error:
        return LockKind.NONE if error.reason is Reason.BAD_REQUEST else LockKind.SHARED
    second = await _is_refused_lock(zone, params)
    release = {"path": path, "lock_id": first.get("lock_id")}
    await is_refused(zone.call("sys_unlock", release, _anything))
    third = await _is_refused_lock(zone, params)
    exclusive = first.get("acquired") is True and second and not third
    return LockKind.EXCLUSIVE if exclusive else LockKind.SHARED


async def _is_refused_lock(zone: ScratchZone, params: dict[str, Any]) -> bool:
    """Whether the lock is refused now: by a plain no, or by an error, as on 0.10."""
    taken: list[bool] = []

    async def take() -> None:
        taken.append(bool((await zone.call("lock_acquire", params, _raw)).get("acquired")))

    return await is_refused(take()) or not taken[0]
