"""`/healthz` and `/readyz`: alive is not the same as able to work."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from nexus_bounty import (
    BountyOperations,
    NexusBountyStore,
    NexusClaimStore,
    NexusContributionStore,
    small_server,
)
from nexus_bounty.cli.service import health as module
from nexus_bounty.cli.service.health import ServiceHealth, health_served
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.outcomes import PlainError
from tests.cli.program import started, until
from tests.cli.shell import Shell
from tests.support.clients import client_of


@pytest.fixture
def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def operations(mock: MockNexus | None = None) -> BountyOperations:
    """On a server and a ledger in this process."""
    client = client_of(mock or MockNexus("0.10-hypothetical"))
    return BountyOperations(
        NexusBountyStore(client),
        credits=MemoryCredits(),
        claims=NexusClaimStore(client),
        contributions=NexusContributionStore(client),
    )


def asked(port: int, path: str) -> tuple[int, dict[str, object]]:
    answer = httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)
    return answer.status_code, answer.json()


def is_up(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def test_a_watching_reconciler_says_whether_it_can_work(
    free_port: int, mock: MockNexus, environment: dict[str, str]
) -> None:
    """It is alive while Nexus is not, and tells how its runs went."""
    where = f"127.0.0.1:{free_port}"
    with started("reconcile", "--watch", "--health", where, env=environment):
        until(lambda: is_up(free_port))
        until(lambda: "lastSuccessAt" in asked(free_port, "/readyz")[1])
        assert asked(free_port, "/healthz") == (200, {"alive": True})
        until(lambda: asked(free_port, "/readyz")[1]["runs"] == 1)
        mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("read"), times=None))
        until(lambda: asked(free_port, "/readyz")[0] == 503)
        assert asked(free_port, "/readyz")[1]["ready"] is False
        assert asked(free_port, "/healthz")[0] == 200
        assert asked(free_port, "/metrics")[0] == 404


async def test_a_loop_that_is_stuck_is_not_alive(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever supervises it starts it anew then."""
    monkeypatch.setattr(module, "LOOP_SECONDS", 0.05)
    async with health_served(("127.0.0.1", free_port), ServiceHealth(operations())):
        answer = asyncio.get_running_loop().run_in_executor(None, asked, free_port, "/healthz")
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - what is tested
        assert (await answer)[0] == 503
        assert (await asyncio.to_thread(asked, free_port, "/healthz"))[0] == 200
    assert not is_up(free_port)


async def test_whoever_asks_often_does_not_keep_the_server_busy() -> None:
    """Nobody has to be known to ask: one look does for all in the same moment."""
    once, often = MockNexus("0.10-hypothetical"), MockNexus("0.10-hypothetical")
    assert (await ServiceHealth(operations(once)).answer("/readyz"))[0] == 200
    health = ServiceHealth(operations(often))
    answers = await asyncio.gather(*(health.answer("/readyz") for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert often.request_count == once.request_count


@asynccontextmanager
async def half_asked(port: int) -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which the half of a request has been sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nX-")
    await writer.drain()
    yield reader
    writer.close()


async def test_whoever_takes_too_long_to_ask_is_let_go(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also who goes on sending, a sign at a time."""
    monkeypatch.setattr(small_server, "CONNECTION_SECONDS", 0.2)
    async with (
        health_served(("127.0.0.1", free_port), ServiceHealth(operations())),
        half_asked(free_port) as reader,
    ):
        assert await asyncio.wait_for(reader.read(), 4) == b""


async def test_whoever_holds_many_connections_does_not_keep_others_out(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it take all the files that the process may open."""
    monkeypatch.setattr(small_server, "MOST_CONNECTIONS", 3)
    async with (
        health_served(("127.0.0.1", free_port), ServiceHealth(operations())),
        AsyncExitStack() as stack,
    ):
        held = [await stack.enter_async_context(half_asked(free_port)) for _ in range(6)]
        assert (await asyncio.to_thread(asked, free_port, "/healthz"))[0] == 200
        for reader in held[:3]:
            assert await asyncio.wait_for(reader.read(), 4) == b""


async def test_whoever_goes_before_the_answer_is_not_in_the_log(
    free_port: int, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A traceback on standard error, which is no line of the log."""
    async with health_served(("127.0.0.1", free_port), ServiceHealth(operations())):
        with socket.create_connection(("127.0.0.1", free_port)) as gone:
            gone.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.sleep(0.2)
    assert (capsys.readouterr().err, caplog.text) == ("", "")


async def test_a_bug_is_in_the_log(
    free_port: int, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """As one record, which a JSON log keeps together."""
    health = ServiceHealth(operations(), lambda: {"bug": object()})
    async with health_served(("127.0.0.1", free_port), health):
        with pytest.raises(httpx.HTTPError):
            await asyncio.to_thread(asked, free_port, "/readyz")
    assert capsys.readouterr().err == ""
    assert [each.exc_info is not None for each in caplog.records] == [True]


async def test_a_port_that_is_taken_is_said_plainly() -> None:
    """Before anything is begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PlainError, match="cannot be listened on"):
            async with health_served(("127.0.0.1", port), ServiceHealth(operations())):
                pass


@pytest.mark.parametrize("where", ["here", "127.0.0.1:0", "127.0.0.1:65536", "[::1]"])
def test_what_is_no_address_is_wrong_usage(shell: Shell, mock: MockNexus, where: str) -> None:
    """Nothing is sent."""
    assert shell("reconcile", "--watch", "--health", where).code == 2
    assert mock.request_count == 0
