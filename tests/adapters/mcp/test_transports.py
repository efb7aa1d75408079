"""The program itself, on stdio and by HTTP, while answers of Nexus are lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.cli.service.health import READY_LASTS
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.mock.personality import Release
from nexus_bounty.registry import open_credits
from nexus_bounty.sync import SyncCreditsService
from tests.adapters.mcp.office import POST, Agent
from tests.cli.program import PROGRAM, run
from tests.cli.shell import Shell
from tests.support.served import served

if TYPE_CHECKING:
    from mcp import Client

pytestmark = pytest.mark.thorough

Serving = tuple[str, subprocess.Popen[str]]
TOKENS = {"alice": "alice-0123456789abcdef", "bob": "bob-0123456789abcdef"}
LOST = [
    Fault(kind, match=RequestMatch("write", "*/bounties/*.json", nth=nth))
    for nth, kind in enumerate((FaultKind.DROP_AFTER, FaultKind.GARBAGE, FaultKind.TRUNCATE), 1)
]
"""The answers to three commits in a row."""


@pytest.fixture
def mock() -> MockNexus:
    return MockNexus(Release.HYPOTHETICAL, faults=LOST)


@pytest.fixture
def environment(mock: MockNexus, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where everything is; alice has 1,000 credits."""
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    with SyncCreditsService(open_credits(ledger)) as credit:
        credit.top_up("funds", account="alice", amount=1000)
    with served(mock) as url:
        yield {
            "NEXUS_URL": url,
            "NEXUS_BOUNTY_CREDITS": ledger,
            "NEXUS_BOUNTY_COMMIT": "conditional",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps(TOKENS))
    file.chmod(0o600)
    return file


async def live(alice: Agent, bob: Agent) -> None:
    """Post, claim, deliver and settle."""
    bounty_id = (await alice("bounty_create", **POST))["bounty"]["bountyId"]
    assert (await bob("bounty_claim", bounty_id=bounty_id))["outcome"] == "committed"
    work = (await bob("bounty_deliver", summary="Sorted"))["contributionCid"]
    settle = {"bounty_id": bounty_id, "contribution_cid": work}
    assert (await alice("bounty_settle", **settle))["outcome"] == "committed"
    assert (await bob("bounty_balance"))["available"] == 100
    assert (await alice("bounty_settle", **settle))["outcome"] == "committed"
    assert await alice("bounty_balance") == {"account": "alice", "available": 900, "reserved": 0}


def on_stdio(agent: str, environment: Mapping[str, str]) -> Client:
    from mcp import Client, StdioServerParameters  # only here: they take a second to import

    program = StdioServerParameters(
        command=PROGRAM[0],
        args=[*PROGRAM[1:], "mcp", "--agent", agent],
        env={**environment, "PATH": os.environ["PATH"]},
    )
    return Client(program)


@pytest.mark.thorough
async def test_two_agents_on_stdio_live_a_bounty_while_answers_are_lost(
    environment: dict[str, str], mock: MockNexus
) -> None:
    """Each with a process of its own, as hosts start them."""
    async with AsyncExitStack() as stack:
        alice, bob = [
            Agent(await stack.enter_async_context(on_stdio(each, environment))) for each in TOKENS
        ]
        await live(alice, bob)
    assert [each.fault for each in mock.requests if each.fault] == LOST


async def by_token(stack: AsyncExitStack, url: str, token: str) -> Agent:
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    headers = {"Authorization": f"Bearer {token}"}
    http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=30))
    transport = streamable_http_client(url, http_client=http)
    return Agent(await stack.enter_async_context(Client(transport)))


@pytest.fixture
def http_server(environment: dict[str, str], tokens: Path) -> Iterator[Serving]:
    """The program, serving HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*PROGRAM, "mcp", "--http", "--port", str(port), "--tokens", str(tokens)]
    with subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}/mcp", process
        finally:
            process.kill()


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate()[1])


@pytest.mark.thorough
async def test_two_agents_by_http_live_a_bounty_while_answers_are_lost(
    http_server: Serving, mock: MockNexus
) -> None:
    """One process serves both, each known by its token, their calls side by side."""
    url, process = http_server
    async with AsyncExitStack() as stack:
        alice, bob = [await by_token(stack, url, token) for token in TOKENS.values()]
        await live(alice, bob)
    assert [each.fault for each in mock.requests if each.fault] == LOST
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


async def test_http_serves_nobody_without_a_token_of_its_own(
    http_server: Serving,
) -> None:
    """Nor under a name that is not its own, as DNS rebinding would have it."""
    url, _ = http_server
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    known = {"Authorization": f"Bearer {TOKENS['alice']}"}
    accept = {"Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(headers=accept) as http:
        assert (await http.post(url, json=call)).status_code == 401
        wrong = {"Authorization": "Bearer alice-0123456789abcdeF"}
        assert (await http.post(url, json=call, headers=wrong)).status_code == 401
        elsewhere = {**known, "Host": "evil.example"}
        assert (await http.post(url, json=call, headers=elsewhere)).status_code in (403, 421)


async def test_it_says_whether_it_is_alive_and_whether_it_can_work(
    http_server: Serving, mock: MockNexus
) -> None:
    """To whoever starts and stops services, and knows no token."""
    base = http_server[0].removesuffix("/mcp")
    async with httpx2.AsyncClient() as http:
        assert (await http.get(f"{base}/healthz")).json() == {"alive": True}
        assert (await http.get(f"{base}/readyz")).json() == {"ready": True}
        mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("read"), times=None))
        await asyncio.sleep(READY_LASTS)
        unready = await http.get(f"{base}/readyz")
        assert (unready.status_code, unready.json()["ready"]) == (503, False)
        assert (await http.get(f"{base}/healthz")).status_code == 200


SLOW = Fault(FaultKind.DELAY, seconds=1, match=RequestMatch("write", "*/bounties/*.json"))


async def test_sigterm_in_the_middle_of_a_call_lets_it_end(
    http_server: Serving, mock: MockNexus
) -> None:
    """By HTTP its answer still arrives; then the program ends."""
    url, process = http_server
    mock.clear_faults()
    mock.inject(SLOW)
    said: list[str] = []
    with suppress(httpx2.TransportError, ExceptionGroup):  # it is gone when the client says goodbye
        async with AsyncExitStack() as stack:
            alice = await by_token(stack, url, TOKENS["alice"])
            await alice.client.list_tools()  # which the client looks at to understand an answer
            call = asyncio.ensure_future(alice("bounty_create", **POST))
            await _is_committing(mock)
            process.send_signal(signal.SIGTERM)
            said.append((await call)["outcome"])
    assert said == ["committed"]
    assert await asyncio.to_thread(process.wait, 20) == 0


async def test_by_http_a_second_signal_cuts_a_call_short_and_the_exit_code_says_so(
    http_server: Serving, mock: MockNexus
) -> None:
    """Its caller gets no answer; the same call finishes it."""
    url, process = http_server
    mock.clear_faults()
    mock.inject(Fault(FaultKind.DELAY, seconds=60, match=RequestMatch("write", "*.json")))
    with suppress(httpx2.TransportError, ExceptionGroup):
        async with AsyncExitStack() as stack:
            alice = await by_token(stack, url, TOKENS["alice"])
            await alice.client.list_tools()
            call = asyncio.ensure_future(alice("bounty_create", **POST))
            await _is_committing(mock)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)  # another, as two of a kind may be taken for one
            assert await asyncio.to_thread(process.wait, 20) == ExitCode.STOPPED_MIDWAY
            call.cancel()
    assert process.poll() is not None


async def _is_committing(mock: MockNexus) -> None:
    async with asyncio.timeout(20):
        while not any(each.fault for each in mock.requests):  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.01)


@contextmanager
def raw(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The program on stdio, greeted, without a client that would miss it."""
    with subprocess.Popen(
        [*PROGRAM, "mcp", "--agent", "alice"],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        hello = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "a test", "version": "1"},
        }
        _say(process, {"id": 1, "method": "initialize", "params": hello})
        answered = json.loads(process.stdout.readline())
        assert answered["result"]["serverInfo"]["name"] == "nexus-bounty"
        _say(process, {"method": "notifications/initialized"})
        yield process


def _say(process: subprocess.Popen[str], message: dict[str, object]) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{json.dumps({'jsonrpc': '2.0', **message})}\n")
    process.stdin.flush()


CREATE = {"name": "bounty_create", "arguments": POST}


@pytest.mark.thorough
async def test_sigterm_in_the_middle_of_a_call_on_stdio_lets_it_end(
    environment: dict[str, str], mock: MockNexus
) -> None:
    """Its answer still arrives; then the program ends, though its input is open."""
    mock.clear_faults()
    mock.inject(SLOW)
    with raw(environment) as process:
        _say(process, {"id": 2, "method": "tools/call", "params": CREATE})
        await _is_committing(mock)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        answered = json.loads(await asyncio.to_thread(process.stdout.readline))
        assert answered["result"]["structuredContent"]["outcome"] == "committed"
        assert await asyncio.to_thread(process.wait, 20) == 0


@pytest.mark.thorough
async def test_a_call_that_a_stopped_process_was_at_is_finished_by_the_next(
    environment: dict[str, str], mock: MockNexus
) -> None:
    """It was told twice to stop. The key follows from the call, so that nothing is done twice."""
    mock.clear_faults()
    mock.inject(SLOW)
    with raw(environment) as process:
        _say(process, {"id": 2, "method": "tools/call", "params": CREATE})
        await _is_committing(mock)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == ExitCode.STOPPED_MIDWAY
        rest, errors = process.communicate(timeout=20)
    assert "committed" not in rest
    assert "it may have happened" in " ".join(errors.split())
    async with on_stdio("alice", environment) as client:
        alice = Agent(client)
        again = await alice("bounty_create", **POST)
        assert (again["outcome"], again["bounty"]["status"]) == ("committed", "open")
        money = {"account": "alice", "available": 900, "reserved": 100}
        assert await alice("bounty_balance") == money
        assert len((await alice("bounty_list"))["bounties"]) == 1


def test_stdio_ends_at_once_on_sigterm(environment: dict[str, str]) -> None:
    """Nothing is written to stdout that is not the protocol's."""
    with raw(environment) as process:
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_wrong_usage_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is served; no token is ever shown."""
    readable, broken, short = (tmp_path / name for name in ("readable", "broken", "short"))
    readable.write_text(json.dumps(TOKENS))
    readable.chmod(0o644)
    broken.write_text('{"alice": "alice-0123456789abcdef"')
    short.write_text('{"alice": "short"}')
    for file in (broken, short):
        file.chmod(0o600)
    tries: list[tuple[list[object], str]] = [
        (["mcp"], "--agent"),
        (["mcp", "--http"], "--tokens"),
        (["mcp", "--http", "--tokens", tmp_path / "none"], "cannot be read"),
        (["mcp", "--http", "--tokens", readable], "chmod 600"),
        (["mcp", "--http", "--tokens", broken], "must be JSON"),
        (["mcp", "--http", "--tokens", short], "at least 16"),
        (["mcp", "--agent", " "], "agent"),
        (["mcp", "--agent", "alice", "--window", "soon"], "--window"),
    ]
    shell = Shell(monkeypatch, capsys, {})
    for arguments, said in tries:
        ended = shell(*arguments)
        assert (ended.code, ended.out) == (2, ""), (arguments, ended.err)
        assert said in ended.err
        assert "0123456789" not in ended.err


@pytest.mark.thorough
def test_without_its_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    """It is listed all the same."""
    (tmp_path / "mcp.py").write_text("raise ModuleNotFoundError('no mcp', name='mcp')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ended = run("mcp", "--agent", "alice", env={"PYTHONPATH": path})
    assert "pip install 'nexus-bounty[mcp]'" in ended.stderr
    assert ended.returncode == 1
    assert "mcp" in run("--help", env={"PYTHONPATH": path}).stdout


def test_the_agent_that_is_served_is_named_as_its_account_is(tmp_path: Path) -> None:
    """However a keyboard stores the accents of its id."""
    from nexus_bounty_mcp import command  # only here: the SDK takes a second to import
    from nexus_bounty_mcp.callers import OneCaller, TokenCallers

    file = tmp_path / "secret"
    file.write_text('{"jose\u0301": "jose-0123456789abcdef"}')
    file.chmod(0o600)
    alone = command._callers("jose\u0301", None, http=False)
    known = command._callers(None, file, http=True)
    assert isinstance(alone, OneCaller)
    assert isinstance(known, TokenCallers)
    assert alone._agent.agent_id == "jos\u00e9"
    assert [each.agent_id for _, each in known._agents] == ["jos\u00e9"]
