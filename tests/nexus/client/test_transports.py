"""Whatever carries the requests, "never sent" is said of nothing that a server has received."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from random import Random
from typing import Any

import httpx
import pytest

from nexus_bounty.mock import MockNexus, running
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client import transport as transports
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.nexus.client.transport import (
    AiohttpTransport,
    HttpxTransport,
    TransportExtraMissingError,
    transport_for,
)
from tests.support.clients import quick
from tests.support.sockets import Handler, found_for, raw_server, read_request

OURS = ["httpx", "aiohttp"]


def httpx_aiohttp() -> httpx.AsyncBaseTransport:
    made: httpx.AsyncBaseTransport = pytest.importorskip("httpx_aiohttp").AiohttpTransport()
    return made


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# Which one


def test_aiohttp_carries_requests_where_it_is_installed() -> None:
    """Unless httpx's own transport is asked for."""
    assert isinstance(transport_for(NexusSettings()), AiohttpTransport)
    assert isinstance(transport_for(NexusSettings(transport="aiohttp")), AiohttpTransport)
    assert isinstance(transport_for(NexusSettings(transport="httpx")), HttpxTransport)


def test_without_aiohttp_httpx_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And who insists on aiohttp is told what to install, before anything is sent."""
    monkeypatch.setattr(transports, "find_spec", lambda _name: None)
    assert isinstance(transport_for(NexusSettings()), HttpxTransport)
    with pytest.raises(TransportExtraMissingError, match="nexus-bounty\\[fast\\]"):
        NexusClient(settings=NexusSettings(transport="aiohttp"))


# What is never sent


class Dying:
    """A server that ends connections wherever it likes, and counts the requests it got whole."""

    def __init__(self, seed: int) -> None:
        self.received = 0
        self._random = Random(seed)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [self._at_once, self._in_the_request, self._before_the_answer, self._in_the_answer]
        while self._random.random() < 0.7:
            writer.write(found_for(await self._received(reader)))
        await self._random.choice([*ends, self._after_the_answer])(reader, writer)
        if self._random.random() < 0.5:
            reset(writer)

    async def _at_once(self, *_connection: Any) -> None:
        pass

    async def _in_the_request(self, reader: asyncio.StreamReader, _: Any) -> None:
        await reader.read(10)

    async def _received(self, reader: asyncio.StreamReader) -> bytes:
        request = await read_request(reader)
        self.received += 1
        return request

    async def _before_the_answer(self, reader: asyncio.StreamReader, _: Any) -> None:
        await self._received(reader)

    async def _in_the_answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answer = found_for(await self._received(reader))
        writer.write(answer[: self._random.randrange(len(answer))])

    async def _after_the_answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(found_for(await self._received(reader)))


@pytest.mark.parametrize("name", [*OURS, "httpx_aiohttp"])
async def test_no_request_that_was_received_is_called_never_sent(name: str) -> None:
    """Wherever the connection ends: acknowledged and ambiguous account for all the server got."""
    server = Dying(seed=3)
    foreign = httpx_aiohttp() if name == "httpx_aiohttp" else None
    settings = quick(retry_attempts=1, **({} if foreign else {"transport": name}))
    said = dict.fromkeys(Disposition, 0)
    async with (
        raw_server(server) as url,
        NexusClient(url, settings=settings, transport=foreign) as client,
    ):
        for number in range(120):
            try:
                await client.exists(f"/{number}")
                said[Disposition.ACKNOWLEDGED] += 1
            except NexusError as error:
                said[error.disposition] += 1
    assert said[Disposition.ACKNOWLEDGED] > 20
    assert said[Disposition.AMBIGUOUS] > 20
    assert server.received <= said[Disposition.ACKNOWLEDGED] + said[Disposition.AMBIGUOUS]
    assert said[Disposition.NEVER_SENT] == 0  # each of them was at least begun


async def lost(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("handle", [lost, silent], ids=["lost", "silent"])
@pytest.mark.parametrize("name", ["httpx_aiohttp", "pyreqwest"])
async def test_what_others_call_not_connected_is_ambiguous(name: str, handle: Handler) -> None:
    """They say so of requests that the server has: nothing may be concluded from it."""
    if name == "pyreqwest":
        foreign = pytest.importorskip("pyreqwest.compatibility.httpx").HttpxTransport()
    else:
        foreign = httpx_aiohttp()
    settings = quick(retry_attempts=1, request_timeout=0.1, connect_timeout=0.1)
    async with (
        raw_server(handle) as url,
        NexusClient(url, settings=settings, transport=foreign) as client,
    ):
        with pytest.raises(NexusError) as caught:
            await client.write("/a", b"")
    assert caught.value.disposition is Disposition.AMBIGUOUS


@pytest.mark.parametrize("name", OURS)
async def test_a_host_without_an_address_is_never_sent(name: str) -> None:
    """There was nobody to connect to."""
    settings = quick(retry_attempts=1, transport=name)
    async with NexusClient("http://nobody.invalid", settings=settings) as client:
        with pytest.raises(NexusError) as caught:
            await client.write("/a", b"")
    assert caught.value.disposition is Disposition.NEVER_SENT
    assert caught.value.reason is Reason.NO_CONNECTION


# What must not happen on the way


@pytest.mark.parametrize("name", OURS)
async def test_a_redirect_is_not_followed(name: str) -> None:
    """The key would go elsewhere, and the request a second time."""
    asked = 0

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while True:
            await read_request(reader)
            asked += 1
            head = "HTTP/1.1 307 Temporary Redirect\r\nlocation: /other\r\ncontent-length: 0"
            writer.write(f"{head}\r\n\r\n".encode())

    settings = quick(retry_attempts=1, transport=name)
    async with raw_server(elsewhere) as url, NexusClient(url, settings=settings) as client:
        with pytest.raises(NexusError) as caught:
            await client.write("/a", b"")
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert asked == 1


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.usefixtures("no_proxy")
async def test_the_proxy_of_the_environment_is_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request line names the whole URL, as a proxy wants it; NO_PROXY exempts a host."""
    lines: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                request = await read_request(reader)
                lines.append(request.split(b"\r\n")[0])
                writer.write(found_for(request))

    async with raw_server(proxy) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        settings = quick(transport=name, retry_attempts=1)
        async with NexusClient("http://nexus.invalid", settings=settings) as client:
            assert await client.exists("/a")
        assert lines == [b"POST http://nexus.invalid/api/nfs/exists HTTP/1.1"]
        monkeypatch.setenv("NO_PROXY", "nexus.invalid")
        async with NexusClient("http://nexus.invalid", settings=settings) as client:
            with pytest.raises(NexusError):
                await client.exists("/a")
        assert len(lines) == 1


@pytest.mark.parametrize("name", OURS)
async def test_a_cookie_is_not_kept(name: str) -> None:
    """Requests do not depend on what was answered to others."""
    heads: list[bytes] = []

    async def setting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            heads.append(request.lower())
            writer.write(found_for(request, headers=["set-cookie: a=b"]))

    async with (
        raw_server(setting) as url,
        NexusClient(url, settings=quick(transport=name)) as client,
    ):
        await client.exists("/a")
        await client.exists("/a")
    assert len(heads) == 2
    assert not any(b"cookie" in head for head in heads)


# What an answer says besides


@pytest.mark.parametrize("kind", OURS)
async def test_an_announced_sunset_is_heard_whatever_carries_the_answer(kind: Any) -> None:
    """And kept, although later answers may not repeat it."""
    async with running(MockNexus("0.10")) as url:
        settings = NexusSettings(url=url, transport=kind)
        async with NexusClient(settings=settings) as client:
            assert client.sunset is None
            await client.exists("/a")
            await client.ask("/health")
            assert client.sunset == "Wed, 25 Jun 2026 00:00:00 GMT"
