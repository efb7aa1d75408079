"""Life cycles a second, and how long one takes, at 1, 8 and 64 agents.

A life cycle is create, claim, settle, with claims on Nexus and credits in memory. Beside this
library runs the client that one writes first (see `benchmarks.harness.obvious`), on the same
server in the same rounds; and this library on httpx's own transport, which is what the obvious
client uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import httpx

from benchmarks.harness.charts import grouped_bars
from benchmarks.harness.contenders import Liver, obvious, ours
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import (
    Spread,
    Step,
    part_of,
    percentile,
    rounded,
    take_turns,
)
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import Server, mock_server

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS, OURS_ON_HTTPX, OBVIOUS = "nexus-bounty", "nexus-bounty on httpx's transport", "obvious client"
MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class Lives:
    """What one turn measured."""

    per_second: float
    seconds_each: list[float]


async def measure(options: Options, step: Step) -> Report:
    """Compare them at every number of agents."""
    counts = options.pick(tiny=[2], quick=[1, 8, 64], full=[1, 8, 64])
    seconds = options.pick(tiny=0.2, quick=1.5, full=5.0)
    found: dict[int, dict[str, list[Lives]]] = {}
    with mock_server() as server:
        for agents in counts:
            async with AsyncExitStack() as opened:
                turns = {
                    name: _turn(server, await opened.enter_async_context(liver), agents, seconds)
                    for name, liver in _contenders(server).items()
                }
                part = part_of(step, f"{agents} agents")
                found[agents] = await take_turns(turns, options.turns, part)
    return _report(found)


def _contenders(server: Server) -> dict[str, AbstractAsyncContextManager[Liver]]:
    return {
        OURS: ours(server.url, "ours"),
        OURS_ON_HTTPX: ours(server.url, "ours-httpx", transport=httpx.AsyncHTTPTransport()),
        OBVIOUS: obvious(server.url, "obvious"),
    }


def _turn(
    server: Server, liver: Liver, agents: int, seconds: float
) -> Callable[[], Awaitable[Lives]]:
    async def turn() -> Lives:
        server.clear()
        await liver.live()  # opens a connection, learns the dialect
        began = perf_counter()
        until = began + seconds
        lived = await asyncio.gather(*(_agent(liver, until) for _ in range(agents)))
        each = [duration for durations in lived for duration in durations]
        return Lives(len(each) / (perf_counter() - began), each)

    return turn


async def _agent(liver: Liver, until: float) -> list[float]:
    return [duration async for duration in _lives(liver, until)]


async def _lives(liver: Liver, until: float) -> AsyncIterator[float]:
    while (began := perf_counter()) < until:
        await liver.live()
        yield perf_counter() - began


def _report(found: dict[int, dict[str, list[Lives]]]) -> Report:
    rows: list[list[object]] = []
    figures: dict[str, dict[str, object]] = {}
    for agents, turns in found.items():
        rates = {name: [each.per_second for each in lives] for name, lives in turns.items()}
        for name, lives in turns.items():
            every = [duration for each in lives for duration in each.seconds_each]
            p50, p99 = (percentile(every, share) * MILLISECONDS for share in (0.5, 0.99))
            ratio = Spread.of_ratios(rates[name], rates[OBVIOUS])
            rate = Spread.of(rates[name])
            rows.append([agents, name, rate.median, p50, p99, "" if name == OBVIOUS else ratio])
            figures.setdefault(str(agents), {})[name] = {
                "per_second": rate.figures,
                "p50_ms": rounded(p50),
                "p99_ms": rounded(p99),
                "ratio_vs_obvious_client": ratio.figures,
            }
    columns = ["agents", "client", "life cycles/s", "p50 ms", "p99 ms", "× obvious client"]
    title = "Life cycles: create, claim, settle"
    shown = 8 if 8 in found else min(found)
    rates = {name: [each.per_second for each in turn] for name, turn in found[shown].items()}
    return Report(
        "life_cycles",
        {
            "lifecycles": figures,
            "lifecycles_ratio_vs_obvious_client_as_it_comes": rounded(
                Spread.of_ratios(rates[OURS], rates[OBVIOUS]).median
            ),
            "lifecycles_ratio_vs_obvious_client_same_transport": rounded(
                Spread.of_ratios(rates[OURS_ON_HTTPX], rates[OBVIOUS]).median
            ),
        },
        [Table(title, columns, rows)],
        lambda figure: _draw(figure, found),
    )


def _draw(figure: Figure, found: dict[int, dict[str, list[Lives]]]) -> None:
    rates, times = figure.subplots(1, 2)
    agents = [str(number) for number in found]
    names = list(next(iter(found.values())))
    every = {
        name: [Spread.of([each.per_second for each in turns[name]]) for turns in found.values()]
        for name in names
    }
    grouped_bars(rates, agents, list(every.items()))
    rates.set(title="life cycles a second", xlabel="agents")
    for name in names:
        waits = [[d for e in turns[name] for d in e.seconds_each] for turns in found.values()]
        longest = [percentile(each, 0.99) * MILLISECONDS for each in waits]
        times.plot(agents, longest, marker="o", label=name)
    times.set(title="p99 of one life cycle, ms", xlabel="agents", yscale="log")


if __name__ == "__main__":
    run_alone(measure)
