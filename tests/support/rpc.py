"""Talking to a mock in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx

from nexus_bounty.mock import MockNexus

PATH = "/zones/z/file.json"


class Rpc:
    """JSON-RPC over an httpx client; results and errors as plain values."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def post(self, method: str, **params: Any) -> httpx.Response:
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        return await self.client.post(f"/api/nfs/{method}", json=body)

    async def __call__(self, method: str, **params: Any) -> Any:
        """The whole JSON-RPC document."""
        return (await self.post(method, **params)).json()

    async def etag(self, path: str = PATH) -> str:
        document = (await self("read", path=path, return_metadata=True))["result"]
        return str(document.get("etag") or document.get("content_id"))

    async def outcome(self, method: str, **params: Any) -> str:
        """What a client makes of one call: `ok`, `error`, or the name of httpx's exception."""
        try:
            response = await self.post(method, **params)
            document = response.json() if response.status_code == 200 else {}
        except httpx.HTTPError as exc:
            return type(exc).__name__
        except ValueError:
            return "garbage"
        if response.status_code != 200:
            return str(response.status_code)
        return "ok" if "result" in document else "error"


def hurried(mock: MockNexus) -> AbstractAsyncContextManager[Rpc]:
    """A client that soon gives up on a silent server."""
    return talking_to(mock, timeout=0.05)


@asynccontextmanager
async def talking_to(mock: MockNexus, **options: Any) -> AsyncIterator[Rpc]:
    """A client on the mock's own transport."""
    options.setdefault("transport", mock.transport())
    options.setdefault("timeout", 5)
    async with httpx.AsyncClient(base_url="http://nexus", **options) as client:
        yield Rpc(client)
