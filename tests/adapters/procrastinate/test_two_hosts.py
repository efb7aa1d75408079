"""Two hosts, each with agents and a worker: one is cut off in the middle of claims and settles.

The hosts are network namespaces, so this needs root and iproute2; where they cannot be made, the
test says so and is skipped: `pytest -m exhaustive tests/adapters/procrastinate/test_two_hosts.py`
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from nexus_bounty import (
    BountyOperations,
    BountyStatus,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    Reconciler,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.mock import MockNexus
from nexus_bounty.testing.builders import make_agent, make_bounty
from nexus_bounty_postgres import PostgresCredits
from tests.adapters.procrastinate.test_workers import free_port
from tests.cli.program import PROGRAM, until
from tests.support.served import served

HUB, NETWORK = "10.77.83.1", "10.77.83.{}"
ZONE, PRICE, FUNDS = "z", 10, 10**6
BOUNTIES = [f"b-{number:02}" for number in range(24)]
CUT_OFF_FOR = 8
"""Seconds: longer than an agent waits for an answer, and than a worker may be silent."""
FAR_AWAY = datetime(2100, 1, 1, tzinfo=UTC)
AGENTS = ("east-1", "east-2", "west-1", "west-2")


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Hosts:
    """A bridge here, and two namespaces that are linked to it."""

    def __init__(self) -> None:
        self.tag = uuid4().hex[:4]
        self.bridge = f"nb{self.tag}"

    def name(self, host: str) -> str:
        return f"nb{self.tag}-{host}"

    def make(self) -> None:
        ip("link", "add", self.bridge, "type", "bridge")
        ip("addr", "add", f"{HUB}/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        for number, host in enumerate(("east", "west"), start=2):
            here, there = f"{self.bridge}{host[0]}", f"{self.bridge}{host[0]}x"
            ip("netns", "add", self.name(host))
            ip("link", "add", here, "type", "veth", "peer", "name", there)
            ip("link", "set", there, "netns", self.name(host))
            ip("link", "set", here, "master", self.bridge, "up")
            inside = ("-n", self.name(host))
            ip(*inside, "addr", "add", f"{NETWORK.format(number)}/24", "dev", there)
            ip(*inside, "link", "set", there, "up")
            ip(*inside, "link", "set", "lo", "up")

    def cut(self, host: str, *, off: bool) -> None:
        """Drop whatever is sent to and from a host, without a word to anybody."""
        ip("link", "set", f"{self.bridge}{host[0]}", "down" if off else "up")

    def remove(self) -> None:
        for host in ("east", "west"):
            with contextlib.suppress(OSError):
                ip("netns", "del", self.name(host))
        with contextlib.suppress(OSError):
            ip("link", "del", self.bridge)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    made = Hosts()
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("two hosts need network namespaces: root, and `ip` of iproute2")
    try:
        made.make()
    except OSError as error:
        made.remove()
        pytest.skip(f"two hosts need network namespaces, which cannot be made here: {error}")
    try:
        yield made
    finally:
        made.remove()


@contextmanager
def forwarded(to_port: int) -> Iterator[int]:
    """A port of the hub that leads to one of the loopback, where the servers listen."""
    ready, port = threading.Event(), free_port()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", to_port)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async def serve() -> None:
        server = await asyncio.start_server(accept, HUB, port)
        stop.append((asyncio.get_running_loop(), asyncio.Event()))
        ready.set()
        await stop[0][1].wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield port
    finally:
        stop[0][0].call_soon_threadsafe(stop[0][1].set)
        thread.join()


async def post(server: str, ledger: str) -> None:
    async with PostgresCredits(ledger) as credit, NexusClient(server) as client:
        await credit.top_up("funds", account="alice", amount=FUNDS)
        operations = on(client, credit)
        for each in BOUNTIES:
            bounty = make_bounty(
                bounty_id=each, amount=PRICE, creator=make_agent("alice"), deadline=FAR_AWAY
            )
            await operations.create(bounty, idempotency_key=f"post-{each}")


def on(client: NexusClient, credit: PostgresCredits) -> BountyOperations:
    return BountyOperations(
        NexusBountyStore(client, ZONE, commit="conditional"),
        credits=credit,
        claims=NexusClaimStore(client, ZONE, commit="conditional"),
        contributions=MemoryContributionStore([]),
    )


async def standing(server: str, ledger: str) -> tuple[dict[str, str | None], dict[str, int]]:
    """Who was paid for each bounty that is settled, and what each account has, once all is well."""
    async with PostgresCredits(ledger) as credit, NexusClient(server) as client:
        reconciler = Reconciler(on(client, credit))
        await reconciler.run_once()
        last = await Reconciler(on(client, credit), dry_run=True).run_once()
        assert (last.found, last.errors) == (0, [])
        assert (await credit.verify()).ok
        paid = {
            bounty.bounty_id: bounty.claimed_by.agent_id if bounty.claimed_by else None
            async for bounty in on(client, credit).services.store.walk_bounties()
            if bounty.status is BountyStatus.SETTLED
        }
        accounts = ("alice", *AGENTS)
        balances = {each: await credit.balance(each) for each in accounts}
        assert await credit.total() == FUNDS
        return paid, {name: each.available + each.reserved for name, each in balances.items()}


@pytest.mark.exhaustive
def test_a_host_that_is_cut_off_in_the_middle_costs_no_credit_and_no_bounty_two_winners(
    hosts: Hosts, jobs_url: str
) -> None:
    """Whoever was told that it was paid has the credits, and nobody else has."""
    mock = MockNexus("0.10-hypothetical", log_limit=10)
    with ExitStack() as stack:
        server = stack.enter_context(served(mock))
        asyncio.run(post(server, jobs_url))
        nexus = stack.enter_context(forwarded(int(server.rpartition(":")[2])))
        database_port = int(jobs_url.rpartition(":")[2].partition("/")[0])
        postgres = stack.enter_context(forwarded(database_port))
        seen = (
            f"http://{HUB}:{nexus}",
            jobs_url.replace(f"127.0.0.1:{database_port}", f"{HUB}:{postgres}"),
        )

        def start(host: str, *command: str) -> subprocess.Popen[str]:
            inside = ["ip", "netns", "exec", hosts.name(host), *command]
            process = subprocess.Popen(inside, stdout=subprocess.PIPE, text=True)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        for host in ("east", "west"):
            where = ("--zones", ZONE, "--url", seen[0], "--credits", seen[1])
            how = ("--commit", "conditional", "--every", "1s", "--dead-after", "2s")
            start(host, *PROGRAM, "worker", *where, *how)
        program = [sys.executable, "-m", "tests.adapters.procrastinate.agent"]
        agents = {
            each: start(each.partition("-")[0], *program, each, *seen, ZONE, json.dumps(BOUNTIES))
            for each in AGENTS
        }
        said: dict[str, list[list[str]]] = {each: [] for each in AGENTS}
        readers = [
            threading.Thread(
                target=lambda name=name, process=process: said[name].extend(
                    json.loads(line) for line in process.stdout or ()
                )
            )
            for name, process in agents.items()
        ]
        for reader in readers:
            reader.start()
        until(lambda: said["west-1"], seconds=60)
        hosts.cut("west", off=True)
        before = sum(map(len, said.values()))
        time.sleep(CUT_OFF_FOR)
        meanwhile = {name: len(each) for name, each in said.items()}
        hosts.cut("west", off=False)
        for process in agents.values():
            process.wait(120)
        for reader in readers:
            reader.join()
        paid, has = asyncio.run(standing(server, jobs_url))
    assert before < len(AGENTS) * len(BOUNTIES)
    assert meanwhile["west-1"] < len(BOUNTIES)
    winners = {
        bounty_id: [name for name, each in said.items() if [bounty_id, "done", "done"] in each]
        for bounty_id in BOUNTIES
    }
    nobody: dict[str, list[str]] = {
        bounty_id: [] for bounty_id in BOUNTIES if bounty_id not in paid
    }
    assert winners == {bounty_id: [agent] for bounty_id, agent in paid.items()} | nobody
    assert len(paid) > len(BOUNTIES) // 2  # one that was given up while cut off stays open
    assert has == {
        "alice": FUNDS - PRICE * len(paid),
        **{each: PRICE * list(paid.values()).count(each) for each in AGENTS},
    }
