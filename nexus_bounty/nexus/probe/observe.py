"""What a probe looks at besides races: which server it is, and how it takes one writer's writes."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import NexusClient, etags, wire
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import ConditionalWrites, Dialect, EtagKind, dialect_of
from nexus_bounty.nexus.probe.scratch import (
    ScratchZone,
    UnclearError,
    is_refused,
    is_refused_for_good,
)

_STATUS: Final = "/api/nfs/status"
_FEATURES: Final = "/api/v2/features"
_raw = msgspec.json.Decoder(dict[str, Any])


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
    deadline = deadline or client.deadline()

    async def ask() -> dict[str, Any]:
        try:
            said = await client.ask(route, deadline=deadline)
        except NexusError as error:
            if error.reason is Reason.NO_SUCH_ROUTE:
                return {}
            raise
        return said if isinstance(said, dict) else {}

    try:
        return await client.retries.persist(ask, _is_passing, deadline)
    except NexusError as error:
        if error.reason is Reason.UNREADABLE:
            return {}
        raise


def _is_passing(error: Exception) -> bool:
    return isinstance(error, NexusError) and error.is_passing


@dataclass(frozen=True, slots=True)
class Basics:
    """How the server takes one writer's writes.

    Attributes:
        dialect: How it words its answers.
        etag: What its etags are made of.
        reads: Whether what is there can be read.
        stores: Whether a write whose precondition holds is really stored.
        enforces: Whether one whose precondition does not hold is refused; `None`: races will tell.
    """

    dialect: Dialect
    etag: EtagKind
    reads: bool
    stores: bool
    enforces: bool | None

    @property
    def are_expected(self) -> bool:
        """Whether they are as is known of servers that word their answers so."""
        drops = self.dialect.preconditions is ConditionalWrites.DROPPED
        enforces = self.stores and self.etag is not EtagKind.CONSTANT
        return self.reads and self.stores is not drops and self.enforces in (None, enforces)

    @property
    def may_be_atomic(self) -> bool:
        """Whether races can still show that preconditions are safe to commit by."""
        known_to_race = self.dialect.preconditions is ConditionalWrites.RACE
        return self.stores and self.enforces is not False and not known_to_race

    @property
    def may_create(self) -> bool:
        """Whether creates may be exclusive although updates are not: their etags are constant."""
        checked = self.dialect.preconditions is ConditionalWrites.CHECKED
        return self.stores and self.etag is EtagKind.CONSTANT and checked


async def basics(zone: ScratchZone, number: int, *, thorough: bool) -> Basics:
    """Write, update under a precondition, read, and try what a precondition forbids.

    Args:
        zone: Where.
        number: Names the file.
        thorough: Whether to try it even where races will tell as much.

    Raises:
        UnclearError: An answer was not heard.
    """
    path = zone.path(f"a-{number}")
    said = await _first_write(zone, path)
    dialect, tag = dialect_of(said), msgspec.convert(said, wire.WriteReply).version_tag
    refused = await is_refused_for_good(zone.write(path, "second", if_match=tag), number)
    try:
        second = await zone.read(path)
    except NexusError as error:
        if error.reason is Reason.SERVER_ERROR and await zone.exists(path):
            return Basics(dialect, _etag_kind(tag, None), False, False, False)
        raise
    is_there = second is not None and second.body == b"second"
    if refused and is_there:
        raise UnclearError("it was refused, and written: another may have repeated it")
    stores = not refused and is_there
    kind = _etag_kind(tag, second if stores else None)
    enforces: bool | None = False
    if stores and kind not in (EtagKind.CONSTANT, EtagKind.NONE):
        enforces = None
        if thorough or dialect.preconditions is ConditionalWrites.RACE:
            enforces = await _enforces(zone, path, tag)
    return Basics(dialect, kind, True, stores, enforces)


async def _first_write(zone: ScratchZone, path: str) -> dict[str, Any]:
    zone.wrote(path)
    params = {"path": path, "content": wire.encode_bytes(b"first")}
    return await zone.heard(lambda: zone.call("write", params, _raw))


async def _enforces(zone: ScratchZone, path: str, stale: str | None) -> bool:
    """Whether writes are refused whose preconditions do not hold, and so change nothing."""
    refused = [
        await is_refused(zone.write(path, "third", if_match=stale)),
        await is_refused(zone.write(path, "fourth", if_none_match=True)),
    ]
    third = await zone.read(path)
    return all(refused) and third is not None and third.body == b"second"


def _etag_kind(first: str | None, second: wire.FileReply | None) -> EtagKind:
    """What etags are made of, by that of the content "first" and by what came after it."""
    if first is None:
        return EtagKind.NONE
    algorithm = etags.algorithm_of(b"first", first)
    if algorithm is not None:
        return algorithm
    if second is not None and second.version_tag == first:
        return EtagKind.CONSTANT
    return EtagKind.OPAQUE
