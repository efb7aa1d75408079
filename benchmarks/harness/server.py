"""A mock Nexus in a process of its own, met over loopback as a real server would be.

    with mock_server() as server:
        server.fill("bench", 1000)
        …                           # requests to server.url

Run as a module, this is the process: it prints its URL, then answers commands, one JSON a line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, Any

import msgspec

from benchmarks.harness import population
from nexus_bounty import AgentIdentity, Bounty, BountyCriteria, BountyStatus
from nexus_bounty.idempotency import EVIDENCE_KEY, SCHEMA
from nexus_bounty.mock import Fault, FaultKind, MockNexus, ReceivedRequest, running
from nexus_bounty.mock.plan import FaultPlan, FaultSource
from nexus_bounty.nexus.documents import paths
from nexus_bounty.nexus.documents.marker_layout import Layout, ZoneLayout
from nexus_bounty.nexus.documents.paths import ZonePaths

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FAR_AWAY = datetime(2100, 1, 1, tzinfo=UTC)
FAULTS = (
    FaultKind.REFUSE,
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
    FaultKind.TIMEOUT_BEFORE,
    FaultKind.TIMEOUT_AFTER,
    FaultKind.TRUNCATE,
    FaultKind.DUPLICATE_ECHO,
    FaultKind.GARBAGE,
    FaultKind.RPC_ERROR_BEFORE,
    FaultKind.RPC_ERROR_AFTER,
)
"""What a network and a server do; those that ask to wait are left out, as they measure the wait."""


def cores() -> tuple[set[int], set[int]]:
    """The cores of the server and those of its clients: apart, where there are two."""
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    every = sorted(os.sched_getaffinity(0))
    return {every[0]}, set(every[1:]) or {every[0]}


def pin(to: set[int]) -> None:
    """Keep this process on these cores, where the system can."""
    if to and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, to)


class Server:
    """A mock server in another process.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = str(self._read())

    def fill(self, zone: str, bounties: int, *, dated: bool = False) -> None:
        """Put that many open bounties into a zone, with their markers; no request is made.

        With `dated` as they are in a zone that is laid out by date; its verdict has to be pinned.
        """
        self._ask("fill", zone=zone, bounties=bounties, dated=dated)

    def populate(self, zone: str, at_rest: int, stuck: int, first: int = 0) -> None:
        """Put a zone's history into it, and as many that are stuck; see `population`."""
        self._ask("populate", zone=zone, at_rest=at_rest, stuck=stuck, first=first)

    def fail(self, rate: float, seed: int = 0) -> None:
        """From now on let that share of all requests fail, in one of `FAULTS`."""
        self._ask("fail", rate=rate, seed=seed)

    def clear(self) -> None:
        """Forget all files and records."""
        self._ask("clear")

    @property
    def requests(self) -> int:
        """How many requests it has received since the last `clear`."""
        return int(self._ask("requests"))

    @property
    def cpu_seconds(self) -> float:
        """How much processor time it has used."""
        return float(self._ask("cpu_seconds"))

    def _ask(self, command: str, **parameters: Any) -> Any:
        stdin = _there(self._process.stdin)
        stdin.write(json.dumps({"command": command, **parameters}) + "\n")
        stdin.flush()
        return self._read()

    def _read(self) -> Any:
        line = _there(self._process.stdout).readline()
        if not line:
            raise RuntimeError("the mock server has died")
        return json.loads(line)


def _there(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the mock server has no such stream")
    return stream


@contextmanager
def mock_server(personality: str = "0.10-hypothetical", *, http2: bool = False) -> Iterator[Server]:
    """A mock server in another process, on a core of its own where there are two.

    With `http2` it is served by hypercorn, which speaks both versions, and by uvicorn otherwise.
    """
    theirs, mine = cores()
    command = [sys.executable, "-m", "benchmarks.harness.server", "--personality", personality]
    command += ["--http2"] if http2 else []
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    try:
        server = Server(process)
        if theirs:
            os.sched_setaffinity(process.pid, theirs)
        pin(mine)
        yield server
    finally:
        pin(theirs | mine)
        _there(process.stdin).close()
        process.wait(timeout=10)
        _there(process.stdout).close()


# In the other process


class _Dial:
    """Faults whose rate can be changed while the server runs."""

    def __init__(self) -> None:
        self.source: FaultSource | None = None

    def choose(self, request: ReceivedRequest) -> Fault | None:
        return self.source.choose(request) if self.source else None


class _Commands:
    def __init__(self, mock: MockNexus, dial: _Dial) -> None:
        self._mock = mock
        self._dial = dial
        self._empty = mock.snapshot()

    def fill(self, zone: str, bounties: int, *, dated: bool) -> None:
        fill(self._mock, zone, bounties, dated=dated)

    def populate(self, zone: str, at_rest: int, stuck: int, first: int) -> None:
        for record in (*population.at_rest(at_rest), *population.stuck(stuck, first)):
            population.put(self._mock, zone, record)

    def fail(self, rate: float, seed: int) -> None:
        self._dial.source = FaultPlan.seeded(seed, rate, FAULTS) if rate else None

    def clear(self) -> None:
        self._mock.restore(self._empty)
        self._mock.oracle.log.clear()
        self._mock.reset_counts()

    def requests(self) -> int:
        return self._mock.request_count

    def cpu_seconds(self) -> float:
        return time.process_time()


def fill(mock: MockNexus, zone: str, bounties: int, *, dated: bool = False) -> None:
    """Put that many open bounties into a zone, with their markers, past the wire.

    With `dated` as they are in a zone that has been laid out so for long, once a reconciler has
    seen them; its verdict has to be pinned.
    """
    write, here = mock.core.table.write, ZonePaths(zone)
    evidence = {EVIDENCE_KEY: {"schema": SCHEMA, "seq": 1}}
    for number in range(bounties):
        created_at = EPOCH + timedelta(seconds=number)
        bounty = a_bounty(f"bounty-{number:06}", created_at=created_at)
        document = msgspec.to_builtins(bounty) | evidence
        write(here.bounty(bounty.bounty_id), msgspec.json.encode(document))
        marker = here.marker(BountyStatus.OPEN, bounty.bounty_id)
        write(marker, b"")
        if dated:
            write(paths.dated(marker, created_at), b"")
    if dated:
        since = EPOCH - timedelta(days=9)
        write(here.all_are_dated(BountyStatus.OPEN, since), b"")
        pin = msgspec.json.decode(mock.read_file(here.pinned_verdict) or b"{}", type=dict[str, Any])
        layout = msgspec.to_builtins(ZoneLayout(kind=Layout.DATED, since=since))
        write(here.pinned_verdict, msgspec.json.encode(pin | {"layout": layout}))


def a_bounty(
    bounty_id: str, *, created_at: datetime = EPOCH, deadline: datetime = FAR_AWAY
) -> Bounty:
    """A bounty of a usual size."""
    return Bounty(
        bounty_id=bounty_id,
        title="Make the parser faster",
        description="Twice as fast on the large corpus, with the same output. " * 3,
        creator=AgentIdentity(agent_id="creator", platform="bench"),
        amount=1,
        criteria=BountyCriteria(
            description="the benchmark shows it", metric_name="ms", metric_threshold=400
        ),
        deadline=deadline,
        created_at=created_at,
        updated_at=created_at,
    )


@asynccontextmanager
async def _running_both_versions(mock: MockNexus) -> AsyncIterator[str]:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = Config()
    config.bind = [address]
    config.errorlog = None
    over = asyncio.Event()
    task = asyncio.create_task(serve(mock, config, shutdown_trigger=over.wait))  # type: ignore[arg-type]
    try:
        await _listening(address)
        yield f"http://{address}"
    finally:
        over.set()
        await task


async def _listening(address: str) -> None:
    host, port = address.split(":")
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def _serve(personality: str, *, http2: bool) -> None:
    dial = _Dial()
    mock = MockNexus(personality, faults=dial, log_limit=100_000)
    commands = _Commands(mock, dial)
    async with (_running_both_versions if http2 else running)(mock) as url:
        print(json.dumps(url), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            answer = getattr(commands, asked.pop("command"))(**asked)
            print(json.dumps(answer), flush=True)


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--personality", default="0.10-hypothetical")
    parser.add_argument("--http2", action="store_true")
    given = parser.parse_args()
    asyncio.run(_serve(given.personality, http2=given.http2))


if __name__ == "__main__":
    main()
