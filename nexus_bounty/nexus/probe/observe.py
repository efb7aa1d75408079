"""What a probe looks at besides races."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import NexusClient, etags, wire
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import Dialect, EtagKind, Extra, dialect_of
from nexus_bounty.nexus.probe.report import Bulk, Locks, Paging
from nexus_bounty.nexus.probe.scratch import UNHEARD, ScratchZone, is_refused

T = TypeVar("T")

_STATUS: Final = "/api/nfs/status"
_FEATURES: Final = "/api/v2/features"
MANY_PAGES: Final = 4
_raw = msgspec.json.Decoder(dict[str, Any])
_anything = msgspec.json.Decoder()


async def fingerprint(
    client: NexusClient, deadline: Deadline | None = None
) -> tuple[str, str | None]:
    """What changes when the server becomes another version, and the version if it says so.

    Two requests: the methods that it offers are asked for because only 0.9 and later tell their
    version.
    """
    status, features = await asyncio.gather(
        _asked(client, _STATUS, deadline), _asked(client, _FEATURES, deadline)
    )
    methods = sorted(map(str, status.get("methods", ())))
    version = features.get("version")
    seen = msgspec.json.encode([methods, version])
    known = str(version) if version is not None else None
    return hashlib.blake2b(seen, digest_size=12).hexdigest(), known


async def _asked(client: NexusClient, route: str, deadline: Deadline | None) -> dict[str, Any]:
    try:
        said = await client.ask(route, deadline=deadline)
    except NexusError as error:
        if error.reason in (Reason.NO_SUCH_ROUTE, Reason.UNREADABLE):
            return {}
        raise
    return said if isinstance(said, dict) else {}


@dataclass(slots=True)
class Basics:
    """How the server takes one writer's writes."""

    dialect: Dialect
    etag: EtagKind
    stores: bool
    enforces: bool
    read_seconds: float
    write_seconds: float


async def basics(zone: ScratchZone) -> Basics:
    """Write, read, update under a precondition, and try what a precondition forbids."""
    path = zone.path("a")
    params = {"path": path, "content": wire.encode_bytes(b"first")}
    await zone.write(path, "")  # so that the next write and read are timed on an open connection
    reply, write_seconds = await _timed(zone.call("write", params, _raw))
    first, read_seconds = await _timed(zone.read(path))
    tag = first.version_tag if first else None
    stores, second = await _stores(zone, path, tag)
    return Basics(
        dialect=dialect_of(reply),
        etag=_etag_kind(first, second, stores=stores),
        stores=stores,
        enforces=stores and await _enforces(zone, path, tag),
        read_seconds=read_seconds,
        write_seconds=write_seconds,
    )


async def _timed(what: Awaitable[T]) -> tuple[T, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    return await what, loop.time() - began


async def _stores(
    zone: ScratchZone, path: str, tag: str | None
) -> tuple[bool, wire.FileReply | None]:
    """Whether a write whose precondition holds is really stored."""
    if await is_refused(zone.write(path, "second", if_match=tag)):
        return False, None
    second = await zone.read(path)
    return second is not None and second.body == b"second", second


async def _enforces(zone: ScratchZone, path: str, stale: str | None) -> bool:
    """Whether writes are refused whose preconditions do not hold, and so change nothing."""
    refused = [
        await is_refused(zone.write(path, "third", if_match=stale)),
        await is_refused(zone.write(path, "fourth", if_none_match=True)),
    ]
    third = await zone.read(path)
    return all(refused) and third is not None and third.body == b"second"


def _etag_kind(
    first: wire.FileReply | None, second: wire.FileReply | None, *, stores: bool
) -> EtagKind:
    if first is None or first.version_tag is None:
        return EtagKind.NONE
    algorithm = etags.algorithm_of(first.body, first.version_tag)
    if algorithm is not None:
        return algorithm
    if stores and second is not None and second.version_tag == first.version_tag:
        return EtagKind.CONSTANT
    return EtagKind.OPAQUE


async def bulk(zone: ScratchZone) -> Bulk:
    """What can be done to several files at once, and really is."""
    path, new = zone.path("a"), zone.path("bulk")
    reads = {"paths": [path], "return_metadata": True, "skip_errors": True}
    found = await _if_understood(zone.call(Extra.BULK_READS, reads, wire.bulk_files))
    checked = await _if_understood(zone.call(Extra.BULK_CHECKS, {"paths": [path]}, wire.existences))
    files = [[new, wire.encode_bytes(b"bulk")]]
    written = await _if_understood(zone.call(Extra.BULK_WRITES, {"files": files}, _anything))
    zone.wrote(new)
    return Bulk(
        reads=bool(found and found.get(path)),
        checks=bool(checked and checked.get(path)),
        writes=written is not None and await zone.exists(new),
    )


async def takes_files_at_root(zone: ScratchZone) -> bool:
    """Whether a file may lie in no directory."""
    return not await is_refused(zone.write(zone.path_at_root("a"), ""))


async def _if_understood(asked: Awaitable[T]) -> T | None:
    """The answer, or `None` from a server that does not know the method as we do."""
    try:
        return await asked
    except NexusError as error:
        if error.reason in (Reason.BAD_REQUEST, Reason.UNREADABLE):
            return None
        raise


async def paging(zone: ScratchZone) -> Paging:
    """Whether the pages of a listing have all that the whole listing has."""
    everything = {"path": zone.root, "recursive": True}
    whole = await zone.call("list", everything, wire.listings)
    limit = max(len(whole.files) // (MANY_PAGES - 1), 1)
    paged = await _if_understood(_pages(zone, everything | {"limit": limit}))
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


async def locks(zone: ScratchZone) -> Locks:
    """Whether a lock that is held is refused to another, and granted again once it is released."""
    try:
        first = await _take_lock(zone)
    except NexusError as error:
        if error.reason in UNHEARD:
            raise
        return Locks.NONE if error.reason is Reason.BAD_REQUEST else Locks.SHARED
    second = await _refused_lock(zone)
    release = {"path": zone.path("lock"), "lock_id": first.get("lock_id")}
    await is_refused(zone.call("sys_unlock", release, _anything))
    third = await _refused_lock(zone)
    exclusive = first.get("acquired") is True and second and not third
    return Locks.EXCLUSIVE if exclusive else Locks.SHARED


async def _take_lock(zone: ScratchZone) -> dict[str, Any]:
    return await zone.call("lock_acquire", {"path": zone.path("lock"), "ttl": 30}, _raw)


async def _refused_lock(zone: ScratchZone) -> bool:
    """Whether the lock is refused now: by a plain no, or by an error, as 0.10 does."""
    try:
        return not (await _take_lock(zone)).get("acquired")
    except NexusError as error:
        if error.reason in UNHEARD:
            raise
        return True
