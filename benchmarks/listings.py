"""Listings as they grow: the newest 20 open bounties of 1,000, 10,000 and 100,000.

Requests and time of a store that knows nothing yet (cold), of the same store again (warm), and
of the obvious client, which reads every document. With them the other questions that a store
answers about many bounties: how many, which are past their deadline, and walking them all. On each
kind of server, in a zone that is laid out by date, as new ones are.
"""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping, Sized
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.harness.contenders import fresh_store
from benchmarks.harness.contest import server_of
from benchmarks.harness.obvious import ObviousClient
from benchmarks.harness.options import Options
from benchmarks.harness.personalities import KINDS
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Spread, Step, part_of, rounded, take_turns
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import Server, a_bounty
from nexus_bounty import BountyQuery, BountyStatus, NexusBountyStore, NexusClient

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT = 20
NEWEST = BountyQuery(status=BountyStatus.OPEN, limit=LIMIT)
OPEN = BountyQuery(status=BountyStatus.OPEN)
COLD, WARM, OBVIOUS = "cold store", "same store again", "obvious client"
ONE_BY_ONE = ("0.9",)
"""Kinds of server that tell the content of one file a request."""
MOST_ONE_BY_ONE = 1_000
"""How many documents are read one by one in a run that does not take long."""
PATIENT_ON = "atomic"
"""Where the obvious client lists more than that in a long run; it does the same everywhere."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What one listing took."""

    seconds: float
    requests: int


Newest = Mapping[str, Mapping[int, Mapping[str, list[Listed]]]]
"""What the newest took, by kind of server, number of open bounties and who lists."""
Others = Mapping[str, Mapping[int, Mapping[str, tuple[Listed, float]]]]
"""What other questions took, with the most memory, in MB."""


async def measure(options: Options, step: Step) -> Report:
    """List at every size, on each kind of server."""
    sizes = options.pick(tiny=[50], quick=[1_000, 10_000], full=[1_000, 10_000, 100_000])
    found: dict[str, dict[int, dict[str, list[Listed]]]] = {}
    others: dict[str, dict[int, dict[str, tuple[Listed, float]]]] = {}
    for kind, size in itertools.product(KINDS, sizes):
        part = part_of(step, f"{kind}, {size:,} bounties")
        with server_of(kind) as (server, _):
            part("filling")
            await _filled(server, size)
            at_all = kind == PATIENT_ON and options.scale == "full"
            patient = at_all or size <= MOST_ONE_BY_ONE
            found.setdefault(kind, {})[size] = await _newest(
                server, options, patient=patient, step=part
            )
            if kind not in ONE_BY_ONE or size <= MOST_ONE_BY_ONE:
                others.setdefault(kind, {})[size] = await _others(server, part)
    return _report(found, others)


async def _filled(server: Server, size: int) -> None:
    """A zone that a store has begun, so that how to commit is pinned and its layout is by date."""
    async with NexusClient(server.url) as client:
        store = fresh_store(client, "z")
        await store.create_bounty(a_bounty("first"))
        await store.cancel_bounty("first")
    server.fill("z", size, dated=True)


async def _newest(
    server: Server, options: Options, *, patient: bool, step: Step
) -> dict[str, list[Listed]]:
    async with (
        NexusClient(server.url) as client,
        ObviousClient(server.url, "z") as obvious,
    ):
        await fresh_store(client, "z").get_bounty("first")  # opens a connection
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


async def _others(server: Server, step: Step) -> dict[str, tuple[Listed, float]]:
    """What else a store answers, first cold and then warm, with the most memory it took, in MB."""
    found = {}
    async with NexusClient(server.url) as client:
        for name, ask in _QUESTIONS.items():
            store = fresh_store(client, "z")
            for temperature in ("cold", "warm"):
                step(f"{name}, {temperature}")
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


def _report(found: Newest, others: Others) -> Report:
    rows: list[list[object]] = []
    figures: dict[str, dict[str, dict[str, object]]] = {}
    ratios: dict[str, float] = {}
    for kind, by_size in found.items():
        for size, turns in by_size.items():
            here = figures.setdefault(kind, {}).setdefault(str(size), {})
            for name, listings in turns.items():
                time = Spread.of([each.seconds * 1000 for each in listings])
                requests = max(each.requests for each in listings)
                ratio = _beside(listings, turns)
                rows.append(
                    [kind, f"{size:,}", name, requests, time, "" if name == OBVIOUS else ratio]
                )
                here[name] = {"requests": requests, "ms": time.figures}
        smallest = by_size[min(by_size)]
        if ratio := _beside(smallest[COLD], smallest):
            ratios[kind] = rounded(ratio.median)
    asked = [
        [kind, f"{size:,}", name, each.requests, each.seconds * 1000, megabytes]
        for kind, by_size in others.items()
        for size, answers in by_size.items()
        for name, (each, megabytes) in answers.items()
    ]
    columns = ["server", "bounties", "", "requests", "ms", "obvious client's time / this"]
    return Report(
        "listings",
        {
            "listings": figures,
            "listings_others": {
                kind: {
                    str(size): {
                        name: {"requests": each.requests, "peak_mb": rounded(megabytes)}
                        for name, (each, megabytes) in answers.items()
                    }
                    for size, answers in by_size.items()
                }
                for kind, by_size in others.items()
            },
            "listings_ratio_vs_obvious_client": ratios,
        },
        [
            Table(f"The newest {LIMIT} open", columns, rows),
            Table(
                "What else is asked of many (timed under a memory tracer, which slows it)",
                ["server", "bounties", "", "requests", "ms", "peak MB"],
                asked,
            ),
        ],
        lambda figure: _draw(figure, found),
    )


def _beside(listings: list[Listed], turns: Mapping[str, list[Listed]]) -> Spread | None:
    """How many times as long the obvious client takes, if it was measured."""
    if OBVIOUS not in turns:
        return None
    return Spread.of_ratios(*([each.seconds for each in of] for of in (turns[OBVIOUS], listings)))


def _draw(figure: Figure, found: Newest) -> None:
    axes = figure.subplots()
    for kind, by_size in found.items():
        for name, style in ((COLD, "-"), (WARM, "--"), (OBVIOUS, ":")):
            times = {
                size: Spread.of([each.seconds * 1000 for each in turns[name]]).median
                for size, turns in by_size.items()
                if name in turns
            }
            label = f"{kind}, {name}"
            axes.plot(list(times), list(times.values()), style, marker="o", label=label)
    axes.set(title="ms a listing", xlabel="open bounties", xscale="log", yscale="log")
    axes.legend(fontsize=6)


if __name__ == "__main__":
    run_alone(measure)
