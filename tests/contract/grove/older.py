"""The older Grove's client and stores, transcribed from its TypeScript at d4eb875.

`src/nexus/nexus-http-client.ts` and `errors.ts` for what it sends and how it takes what it hears,
`nexus-bounty-store.ts` and `nexus-claim-store.ts` for the order of its requests. As its stores are
without their retries and caches. `on_servers.json` holds what its own code did.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import httpx
import msgspec

from tests.contract.grove import newer, reader

T = TypeVar("T")
Value = dict[str, Any]

NOT_FOUND: Final = -32000
CONFLICTS: Final = (-32001, -32006)
LEASE: Final = timedelta(minutes=5)
"""`DEFAULT_LEASE_DURATION_MS`."""


class GroveError(Exception):
    """`NexusConnectionError`: whatever else goes wrong, an answer in another shape, too."""


class NotFoundError(GroveError):
    """`NexusNotFoundError`."""


class ConflictError(GroveError):
    """`NexusConflictError`."""


class _Read(msgspec.Struct, tag_field="__type__", tag="bytes"):
    data: str


class _Written(msgspec.Struct):
    bytes_written: float
    etag: str | msgspec.UnsetType = msgspec.UNSET


class _Metadata(msgspec.Struct):
    etag: str | msgspec.UnsetType = msgspec.UNSET


class _Stat(msgspec.Struct):
    metadata: _Metadata | None


class _Deleted(msgspec.Struct):
    deleted: bool


class _Entry(msgspec.Struct):
    path: str


class _Listed(msgspec.Struct):
    files: list[str | _Entry]
    has_more: bool
    next_cursor: str | None = None


class Client:
    """`NexusHttpClient`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def read(self, path: str) -> bytes | None:
        try:
            found = await self._rpc("sys_read", _Read, path=path)
        except NotFoundError:
            return None
        return base64.b64decode(base64.b64decode(found.data))

    async def read_with_etag(self, path: str) -> tuple[bytes, str] | None:
        """`readWithMeta`: the etag first, then the content."""
        try:
            metadata = (await self._rpc("sys_stat", _Stat, path=path)).metadata
        except NotFoundError:
            return None
        content = await self.read(path)
        etag = metadata.etag if metadata else ""
        return None if content is None else (content, etag or "")

    async def write(self, path: str, content: bytes, **condition: str) -> None:
        text = base64.b64encode(content).decode()
        await self._rpc("sys_write", _Written, path=path, content=text, **condition)

    async def delete(self, path: str) -> None:
        with suppress(NotFoundError):
            await self._rpc("delete", _Deleted, path=path)

    async def names(self, directory: str, **options: Any) -> list[str]:
        """`listAllPages`, of files."""
        found: list[str] = []
        cursor: Value = {}
        while True:
            page = await self._rpc("list", _Listed, path=directory, **options, **cursor)
            paths = [each if isinstance(each, str) else each.path for each in page.files]
            found += [path.rpartition("/")[2] for path in paths if not path.endswith("/")]
            if not (page.has_more and page.next_cursor):
                return found
            cursor = {"cursor": page.next_cursor}

    async def _rpc(self, method: str, shape: type[T], **params: Any) -> T:
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
        answer = await self._http.post(f"/api/nfs/{method}", json=body)
        if answer.status_code in (401, 403, 429) or answer.status_code >= 500:
            raise GroveError(answer.status_code)
        envelope = answer.json()
        if error := envelope.get("error"):
            code = error.get("code") if isinstance(error, dict) else None
            kind = ConflictError if code in CONFLICTS else GroveError
            raise (NotFoundError if code == NOT_FOUND else kind)(str(error))
        try:
            return msgspec.convert(envelope.get("result"), shape)
        except msgspec.ValidationError as odd:
            raise GroveError(str(odd)) from odd


class Grove:
    """`NexusBountyStore` and `NexusClaimStore` of one zone, at a moment that stands still."""

    def __init__(self, http: httpx.AsyncClient, zone: str, now: datetime) -> None:
        self._client = Client(http)
        self._zone = zone
        self._now = now

    async def call(self, _on: str, method: str, arguments: list[Any]) -> Any:
        return await getattr(self, method)(*arguments)

    # bounties

    async def getBounty(self, bounty_id: str) -> Value | None:  # noqa: N802 - its names
        content = await self._client.read(reader.bounty_path(self._zone, bounty_id))
        return None if content is None else json.loads(content)

    async def listBounties(self, query: Value | None = None) -> list[Value]:  # noqa: N802
        if status := (query or {}).get("status"):
            names = await self._client.names(reader.status_marker(self._zone, status, "")[:-1])
        else:
            names = await self._client.names(reader.bounty_path(self._zone, "").rpartition("/")[0])
        found = [await self.getBounty(name.removesuffix(".json")) for name in names]
        return [each for each in found if each and each["status"] == (status or each["status"])]

    async def createBounty(self, bounty: Value) -> None:  # noqa: N802
        path = reader.bounty_path(self._zone, bounty["bountyId"])
        await self._write(path, bounty | {"updatedAt": _iso(self._now)}, if_none_match="*")
        await self._mark(bounty["status"], bounty["bountyId"])

    async def claimBounty(self, bounty_id: str, claimed_by: Value, claim_id: str) -> None:  # noqa: N802
        path = reader.bounty_path(self._zone, bounty_id)
        bounty, etag = await self._there(path)
        moved = bounty | {"status": "claimed", "updatedAt": _iso(self._now)}
        claimed = moved | {"claimedBy": claimed_by, "claimId": claim_id}
        await self._write(path, claimed, if_match=etag)
        with suppress(GroveError):
            old = reader.status_marker(self._zone, bounty["status"], bounty_id)
            await self._client.delete(old)
        await self._mark("claimed", bounty_id)

    async def _mark(self, status: str, bounty_id: str) -> None:
        await self._client.write(reader.status_marker(self._zone, status, bounty_id), b"")

    # claims

    async def getClaim(self, claim_id: str) -> Value | None:  # noqa: N802
        found = await self._client.read_with_etag(reader.claim_path(self._zone, claim_id))
        return None if found is None else json.loads(found[0])

    async def activeClaims(self, target: str) -> list[Value]:  # noqa: N802
        marker = reader.claim_marker(self._zone, target, "")
        found = [await self.getClaim(name) for name in await self._client.names(marker[:-1])]
        return [each for each in found if each and each["status"] == "active"]

    async def listClaims(self) -> list[Value]:  # noqa: N802
        directory = reader.claim_path(self._zone, "").rpartition("/")[0]
        names = await self._client.names(directory)
        found = [await self.getClaim(name.removesuffix(".json")) for name in names]
        return [each for each in found if each]

    async def createClaim(self, claim: Value) -> None:  # noqa: N802
        claim_id, target = claim["claimId"], claim["targetRef"]
        times = {key: claim[key] for key in ("createdAt", "heartbeatAt", "leaseExpiresAt")}
        path = reader.claim_path(self._zone, claim_id)
        await self._write(path, claim | times | {"revision": 1}, if_none_match="*")
        try:
            lock = reader.target_lock(self._zone, target)
            await self._client.write(lock, claim_id.encode(), if_none_match="*")
            await self._client.write(reader.claim_marker(self._zone, target, claim_id), b"")
        except GroveError:
            await self._client.delete(path)
            raise

    async def heartbeat(self, claim_id: str) -> None:
        path = reader.claim_path(self._zone, claim_id)
        claim, etag = await self._there(path)
        beat = {"heartbeatAt": _iso(self._now), "leaseExpiresAt": _iso(self._now + LEASE)}
        await self._write(path, claim | beat | {"revision": claim["revision"] + 1}, if_match=etag)

    async def release(self, claim_id: str) -> None:
        path = reader.claim_path(self._zone, claim_id)
        claim, etag = await self._there(path)
        ended = {"status": "released", "revision": claim["revision"] + 1}
        await self._write(path, claim | ended, if_match=etag)
        with suppress(GroveError):
            await self._client.delete(reader.claim_marker(self._zone, claim["targetRef"], claim_id))
        with suppress(GroveError):
            await self._client.delete(reader.target_lock(self._zone, claim["targetRef"]))

    # both

    async def _there(self, path: str) -> tuple[Value, str]:
        found = await self._client.read_with_etag(path)
        if found is None:
            raise GroveError(f"not found: {path}")
        return json.loads(found[0]), found[1]

    async def _write(self, path: str, value: Value, **condition: str) -> None:
        content = base64.b64decode(newer.stored(value))
        await self._client.write(path, content, **condition)


def _iso(moment: datetime) -> str:
    """`toISOString`."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
