"""A zone on a mock server: stores on it, a peer that shares it, and what is really in it."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from contextlib import AsyncExitStack
from typing import Any, Self

import httpx
import msgspec

from nexus_bounty import Bounty, BountyStatus, NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing import ManualClock
from tests.support.transports import Action, Interrupted


class Zone:
    """One zone, whose server and stores go by `clock`."""

    def __init__(self, personality: str = "0.10-hypothetical", **settings: Any) -> None:
        self.clock = ManualClock()
        self.mock = MockNexus(personality, atomic=True, clock=self.clock)
        self.paths = ZonePaths("z")
        self.settings = NexusSettings(**({"retry_base": 0, "request_timeout": 0.05} | settings))
        self._clients = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_ended: object) -> None:
        await self._clients.aclose()

    async def client(self, transport: httpx.AsyncBaseTransport | None = None) -> NexusClient:
        transport = transport or self.mock.transport()
        client = NexusClient("http://nexus", settings=self.settings, transport=transport)
        return await self._clients.enter_async_context(client)

    async def store(self, transport: httpx.AsyncBaseTransport | None = None) -> NexusBountyStore:
        """A store that has seen nothing yet."""
        client = await self.client(transport)
        return NexusBountyStore(client, self.paths.zone_id, commit="conditional", clock=self.clock)

    async def peer(self) -> Peer:
        http = httpx.AsyncClient(transport=self.mock.transport(), base_url="http://nexus")
        return Peer(await self._clients.enter_async_context(http), self.paths)

    def interrupted(self, at: int, action: Action) -> Interrupted:
        return Interrupted(self.mock.transport(), at, action)

    def markers(self, status: BountyStatus) -> set[str]:
        """The names of the markers of one status."""
        directory = f"{self.paths.statuses(status)}/"
        return {
            path.removeprefix(directory) for path in self.mock.files if path.startswith(directory)
        }

    def content(self, bounty_id: str = "b-1") -> bytes:
        content = self.mock.read_file(self.paths.bounty(bounty_id))
        assert content is not None
        return content


class Peer:
    """Reads and writes bounties with the requests, the encoding and the order that Grove has."""

    def __init__(self, http: httpx.AsyncClient, paths: ZonePaths) -> None:
        self._http = http
        self._paths = paths

    async def rpc(self, method: str, **params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = (await self._http.post(f"/api/nfs/{method}", json=body)).json()
        assert not answer.get("error"), answer
        return answer["result"]

    async def write(self, path: str, content: bytes, **options: Any) -> None:
        await self.rpc("write", path=path, content=b64encode(content).decode(), **options)

    async def mark(self, status: str, bounty_id: str) -> None:
        await self.write(self._paths.marker(BountyStatus(status), bounty_id), b"")

    async def unmark(self, status: str, bounty_id: str) -> None:
        await self.rpc("delete", path=self._paths.marker(BountyStatus(status), bounty_id))

    async def create(self, bounty: Bounty, **extra: Any) -> dict[str, Any]:
        """Document first, marker after."""
        document: dict[str, Any] = json.loads(msgspec.json.encode(bounty)) | extra
        path = self._paths.bounty(bounty.bounty_id)
        await self.write(path, json.dumps(document).encode(), if_none_match=True)
        await self.mark(bounty.status, bounty.bounty_id)
        return document

    async def get(self, bounty_id: str = "b-1") -> dict[str, Any]:
        result = await self.rpc("read", path=self._paths.bounty(bounty_id))
        document: dict[str, Any] = json.loads(b64decode(b64decode(result["data"])))
        return document

    async def move(self, status: BountyStatus, bounty_id: str = "b-1", **changes: Any) -> None:
        """Document, then the old marker away, then the new one."""
        before = await self.get(bounty_id)
        after = before | {"status": status.value, "updatedAt": "2026-01-02T03:04:05.678Z"} | changes
        await self.write(self._paths.bounty(bounty_id), json.dumps(after).encode())
        await self.unmark(before["status"], bounty_id)
        await self.mark(status, bounty_id)
