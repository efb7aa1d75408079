"""How many requests a second a served MockNexus can answer: the ceiling of what it can measure.

The server runs in this process on one core, with etags and the oracle log on; the load comes from
another process over loopback. Ends by itself and prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from nexus_bounty.mock import MockNexus, running

WRITE, READ = "write", "read"
MIX = (WRITE, READ, READ, READ)
"""One write to three reads, as a store that verifies its commits sends them."""


def _request(host: str, method: str, path: str) -> bytes:
    params = {"path": path, "return_metadata": True}
    if method == WRITE:
        params = {"path": path, "content": "x" * 600}
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    body = json.dumps(call).encode()
    head = (
        f"POST /api/nfs/{method} HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _one_connection(host: str, port: int, number: int, until: float) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    requests = [_request(host, method, f"/zones/bench/{number}.json") for method in MIX]
    answered = 0
    while time.monotonic() < until:
        writer.write(requests[answered % len(requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        answered += head.startswith(b"HTTP/1.1 200")
    writer.close()
    return answered


def _load(
    results: Connection, host: str, port: int, connections: int, seconds: float, cores: set[int]
) -> None:
    _pin(cores)

    async def run() -> int:
        until = time.monotonic() + seconds
        counts = await asyncio.gather(
            *(_one_connection(host, port, number, until) for number in range(connections))
        )
        return sum(counts)

    started = time.monotonic()
    answered = asyncio.run(run())
    results.send((answered, time.monotonic() - started))


def _pin(cores: set[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


async def measure(personality: str, connections: int, seconds: float) -> dict[str, object]:
    """Serve a mock and load it for a while."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    mock = MockNexus(personality)
    async with running(mock) as url:
        host, port = url.removeprefix("http://").split(":")
        rest = set(cores[1:]) or set(cores)
        args = (theirs, host, int(port), connections, seconds, rest)
        load = spawn.Process(target=_load, args=args, daemon=True)
        load.start()
        cpu = time.process_time()
        _pin({cores[0]})
        answered, took = await asyncio.wait_for(asyncio.to_thread(mine.recv), seconds + 20)
        cpu = time.process_time() - cpu
        load.join(5)
    return {
        "requests_per_second": round(answered / took),
        "requests_per_cpu_second": round(answered / cpu),
        "requests": answered,
        "seconds": round(took, 2),
        "connections": connections,
        "personality": personality,
        "requests_recorded": len(mock.requests),
        "changes_recorded": len(mock.log),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--personality", default="0.10")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args(arguments)
    figures = asyncio.run(measure(options.personality, options.connections, options.seconds))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
