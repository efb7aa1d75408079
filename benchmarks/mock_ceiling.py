"""How many requests a second a served MockNexus can answer: the ceiling of what it can measure.

The server runs on one core, with etags and the oracle log on; the load, bare sockets, comes from
this process over loopback. Whatever comes near this figure has measured the mock.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.harness.charts import bars
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Spread, Step, take_turns
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import Server, mock_server

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONNECTIONS = 16
WRITE, READ = "write", "read"
MIXES = {
    "one write, three reads": (WRITE, READ, READ, READ),
    "writes": (WRITE,),
    "reads": (READ,),
}
ENOUGH = 2_500
"""Requests a second that it must answer, so that it is not what is measured."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What one turn measured."""

    per_second: float
    per_cpu_second: float


async def measure(options: Options, step: Step) -> Report:
    """Load it with every mix."""
    seconds = options.pick(tiny=0.2, quick=1.0, full=5.0)
    with mock_server() as server:
        turns = {name: _turn(server, mix, seconds) for name, mix in MIXES.items()}
        found = await take_turns(turns, options.turns, step)
    return _report(found)


def _turn(
    server: Server, mix: tuple[str, ...], seconds: float
) -> Callable[[], Awaitable[Answered]]:
    host, _, port = server.url.removeprefix("http://").partition(":")

    async def turn() -> Answered:
        server.clear()
        for number in range(CONNECTIONS):
            await _ask(host, int(port), _request(host, WRITE, number))
        cpu, began = server.cpu_seconds, time.perf_counter()
        until = began + seconds
        answered = sum(
            await asyncio.gather(
                *(_load(host, int(port), mix, number, until) for number in range(CONNECTIONS))
            )
        )
        took, cpu = time.perf_counter() - began, server.cpu_seconds - cpu
        if server.requests != answered + CONNECTIONS:
            raise RuntimeError("the oracle has not recorded every request")
        return Answered(answered / took, answered / cpu)

    return turn


async def _load(host: str, port: int, mix: tuple[str, ...], number: int, until: float) -> int:
    requests = [_request(host, method, number) for method in mix]
    reader, writer = await asyncio.open_connection(host, port)
    answered = 0
    while time.perf_counter() < until:
        writer.write(requests[answered % len(requests)])
        await _answer(reader)
        answered += 1
    writer.close()
    return answered


async def _ask(host: str, port: int, request: bytes) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request)
    await _answer(reader)
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    if not head.startswith(b"HTTP/1.1 200") or b'"error"' in body:
        raise RuntimeError(f"refused: {body!r}")


def _request(host: str, method: str, number: int) -> bytes:
    params: dict[str, object] = {"path": f"/zones/bench/{number}.json"}
    params |= {"content": "x" * 600} if method == WRITE else {"return_metadata": True}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    head = (
        f"POST /api/nfs/{method} HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _report(found: dict[str, list[Answered]]) -> Report:
    rows: list[list[object]] = []
    figures: dict[str, dict[str, float]] = {}
    for name, turns in found.items():
        wall = Spread.of([each.per_second for each in turns])
        cpu = Spread.of([each.per_cpu_second for each in turns])
        rows.append([name, wall, cpu, "yes" if cpu.median >= ENOUGH else "no"])
        figures[name] = {"per_second": wall.figures["median"], "per_core": cpu.figures["median"]}
    columns = ["", "requests/s", "requests a second of its CPU", f"at least {ENOUGH:,}"]
    return Report(
        "mock_ceiling",
        {"mock_ceiling": figures},
        [Table(f"MockNexus on one core, {CONNECTIONS} connections", columns, rows)],
        lambda figure: _draw(figure, found),
    )


def _draw(figure: Figure, found: dict[str, list[Answered]]) -> None:
    axes = figure.subplots()
    spreads = [Spread.of([each.per_cpu_second for each in turns]) for turns in found.values()]
    bars(axes, list(found), spreads)
    axes.axhline(ENOUGH, color="grey", linestyle="--")
    axes.set(title="requests a second of the mock's CPU")


if __name__ == "__main__":
    run_alone(measure)
