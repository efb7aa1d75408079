"""Nothing costs a client its connections for good: a cancel, a loss, a fork, another loop."""

from __future__ import annotations

import asyncio
import pickle
import threading
from random import Random

import pytest

from nexus_bounty import CommitUnknownError, NexusBountyStore, OutcomeError
from nexus_bounty.mock import MockNexus, running
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.shielding import to_its_end
from nexus_bounty.sync import ClosedError, SyncNexusClient
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty_sqlite import SqliteCredits
from tests.support.clients import quick
from tests.support.forks import in_a_fork
from tests.support.served import served
from tests.support.sockets import Handler, found_for, raw_server, read_request

TRANSPORTS = ["httpx", "aiohttp"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_cancelled_requests_cost_no_capacity(transport: str) -> None:
    """Seventy rounds of three unlucky reads, and a pool of four still serves everybody."""
    random = Random(1)
    settings = quick(max_connections=4, transport=transport, request_timeout=5)
    async with running(MockNexus()) as url, NexusClient(url, settings=settings) as client:
        for _ in range(70):
            reads = [asyncio.create_task(client.read(f"/{number}")) for number in range(3)]
            await asyncio.sleep(random.random() * 0.004)
            for each in reads:
                each.cancel()
            await asyncio.wait(reads)
        async with asyncio.timeout(10):
            await asyncio.gather(*(client.exists(f"/{number}") for number in range(16)))


def dropping_the_second_request() -> Handler:
    """A server (or a proxy) that answers the first request of each connection, and no other."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        writer.write(found_for(request))
        await writer.drain()
        await read_request(reader)  # taken, perhaps carried out, never answered

    return handle


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_after_a_lost_answer_requests_go_on_fresh_connections(transport: str) -> None:
    """Or every second request would be lost for ever."""
    settings = quick(transport=transport, retry_attempts=2)
    async with (
        raw_server(dropping_the_second_request()) as url,
        NexusClient(url, settings=settings) as client,
    ):
        assert await client.exists("/first") is True
        for number in range(10):
            assert await client.exists(f"/{number}") is True
        assert client.requests_sent == 12  # one was lost


async def test_closing_goes_on_however_often_it_is_cancelled() -> None:
    """Nobody could close the rest a second time."""
    steps: list[str] = []

    async def closing() -> str:
        for name in ("first", "second", "third"):
            await asyncio.sleep(0.01)
            steps.append(name)
        return "closed"

    task = asyncio.create_task(to_its_end(closing()))
    for _ in range(2):
        await asyncio.sleep(0.012)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["first", "second", "third"]
    assert await to_its_end(closing()) == "closed"


async def test_an_error_of_closing_is_raised() -> None:
    """Even if a cancellation came first, there is one of the two."""

    async def failing() -> None:
        await asyncio.sleep(0)
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await to_its_end(failing())


def test_a_client_in_a_second_event_loop_is_refused_in_plain_words() -> None:
    """Its connections belong to the first one; nothing is sent."""
    mock = MockNexus()
    client = NexusClient("http://nexus", transport=mock.transport())
    assert asyncio.run(client.exists("/a")) is False
    with pytest.raises(NexusError) as caught:
        asyncio.run(client.write("/a", b""))
    assert caught.value.disposition is Disposition.NEVER_SENT
    assert caught.value.reason is Reason.OTHER_LOOP
    assert "make one for each loop" in str(caught.value)
    assert mock.request_count == 1


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_from_before_a_fork_refuses_to_work_and_leaves_the_connections_alone(
    transport: str,
) -> None:
    """In the very same event loop, too: two processes would read each other's answers."""
    settings = quick(transport=transport, retry_attempts=1)
    mock = MockNexus()
    with served(mock) as url, asyncio.Runner() as runner:
        client = NexusClient(url, settings=settings)
        assert runner.run(client.exists("/a")) is False
        for loop in (runner.get_loop(), asyncio.new_event_loop()):
            run = loop.run_until_complete
            said = in_a_fork(lambda run=run: run(client.exists("/a")))
            assert "never_sent" in said
            assert "before a fork" in said
            assert in_a_fork(lambda run=run: run(client.close())) == "None"
        loop.close()
        assert runner.run(client.exists("/a")) is False
        runner.run(client.close())
    assert mock.request_count == 2


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_closing_a_client_in_another_event_loop_is_no_error(transport: str) -> None:
    """It would take the place of the verdict that somebody is about to be told."""
    with served(MockNexus()) as url, asyncio.Runner() as runner:
        client = NexusClient(url, settings=quick(transport=transport))
        runner.run(client.exists("/a"))
        asyncio.run(client.close())
        with pytest.raises(NexusError):
            runner.run(client.exists("/a"))
        runner.run(client.close())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_sync_face_refuses_to_work_in_a_forked_process() -> None:
    """Its background thread is not there: it would wait for ever."""
    with SyncNexusClient("http://127.0.0.1:9", settings=quick(retry_attempts=1)) as client:
        said = in_a_fork(lambda: client.exists("/a"))
    assert said.startswith(ClosedError.__name__)
    assert "fork" in said


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_ledger_refuses_to_work_in_a_forked_process(tmp_path) -> None:
    """SQLite's connections must not be carried across a fork."""
    ledger = SqliteCredits(tmp_path / "ledger.db")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ledger.top_up("t", account="alice", amount=1))
    said = in_a_fork(lambda: asyncio.run(ledger.top_up("u", account="alice", amount=1)))
    assert said.startswith("PaymentError")
    assert "fork" in said
    assert loop.run_until_complete(ledger.balance("alice")).available == 1
    loop.run_until_complete(ledger.close())
    loop.close()


class OnlyKeywordsError(Exception):
    """As some SDKs raise them."""

    def __init__(self, *, response: object) -> None:
        super().__init__("an error of an SDK")
        self.response = response


class LockHoldingError(Exception):
    def __init__(self) -> None:
        super().__init__("an error that holds a lock")
        self.lock = threading.Lock()


@pytest.mark.parametrize("cause", [OnlyKeywordsError(response=1), LockHoldingError()], ids=repr)
def test_an_error_crosses_processes_whatever_caused_it(cause: Exception) -> None:
    """A pool that died of an error's cause would take the verdict with it."""
    error = CommitUnknownError("no answer came", operation="claim_bounty", idempotency_key="k")
    error.__cause__ = cause
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, CommitUnknownError)
    assert again.idempotency_key == "k"
    assert type(cause).__name__ in str(again.__cause__)


async def test_a_store_on_a_server_that_drops_every_second_request_commits() -> None:
    """Every write was unknown there."""
    mock = MockNexus()
    async with running(mock) as behind, raw_server(one_each(behind)) as url:
        for transport in TRANSPORTS:
            settings = quick(transport=transport, retry_attempts=8)
            async with NexusClient(url, settings=settings) as client:
                store = NexusBountyStore(client, commit="conditional")
                bounty = make_bounty(bounty_id=f"b-{transport}")
                try:
                    await store.create_bounty(bounty, idempotency_key=transport)
                except OutcomeError as error:
                    raise AssertionError(str(error)) from error


def one_each(url: str) -> Handler:
    """A proxy to `url` that answers one request a connection."""
    host, _, port = url.removeprefix("http://").partition(":")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        on, back = await asyncio.open_connection(host, int(port))
        back.write(request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
        answer = await on.read()
        back.close()
        writer.write(answer.replace(b"connection: close\r\n", b"", 1))
        await writer.drain()
        await read_request(reader)

    return handle
