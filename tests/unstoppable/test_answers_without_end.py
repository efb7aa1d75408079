"""No answer takes more memory or time than it may: packed, endless, dripping, waited for."""

from __future__ import annotations

import asyncio
import gzip
import json
import time

import httpx
import pytest

from nexus_bounty import BountyStatus, NexusBountyStore
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from tests.support.clients import quick
from tests.support.sockets import found_for, http_answer, raw_server, read_request

TRANSPORTS = ["httpx", "aiohttp"]
GZIP = ["content-encoding: gzip"]


async def failing(url: str, transport: str, **settings: object) -> NexusError:
    given = {"retry_attempts": 1, "transport": transport, "max_answer_bytes": 100_000} | settings
    async with NexusClient(url, settings=quick(**given)) as client:
        with pytest.raises(NexusError) as caught:
            await client.read("/a")
    return caught.value


def answering(answer: bytes):
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        await reader.read()

    return handle


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_small_answer_that_unpacks_to_a_large_one_is_not_unpacked(transport: str) -> None:
    """Kilobytes of gzip hold gigabytes: what is unpacked is counted as it is unpacked."""
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < 100_000
    async with raw_server(answering(http_answer(bomb, headers=GZIP))) as url:
        error = await failing(url, transport)
    assert error.reason is Reason.OVERSIZED
    assert error.disposition is Disposition.AMBIGUOUS
    assert "NEXUS_MAX_ANSWER_BYTES" in str(error)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "deflate", "zstd", "gzip, identity"])
async def test_an_encoding_that_was_not_asked_for_is_not_unpacked(
    transport: str, encoding: str
) -> None:
    """One encoding, once: what is packed twice would unpack twice as far."""
    packed = gzip.compress(gzip.compress(b"{}"))
    answer = http_answer(packed, headers=[f"content-encoding: {encoding}"])
    async with raw_server(answering(answer)) as url:
        error = await failing(url, transport)
    assert error.reason is Reason.UNREADABLE


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("cut", [1, 10])
async def test_half_a_packed_answer_is_no_answer(transport: str, cut: int) -> None:
    """Though its length is the one that was announced."""
    packed = gzip.compress(b'{"jsonrpc":"2.0","id":1,"result":{"exists":true}}')[:-cut]
    async with raw_server(answering(http_answer(packed, headers=GZIP))) as url:
        error = await failing(url, transport)
    assert error.reason is Reason.UNREADABLE


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_packed_answer_is_understood(transport: str) -> None:
    """As one that is not."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        body = found_for(request).partition(b"\r\n\r\n")[2]
        writer.write(http_answer(gzip.compress(body), headers=GZIP))

    async with (
        raw_server(handle) as url,
        NexusClient(url, settings=quick(transport=transport)) as client,
    ):
        assert await client.exists("/a") is True


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_endless_body_is_given_up_at_its_bound(transport: str) -> None:
    """Not at the end of the time, with all the memory gone."""
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            sent += 0x10000
            await writer.drain()

    async with raw_server(endless) as url:
        error = await failing(url, transport, request_timeout=20)
    assert error.reason is Reason.OVERSIZED
    assert sent < 20_000_000


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_dripping_answer_takes_no_longer_than_a_request_may(transport: str) -> None:
    """A byte now and then is not an answer in time."""

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw_server(dripping) as url:
        began = time.monotonic()
        error = await failing(url, transport, request_timeout=0.3, connect_timeout=0.3)
    assert error.reason is Reason.TIMEOUT
    assert time.monotonic() - began < 5


async def test_who_queues_for_a_connection_is_told_that_there_was_none_in_time() -> None:
    """Nothing was sent, and that is said."""

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    settings = quick(max_connections=1, queue_timeout=0.2, request_timeout=5, retry_attempts=1)
    async with raw_server(silent) as url, NexusClient(url, settings=settings) as client:
        hanging = asyncio.create_task(client.read("/a"))
        await asyncio.sleep(0.05)
        with pytest.raises(NexusError) as caught:
            await client.write("/b", b"")
        hanging.cancel()
    assert caught.value.disposition is Disposition.NEVER_SENT
    assert caught.value.reason is Reason.OUT_OF_TIME
    assert "no connection was free for 0.2 s" in str(caught.value)


def pages_without_end() -> httpx.MockTransport:
    """A server whose listing has always one more page, of names that nobody has seen."""
    served = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal served
        await asyncio.sleep(0.01)
        served += 1
        asked = json.loads(request.content)
        number = asked["id"]
        if asked["method"] != "list":
            missing = {"code": -32000, "message": "File not found"}
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": number, "error": missing})
        names = [f"/zones/default/bounties/{served:09}.json"]
        page = {"files": names, "has_more": True, "next_cursor": names[-1]}
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": number, "result": page})

    return httpx.MockTransport(answer)


async def everything(client: NexusClient, how: str) -> None:
    store = NexusBountyStore(client, commit="conditional")
    if how == "walk":
        async for _ in client.walk("/zones/default/bounties"):
            pass
    elif how == "count":
        await store.count_bounties()
    else:
        async for _ in store.walk_ids(BountyStatus.OPEN):
            pass


@pytest.mark.parametrize("how", ["walk", "count", "walk_ids"])
async def test_a_listing_without_end_ends_by_the_time_that_it_may_take(how: str) -> None:
    """Each page is an answer in time; all of them together are not."""
    settings = quick(listing_timeout=0.3, operation_timeout=0.5)
    client = NexusClient("http://nexus", settings=settings, transport=pages_without_end())
    with pytest.raises(NexusError) as caught:
        await everything(client, how)
    assert caught.value.reason in (Reason.OUT_OF_TIME, Reason.TIMEOUT)
