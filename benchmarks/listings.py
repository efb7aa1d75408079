"""Listings as they grow: the newest 20 open bounties of 1,000, 10,000 and 100,000.

Requests and time of a store that knows nothing yet (cold), of the same store again (warm), and
of the obvious client, which reads every document. With them the other questions that a store
answers about many bounties: how many, which are past their deadline, and walking them all.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.harness.contenders import fresh_store
from benchmarks.harness.obvious import ObviousClient
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Spread, Step, rounded, take_turns
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import Server, mock_server
from nexus_bounty import BountyQuery, BountyStatus, NexusBountyStore, NexusClient

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT = 20
NEWEST = BountyQuery(status=BountyStatus.OPEN, limit=LIMIT)
OPEN = BountyQuery(status=BountyStatus.OPEN)
COLD, WARM, OBVIOUS = "cold store", "same store again", "obvious client"
MOST_FOR_THE_OBVIOUS_QUICKLY = 1_000


@dataclass(frozen=True, slots=True)
class Listed:
    """What one listing took."""

    seconds: float
    requests: int


async def measure(options: Options, step: Step) -> Report:
    """List at every size."""
    sizes = options.pick(tiny=[50], quick=[1_000, 10_000], full=[1_000, 10_000, 100_000])
    found: dict[int, dict[str, list[Listed]]] = {}
    others: dict[int, dict[str, tuple[Listed, float]]] = {}
    for size in sizes:
        with mock_server() as server:
            step(f"{size:,} bounties: filling")
            server.fill("z", size)
            patient = options.scale == "full" or size <= MOST_FOR_THE_OBVIOUS_QUICKLY
            found[size] = await _newest(server, options, patient=patient, step=step)
            others[size] = await _others(server, size, step)
    return _report(found, others)


async def _newest(
    server: Server, options: Options, *, patient: bool, step: Step
) -> dict[str, list[Listed]]:
    async with (
        NexusClient(server.url) as client,
        ObviousClient(server.url, "z") as obvious,
    ):
        await fresh_store(client, "z").get_bounty("none")  # opens a connection
        again = fresh_store(client, "z")
        await again.list_bounties(NEWEST)

        async def cold() -> Listed:
            store = fresh_store(client, "z")
            return await _timed(server, lambda: store.list_bounties(NEWEST), LIMIT)

        async def warm() -> Listed:
            return await _timed(server, lambda: again.list_bounties(NEWEST), LIMIT)

        async def read_each() -> Listed:
            return await _timed(server, lambda: obvious.list("open", LIMIT), LIMIT)

        turns: dict[str, Callable[[], Awaitable[Listed]]] = {COLD: cold, WARM: warm}
        if patient:
            turns[OBVIOUS] = read_each
        return await take_turns(turns, options.turns, step)


async def _timed(server: Server, listing: Callable[[], Awaitable[Sized]], expected: int) -> Listed:
    before = server.requests
    began = perf_counter()
    listed = await listing()
    seconds = perf_counter() - began
    if len(listed) != expected:
        raise RuntimeError(f"{len(listed)} listed instead of {expected}")
    return Listed(seconds, server.requests - before)


async def _others(server: Server, size: int, step: Step) -> dict[str, tuple[Listed, float]]:
    """What else a store answers, first cold and then warm, with the most memory it took, in MB."""
    found = {}
    async with NexusClient(server.url) as client:
        for name, ask in _QUESTIONS.items():
            store = fresh_store(client, "z")
            for temperature in ("cold", "warm"):
                step(f"{size:,} bounties: {name}, {temperature}")
                found[f"{name}, {temperature}"] = await _weighed(server, ask, store)
    return found


async def _count(store: NexusBountyStore) -> object:
    return await store.count_bounties(OPEN)


async def _find_expired(store: NexusBountyStore) -> object:
    return await store.find_expired_bounties()


async def _walk(store: NexusBountyStore) -> object:
    number = 0
    async for _ in store.walk_bounties(OPEN):
        number += 1
    return number


async def _list_newest(store: NexusBountyStore) -> object:
    return await store.list_bounties(NEWEST)


_QUESTIONS: dict[str, Callable[[NexusBountyStore], Awaitable[object]]] = {
    "newest 20": _list_newest,
    "count": _count,
    "find expired": _find_expired,
    "walk": _walk,
}


async def _weighed(
    server: Server, ask: Callable[[NexusBountyStore], Awaitable[object]], store: NexusBountyStore
) -> tuple[Listed, float]:
    before = server.requests
    tracemalloc.start()
    began = perf_counter()
    await ask(store)
    seconds = perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Listed(seconds, server.requests - before), peak / 1e6


def _report(
    found: dict[int, dict[str, list[Listed]]], others: dict[int, dict[str, tuple[Listed, float]]]
) -> Report:
    rows: list[list[object]] = []
    figures: dict[str, dict[str, object]] = {}
    ratios: dict[int, float] = {}
    for size, turns in found.items():
        for name, listings in turns.items():
            time = Spread.of([each.seconds * 1000 for each in listings])
            requests = max(each.requests for each in listings)
            rows.append([f"{size:,}", name, requests, time])
            figures.setdefault(str(size), {})[name] = {"requests": requests, "ms": time.figures}
        if OBVIOUS in turns:
            theirs, mine = ([each.seconds for each in turns[name]] for name in (OBVIOUS, COLD))
            ratio = Spread.of_ratios(theirs, mine)
            ratios[size] = rounded(ratio.median)
            rows.append([f"{size:,}", "obvious client / cold store", "", ratio])
    asked = [
        [f"{size:,}", name, each.requests, each.seconds * 1000, megabytes]
        for size, answers in others.items()
        for name, (each, megabytes) in answers.items()
    ]
    smallest = min(ratios)
    return Report(
        "listings",
        {
            "listings": figures,
            "listings_others": {
                str(size): {
                    name: {"requests": each.requests, "peak_mb": rounded(megabytes)}
                    for name, (each, megabytes) in answers.items()
                }
                for size, answers in others.items()
            },
            "listings_ratio_vs_obvious_client": ratios[smallest],
        },
        [
            Table(f"The newest {LIMIT} open", ["bounties", "", "requests", "ms"], rows),
            Table(
                "What else is asked of many (timed under a memory tracer, which slows it)",
                ["bounties", "", "requests", "ms", "peak MB"],
                asked,
            ),
        ],
        lambda figure: _draw(figure, found),
    )


def _draw(figure: Figure, found: dict[int, dict[str, list[Listed]]]) -> None:
    times, requests = figure.subplots(1, 2)
    for name in (COLD, WARM, OBVIOUS):
        sizes = [size for size, turns in found.items() if name in turns]
        spreads = [Spread.of([e.seconds * 1000 for e in found[size][name]]) for size in sizes]
        times.plot(sizes, [each.median for each in spreads], marker="o", label=name)
        counts = [max(e.requests for e in found[size][name]) for size in sizes]
        requests.plot(sizes, counts, marker="o", label=name)
    for axes, title in ((times, "ms a listing"), (requests, "requests a listing")):
        axes.set(title=title, xlabel="open bounties", xscale="log", yscale="log")
    times.legend()


if __name__ == "__main__":
    run_alone(measure)
