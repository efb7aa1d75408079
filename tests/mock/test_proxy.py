"""The mock's faults before another server: what is forwarded, and what goes wrong on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from nexus_bounty.mock import Fault, FaultKind, FaultProxy, MockNexus, running
from tests.support.rpc import PATH, Rpc


@dataclass
class Setting:
    """A server, the proxy before it, and a client of the proxy, over sockets."""

    server: MockNexus
    proxy: FaultProxy
    rpc: Rpc


@asynccontextmanager
async def setting(api_key: str | None = None) -> AsyncIterator[Setting]:
    mock = MockNexus("0.7.0", api_key=api_key)
    async with (
        running(mock) as upstream,
        FaultProxy(upstream) as proxy,
        running(proxy) as url,
        httpx.AsyncClient(base_url=url, timeout=0.5) as client,
    ):
        yield Setting(mock, proxy, Rpc(client))


async def test_a_request_goes_through_as_it_is_and_its_answer_comes_back() -> None:
    """Method, body, headers, status."""
    async with setting(api_key="sk") as scene:
        refused = await scene.rpc.post("read", path=PATH)
        assert (refused.status_code, refused.json()["detail"]) == (
            401,
            "Invalid or missing API key",
        )
        scene.rpc.client.headers["Authorization"] = "Bearer sk"
        written = await scene.rpc("write", path=PATH, content="x")
        assert written["result"]["bytes_written"]["size"] == 1
        assert (await scene.rpc.client.get("/health?a=b")).json()["status"] == "healthy"
        assert scene.server.requests[-1].query == "a=b"
        assert scene.server.read_file(PATH) == b"x"


@pytest.mark.parametrize(
    ("kind", "applied", "heard"),
    [
        (FaultKind.DROP_BEFORE, 0, "RemoteProtocolError"),
        (FaultKind.DROP_AFTER, 1, "RemoteProtocolError"),
        (FaultKind.TIMEOUT_AFTER, 1, "ReadTimeout"),
        (FaultKind.DUPLICATE, 2, "ok"),
        (FaultKind.STATUS_AFTER, 1, "503"),
        (FaultKind.GARBAGE, 1, "garbage"),
    ],
)
async def test_the_server_applies_what_the_fault_lets_through(
    kind: FaultKind, applied: int, heard: str
) -> None:
    """And the client hears what the fault leaves of the answer."""
    async with setting() as scene:
        scene.proxy.inject(Fault(kind))
        assert await scene.rpc.outcome("write", path=PATH, content="x") == heard
        assert len(scene.server.log) == applied


async def test_a_late_request_reaches_the_server_after_the_next() -> None:
    """Although its client has given up on it."""
    async with setting() as scene:
        scene.proxy.inject(Fault(FaultKind.LATE, lost="drop"))
        await scene.rpc.outcome("write", path=PATH, content="late")
        assert scene.server.read_file(PATH) is None
        assert await scene.rpc.outcome("write", path=PATH, content="next") == "ok"
        assert scene.server.read_file(PATH) == b"late"


async def test_a_delayed_request_is_applied_although_its_client_has_gone() -> None:
    """As by any proxy that keeps what it has received."""
    async with setting() as scene:
        scene.proxy.inject(Fault(FaultKind.DELAY, seconds=0.6))
        assert await scene.rpc.outcome("write", path=PATH, content="x") == "ReadTimeout"
        await scene.proxy.settle()
        assert scene.server.read_file(PATH) == b"x"
