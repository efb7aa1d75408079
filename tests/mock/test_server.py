"""The mock over real sockets: faults happen to the connection itself."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
import pytest

from nexus_bounty.mock import Fault, FaultKind, MockNexus, running
from nexus_bounty.mock.server import ServerExtraMissingError, run_server, serve
from tests.support.rpc import PATH, Rpc

ON_THE_WIRE = {
    FaultKind.REFUSE: ("ReadError", 0),
    FaultKind.DROP_BEFORE: ("RemoteProtocolError", 0),
    FaultKind.DROP_AFTER: ("RemoteProtocolError", 1),
    FaultKind.TIMEOUT_BEFORE: ("ReadTimeout", 0),
    FaultKind.TIMEOUT_AFTER: ("ReadTimeout", 1),
    FaultKind.TRUNCATE: ("RemoteProtocolError", 1),
    FaultKind.GARBAGE: ("garbage", 1),
    FaultKind.STATUS_AFTER: ("503", 1),
}


@pytest.mark.parametrize("kind", ON_THE_WIRE)
async def test_a_fault_happens_on_the_wire(kind: FaultKind) -> None:
    """A reset stands in for a refusal, which a listening socket cannot give to one request."""
    outcome, applied = ON_THE_WIRE[kind]
    mock = MockNexus(faults=[Fault(kind)])
    timeout = 0.5 if outcome == "ReadTimeout" else 10
    async with running(mock) as url, httpx.AsyncClient(base_url=url, timeout=timeout) as client:
        rpc = Rpc(client)
        assert await rpc.outcome("write", path=PATH, content="x") == outcome
        assert len(mock.log) == applied
        assert await rpc.outcome("exists", path=PATH) == "ok"


async def test_a_dropped_connection_ends_without_a_single_byte() -> None:
    """Seen from a bare socket."""
    assert await _bytes_until_closed(FaultKind.DROP_AFTER) == b""


async def test_a_truncated_response_promises_more_than_it_brings() -> None:
    """Fewer bytes than its content length."""
    head, _, body = (await _bytes_until_closed(FaultKind.TRUNCATE)).partition(b"\r\n\r\n")
    promised = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    assert 0 < len(body) < promised


async def _bytes_until_closed(kind: FaultKind) -> bytes:
    mock = MockNexus(faults=[Fault(kind)])
    async with running(mock) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /health HTTP/1.1\r\nHost: nexus\r\n\r\n")
        got = await asyncio.wait_for(reader.read(), 2)
        writer.close()
        await writer.wait_closed()
    return got


async def test_a_stop_does_not_wait_for_requests_that_are_never_answered() -> None:
    """A silent request ends with its client; the server stops within its grace."""
    mock = MockNexus(faults=[Fault(FaultKind.TIMEOUT_AFTER)])
    loop = asyncio.get_running_loop()
    async with running(mock) as url, httpx.AsyncClient(base_url=url, timeout=0.05) as client:
        assert await Rpc(client).outcome("exists", path=PATH) == "ReadTimeout"
        started = loop.time()
    assert loop.time() - started < 3


async def test_the_oracle_can_be_read_over_http_and_is_not_counted() -> None:
    """For clients in other processes."""
    mock = MockNexus(faults=[Fault(FaultKind.LATE, lost="drop", after_requests=9)])
    async with running(mock) as url, httpx.AsyncClient(base_url=url) as client:
        rpc = Rpc(client)
        await rpc.outcome("write", path=PATH, content="x")
        assert (await client.get("/_mock/log")).json() == []
        assert (await client.post("/_mock/settle")).json() == {"applied": 1}
        (change,) = (await client.get("/_mock/log")).json()
        (request,) = (await client.get("/_mock/requests")).json()
        assert (change["path"], change["request_number"]) == (PATH, 1)
        assert "late-drop-9" in request
        assert (await client.post("/_mock/reset")).json() == {"request_count": 0}
    assert mock.request_count == 0


async def test_a_large_request_body_arrives_whole() -> None:
    """Bodies come in several pieces over a socket."""
    mock = MockNexus()
    async with running(mock) as url, httpx.AsyncClient(base_url=url) as client:
        assert await Rpc(client).outcome("write", path=PATH, content="x" * 500_000) == "ok"
    assert len(mock.read_file(PATH) or b"") == 500_000


async def test_without_uvicorn_serving_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ServerExtraMissingError, match=r"nexus-bounty\[mock\]"):
        await serve(MockNexus())


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_a_fault_rate_outside_0_to_1_is_refused_before_serving(rate: float) -> None:
    """Naming the value."""
    with pytest.raises(ValueError, match=str(rate)):
        run_server(0, fault_rate=rate)


def test_an_unknown_personality_is_refused_with_those_that_exist() -> None:
    """At construction, not at the first request."""
    with pytest.raises(ValueError, match=r"0\.5\.6, 0\.7\.0, 0\.9, .*0\.9\.26, 0\.10, 0\.10-hypo"):
        MockNexus("1.0")


async def test_run_server_serves_until_it_is_stopped() -> None:
    """In a process of its own, as the command line starts it."""
    code = "from nexus_bounty.mock.server import run_server as r; r(0, '0.7.0', log_level='info')"
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=root, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    seen = b""
    while b"running on" not in seen:
        seen = await asyncio.wait_for(process.stderr.readline(), 20)
    url = next(word for word in seen.decode().split() if word.startswith("http://"))
    async with httpx.AsyncClient(base_url=url) as client:
        assert await Rpc(client).outcome("write", path=PATH, content="x") == "ok"
    process.terminate()
    await asyncio.wait_for(process.communicate(), 10)
