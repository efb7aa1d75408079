"""The client on real sockets: refused, dripping, silent, broken, too few connections, closed."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest

from nexus_bounty.deadlines import Deadline
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch, running
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.never_sent import NotConnectedError
from nexus_bounty.nexus.client.settings import ConfigurationError
from tests.support.clients import client_of, quick, result_for
from tests.support.sockets import found_for, http_answer, raw_server, read_request
from tests.support.virtual import elapsed, virtual

TIME_TO_CONNECT = 0.4
"""Enough on a busy machine: what is not even sent has another verdict."""
FOUND = http_answer(b'{"jsonrpc":"2.0","id":1,"result":{"exists":true}}')


@pytest.fixture(autouse=True, params=["httpx", "aiohttp"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whatever carries the requests, the verdicts are the same."""
    monkeypatch.setenv("NEXUS_TRANSPORT", request.param)
    return str(request.param)


@contextmanager
def taking_at_most(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("call", ["write", "read"])
async def test_a_refused_connection_is_never_sent(call: str) -> None:
    """On a real port on which nobody listens; after every attempt."""
    async with NexusClient(f"http://127.0.0.1:{closed_port()}", settings=quick()) as client:
        with pytest.raises(NexusError) as caught:
            await (client.write("/a", b"") if call == "write" else client.read("/a"))
    assert caught.value.disposition is Disposition.NEVER_SENT
    assert caught.value.reason is Reason.NO_CONNECTION
    assert "NotConnectedError" in caught.value.detail
    assert client.requests_sent == 3


async def test_an_error_keeps_the_cause_that_a_traceback_shows() -> None:
    """What httpx said, and what the system said to it."""
    url = f"http://127.0.0.1:{closed_port()}"
    async with NexusClient(url, settings=quick(retry_attempts=1)) as client:
        with pytest.raises(NexusError) as caught:
            await client.read("/a")
    said = caught.value.__cause__
    assert isinstance(said, NotConnectedError)
    assert type(said.__cause__).__module__.partition(".")[0] in ("httpx", "aiohttp")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "no-scheme",
        "",
        "/path",
        "mailto:a@b",
    ],
)
async def test_a_url_of_no_server_is_never_sent_and_not_tried_twice(url: str) -> None:
    """A bad URL stays bad."""
    async with NexusClient(url, settings=quick()) as client:
        with pytest.raises(NexusError) as caught:
            await client.write("/a", b"", idempotent=True)
    assert caught.value.disposition is Disposition.NEVER_SENT
    assert caught.value.reason is Reason.BAD_URL
    assert client.requests_sent == 1


@pytest.mark.parametrize(
    "url", ["http://host:port", "http://[::1", "http://a\0b", "http://\ud800", "http://x\n"]
)
async def test_a_url_that_cannot_be_parsed_is_refused_before_anything_is_sent(url: str) -> None:
    """As the client is made, in words of its own, and without a word of the URL."""
    with pytest.raises(ConfigurationError, match=r"url is not the URL of a server") as caught:
        NexusClient(url, settings=quick())
    assert url not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_server_that_never_answers_is_left_at_the_deadline() -> None:
    """And the verdict is ambiguous: it had the request."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(silent) as url, NexusClient(url, settings=quick()) as client:
        with taking_at_most(5.0), pytest.raises(NexusError) as caught:
            await client.read("/a", deadline=Deadline.after(TIME_TO_CONNECT))
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert caught.value.reason is Reason.TIMEOUT


async def test_a_server_that_drips_is_left_at_the_deadline() -> None:
    """Though every single read is answered in time."""

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_server(dripping) as url, NexusClient(url, settings=quick()) as client:
        with taking_at_most(5.0), pytest.raises(NexusError) as caught:
            await client.write("/a", b"", deadline=Deadline.after(TIME_TO_CONNECT))
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert caught.value.reason is Reason.TIMEOUT


async def test_a_silent_server_takes_the_request_timeout_per_attempt() -> None:
    """The deadline is for all of them."""
    asked = 0

    async def silent_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        request = await read_request(reader)
        if asked == 1:
            await reader.read()
        writer.write(found_for(request))

    settings = quick(request_timeout=TIME_TO_CONNECT)
    async with raw_server(silent_once) as url, NexusClient(url, settings=settings) as client:
        with taking_at_most(5.0):
            assert await client.exists("/a") is True
    assert asked == 2


@pytest.mark.parametrize(
    "part", [b"", b"HTTP/1.1 200 OK\r\n", FOUND[:-10], b"\x16\x03\x01 this is no HTTP\r\n\r\n"]
)
async def test_an_answer_that_breaks_off_is_ambiguous(part: bytes) -> None:
    """Nothing, half a head, half a body, another protocol: the request was sent."""

    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(part)
        await writer.drain()

    async with raw_server(breaking) as url, NexusClient(url, settings=quick()) as client:
        with pytest.raises(NexusError) as caught:
            await client.write("/a", b"")
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert caught.value.reason is Reason.CONNECTION_LOST
    assert client.requests_sent == 1


@pytest.mark.parametrize("lines", [("3", "70"), ("70", "3"), ("3, 70",)], ids=", ".join)
async def test_a_header_that_is_there_twice_is_read_in_full(lines: Sequence[str]) -> None:
    """The server's and that of a proxy before it: the longer wait is the error's."""
    asked = "".join(f"Retry-After: {line}\r\n" for line in lines)
    answer = f"HTTP/1.1 429 No\r\n{asked}Content-Length: 2\r\n\r\n{{}}"

    async def limiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer.encode())
        await writer.drain()

    async with raw_server(limiting) as url, NexusClient(url, settings=quick()) as client:
        with pytest.raises(NexusError) as caught:
            await client.write("/a", b"")
    assert caught.value.retry_after == 70


async def test_an_answer_that_cannot_be_unpacked_is_ambiguous() -> None:
    """It says gzip and is not."""

    async def lying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http_answer(b"{}", headers=["content-encoding: gzip"]))
        await writer.drain()

    async with raw_server(lying) as url, NexusClient(url, settings=quick()) as client:
        with pytest.raises(NexusError) as caught:
            await client.write("/a", b"")
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert caught.value.reason is Reason.UNREADABLE


async def test_fifty_callers_share_two_connections_and_all_are_served() -> None:
    """Never a third connection, never an error: back-pressure, not failure."""
    open_now, most, connections = 0, 0, 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most, connections
        connections += 1
        try:
            while True:
                request = await read_request(reader)
                open_now += 1
                most = max(most, open_now)
                await asyncio.sleep(0.002)
                open_now -= 1
                writer.write(found_for(request))
        except asyncio.IncompleteReadError:
            return

    settings = quick(max_connections=2)
    async with raw_server(counting) as url, NexusClient(url, settings=settings) as client:
        found = await asyncio.gather(*(client.exists(f"/{number}") for number in range(50)))
    assert found == [True] * 50
    assert most == 2
    assert connections == 2
    assert client.requests_sent == 50


async def test_whoever_came_first_is_served_first() -> None:
    """Waiting for a connection is a queue."""
    mock = MockNexus("0.10")
    client = client_of(mock, max_connections=1)
    await asyncio.gather(*(client.exists(f"/{number}") for number in range(20)))
    assert [request.path for request in mock.requests] == [f"/{number}" for number in range(20)]


@virtual
async def test_waiting_for_a_connection_until_the_deadline_is_never_sent() -> None:
    """The server never heard of it."""
    slow = Fault(FaultKind.DELAY, seconds=3.0, match=RequestMatch(path="/slow"))
    mock = MockNexus("0.10", faults=[slow])
    client = client_of(mock, max_connections=1)
    holding = asyncio.create_task(client.read("/slow"))
    await asyncio.sleep(1.0)
    with pytest.raises(NexusError) as caught:
        await client.write("/a", b"", deadline=Deadline.after(0.5))
    assert elapsed() == pytest.approx(1.5)
    assert caught.value.disposition is Disposition.NEVER_SENT
    assert caught.value.reason is Reason.OUT_OF_TIME
    await holding
    assert [request.path for request in mock.requests] == ["/slow"]


async def test_cancelling_a_request_on_the_wire_frees_its_connection() -> None:
    """The next one goes through, on a socket too."""

    async def slow_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if b"/slow" in request:
                await reader.read()
            writer.write(found_for(request))

    settings = quick(max_connections=1)
    async with raw_server(slow_once) as url, NexusClient(url, settings=settings) as client:
        waiting = asyncio.create_task(client.exists("/slow"))
        await asyncio.sleep(0.05)
        with taking_at_most(5.0):
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await client.exists("/a") is True


async def test_a_hundred_cancelled_callers_leave_every_connection_free() -> None:
    """Wherever each of them was."""
    mock = MockNexus("0.10", faults=[Fault(FaultKind.DELAY, seconds=0.01, times=None)])
    client = client_of(mock, max_connections=2)
    for delay in (0.0, 0.001, 0.005, 0.02):
        calls = [asyncio.create_task(client.exists("/a")) for _ in range(25)]
        await asyncio.sleep(delay)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    mock.clear_faults()
    async with asyncio.timeout(10.0):
        await asyncio.gather(*(client.exists("/a") for _ in range(10)))
    await mock.settle()


async def test_a_closed_client_sends_nothing() -> None:
    """Every method says never sent; closing twice is allowed."""
    mock = MockNexus("0.10")
    async with client_of(mock) as client:
        await client.write("/a", b"")
    await client.close()
    sent = client.requests_sent
    for call in (
        client.read("/a"),
        client.write("/a", b""),
        client.delete("/a"),
        client.exists("/a"),
        client.list("/"),
        client.read_many(["/a", "/b"]),
        client.rename("/a", "/b"),
    ):
        with pytest.raises(NexusError) as caught:
            await call
        assert caught.value.disposition is Disposition.NEVER_SENT
        assert caught.value.reason is Reason.CLIENT_CLOSED
    assert client.requests_sent == sent
    assert mock.request_count == 1


@virtual
async def test_a_client_closed_while_a_call_waits_for_a_connection_sends_nothing() -> None:
    """The waiting call is never sent, and says so in the one error there is."""
    mock = MockNexus("0.10", faults=[Fault(FaultKind.DELAY, seconds=0.05)])
    client = client_of(mock, max_connections=1)
    holding = asyncio.create_task(client.read("/a"))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(client.write("/b", b""))
    await asyncio.sleep(0.01)
    await client.close()
    await holding
    with pytest.raises(NexusError) as caught:
        await waiting
    assert caught.value.reason is Reason.CLIENT_CLOSED


async def test_closing_while_a_write_is_on_the_wire_is_ambiguous() -> None:
    """The server may have it."""
    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await reader.read()

    async with raw_server(silent) as url:
        client = NexusClient(url, settings=quick())
        writing = asyncio.create_task(client.write("/a", b""))
        await arrived.wait()
        await client.close()
        with pytest.raises(NexusError) as caught:
            await writing
    assert caught.value.disposition is Disposition.AMBIGUOUS


async def test_a_served_mock_is_spoken_to_like_a_real_server() -> None:
    """Real HTTP: keep-alive, large bodies, many at once."""
    mock = MockNexus("0.10", api_key="sk-test")
    async with (
        running(mock) as url,
        NexusClient(url, api_key="sk-test", settings=quick(max_connections=4)) as client,
    ):
        big = bytes(range(256)) * 4000
        await asyncio.gather(*(client.write(f"/d/{n}", big) for n in range(8)))
        files = await client.read_many([f"/d/{n}" for n in range(8)])
        assert [file and file.content for file in files] == [big] * 8
        assert len(await client.list("/d")) == 8


async def test_a_trailing_slash_of_the_url_does_not_matter() -> None:
    """Nor does a path under which a proxy has put the server."""
    seen: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return result_for(request, {"exists": True})

    for url in ("http://host", "http://host/", "http://host/nexus", "http://host/nexus/"):
        async with NexusClient(url, transport=httpx.MockTransport(answer)) as client:
            await client.exists("/a")
    assert seen == ["http://host/api/nfs/exists"] * 2 + ["http://host/nexus/api/nfs/exists"] * 2


async def test_a_callers_own_transport_carries_every_request() -> None:
    """Such as one that adds a header or records."""

    class Recording(httpx.AsyncBaseTransport):
        def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
            self.inner = inner
            self.seen: list[str] = []
            self.closed = False

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.seen.append(request.url.path)
            return await self.inner.handle_async_request(request)

        async def aclose(self) -> None:
            self.closed = True

    transport = Recording(MockNexus("0.10").transport())
    async with NexusClient("http://nexus", transport=transport) as client:
        await client.write("/a", b"1")
        await client.list("/")
    assert transport.seen == ["/api/nfs/write", "/api/nfs/list"]
    assert transport.closed


async def test_a_mock_through_the_asgi_transport_of_httpx_works_too() -> None:
    """The mock is an ASGI app, and any ASGI app can be spoken to."""
    transport = httpx.ASGITransport(app=MockNexus("0.7.0"))
    async with NexusClient("http://nexus", transport=transport) as client:
        etag = await client.write("/a", b"1")
        file = await client.read("/a")
    assert file is not None
    assert file.etag == etag
