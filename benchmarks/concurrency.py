"""A thousand operations at once on one store: back-pressure, fairness, connections, memory.

Every operation creates a bounty and claims it. None may fail, however few connections there are:
whoever cannot be served waits. Fair is that those who came first are done first. On each kind of
server, in a zone that is known.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import httpx

from benchmarks.harness.contenders import fresh_store
from benchmarks.harness.contest import server_of
from benchmarks.harness.options import Options
from benchmarks.harness.personalities import KINDS
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Step, percentile, rounded
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import a_bounty
from nexus_bounty import AgentIdentity, NexusBountyStore, NexusClient

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORKER = AgentIdentity(agent_id="worker")
SOCKETS = Path("/proc/self/fd")
AS_IT_COMES, ON_HTTPX = "as it comes", "on httpx's transport"


@dataclass(frozen=True, slots=True)
class Crowd:
    """What became of many operations that began at once."""

    began: list[int]
    done_after: list[float]
    errors: int
    most_connections: int
    peak_bytes: int

    @property
    def per_second(self) -> float:
        """Operations a second."""
        return len(self.done_after) / max(self.done_after)

    @property
    def displacement(self) -> float:
        """How far, on average, an operation ends from the place at which it began: 0 to 1/3."""
        places = zip(self.began, range(len(self.began)), strict=True)
        return sum(abs(began - ended) for began, ended in places) / len(self.began) ** 2


Found = Mapping[str, Mapping[str, Mapping[int, Crowd]]]
"""By kind of server, transport, and how many began at once."""


async def measure(options: Options, step: Step) -> Report:
    """Grow the crowd, on each kind of server."""
    crowds = options.pick(tiny=[20], quick=[10, 100, 1000], full=[10, 100, 1000, 5000])
    return _report({kind: await _on(kind, crowds, options, step) for kind in KINDS})


async def _on(
    kind: str, crowds: list[int], options: Options, step: Step
) -> dict[str, dict[int, Crowd]]:
    found: dict[str, dict[int, Crowd]] = {AS_IT_COMES: {}, ON_HTTPX: {}}
    with server_of(kind) as (server, _):
        for name, of_this_way in found.items():
            for number in crowds:
                if name == ON_HTTPX and number > 100 and options.scale != "full":
                    continue  # its pool takes minutes
                step(f"{kind}, {number} at once, {name}")
                server.clear()
                transport = httpx.AsyncHTTPTransport() if name == ON_HTTPX else None
                async with NexusClient(server.url, transport=transport) as client:
                    of_this_way[number] = await _crowd(fresh_store(client, "z"), number)
    return found


async def _crowd(store: NexusBountyStore, number: int) -> Crowd:
    await store.create_bounty(a_bounty("first"))  # opens a connection, finds out how to commit
    gc.collect()
    ended: list[int] = []
    after: list[float] = []
    errors = 0

    async def operate(index: int) -> None:
        nonlocal errors
        try:
            await store.create_bounty(a_bounty(f"b-{index}"))
            await store.claim_bounty(f"b-{index}", WORKER, "c-1")
        except Exception:  # noqa: BLE001 - every error counts
            errors += 1
        ended.append(index)
        after.append(perf_counter() - began)

    before = _sockets()
    tracemalloc.start()
    began = perf_counter()
    most = await _while_counting(
        lambda: asyncio.gather(*(operate(index) for index in range(number)))
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Crowd(ended, after, errors, most - before + 1, peak)


async def _while_counting(run: Callable[[], Awaitable[object]]) -> int:
    """The most sockets that were open at once while it ran; 0 where that cannot be seen."""
    most = 0
    running = asyncio.ensure_future(run())
    while not running.done():
        most = max(most, _sockets())
        await asyncio.sleep(0.02)
    await running
    return most


def _sockets() -> int:
    if not SOCKETS.exists():
        return 0
    count = 0
    for descriptor in SOCKETS.iterdir():
        with suppress(OSError):  # closed meanwhile
            count += str(descriptor.readlink()).startswith("socket:")
    return count


def _report(found: Found) -> Report:
    rows: list[list[object]] = []
    figures: dict[str, dict[str, dict[str, object]]] = {}
    for kind, ways in found.items():
        for name, crowds in ways.items():
            here = figures.setdefault(kind, {}).setdefault(name, {})
            for number, crowd in crowds.items():
                row, here[str(number)] = _row(crowd, number)
                rows.append([kind, name, f"{number:,}", *row])
    columns = ["server", "", "at once", "errors", "a second", "half done, s", "all done, s"]
    columns += ["fairness (1: in order)", "connections", "peak kB an operation"]
    return Report(
        "concurrency",
        {"concurrency": figures},
        [Table("Operations at once: create and claim (under a memory tracer)", columns, rows)],
        lambda figure: _draw(figure, found),
    )


def _row(crowd: Crowd, number: int) -> tuple[list[object], dict[str, object]]:
    half, most = percentile(crowd.done_after, 0.5), max(crowd.done_after)
    kilobytes = crowd.peak_bytes / number / 1000
    fair = 1 - 3 * crowd.displacement
    row: list[object] = [
        crowd.errors,
        crowd.per_second,
        half,
        most,
        fair,
        crowd.most_connections,
        kilobytes,
    ]
    return row, {
        "errors": crowd.errors,
        "per_second": rounded(crowd.per_second),
        "fairness": rounded(fair),
        "most_connections": crowd.most_connections,
        "peak_kb_an_operation": rounded(kilobytes),
    }


def _draw(figure: Figure, found: Found) -> None:
    for axes, (kind, ways) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        for name, crowds in ways.items():
            number, crowd = max(crowds.items())
            axes.plot(crowd.began, crowd.done_after, ".", markersize=2, label=f"{number:,} {name}")
        axes.set(title=f"{kind}: done after s", xlabel="began as number")
        axes.legend(fontsize=6)


if __name__ == "__main__":
    run_alone(measure)
