"""What faults cost: life cycles a second when 0, 1 and 5 % of all requests fail.

The server refuses, drops before and after it has applied, never answers, breaks off, repeats,
answers nonsense or an internal error. For each client: how many lives come to their end a second,
how many calls end in an error, and in how many of those the client cannot say what happened.
The obvious client cannot tell its errors apart at all.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.harness.charts import grouped_bars
from benchmarks.harness.contenders import Liver, obvious, ours
from benchmarks.harness.obvious import ObviousClientError
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Spread, Step, part_of, rounded, take_turns
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import Server, mock_server
from nexus_bounty import OutcomeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = (0.0, 0.01, 0.05)
AGENTS = 8
PATIENCE = 0.25
"""Seconds to wait for an answer; the same for both."""
OURS, OBVIOUS = "nexus-bounty", "obvious client"


@dataclass(frozen=True, slots=True)
class Endured:
    """What one turn measured."""

    per_second: float
    lived: int
    failed: dict[str, int]


async def measure(options: Options, step: Step) -> Report:
    """Compare them at every rate."""
    seconds = options.pick(tiny=0.3, quick=2.0, full=10.0)
    found: dict[float, dict[str, list[Endured]]] = {}
    with mock_server() as server:
        for rate in RATES:
            async with AsyncExitStack() as opened:
                livers: dict[str, Liver] = {
                    OURS: await opened.enter_async_context(
                        ours(server.url, "ours", request_timeout=PATIENCE)
                    ),
                    OBVIOUS: await opened.enter_async_context(
                        obvious(server.url, "obvious", timeout=PATIENCE)
                    ),
                }
                turns = {
                    name: _turn(server, rate, liver, seconds) for name, liver in livers.items()
                }
                part = part_of(step, f"{rate:.0%} of requests fail")
                found[rate] = await take_turns(turns, options.turns, part)
    return _report(found)


def _turn(
    server: Server, rate: float, liver: Liver, seconds: float
) -> Callable[[], Awaitable[Endured]]:
    number = 0

    async def turn() -> Endured:
        nonlocal number
        number += 1
        server.clear()
        await liver.live()
        server.fail(rate, seed=number)
        failed: Counter[str] = Counter()
        began = perf_counter()
        until = began + seconds
        lived = sum(await asyncio.gather(*(_agent(liver, until, failed) for _ in range(AGENTS))))
        took = perf_counter() - began
        server.fail(0.0)
        return Endured(lived / took, lived, dict(failed))

    return turn


async def _agent(liver: Liver, until: float, failed: Counter[str]) -> int:
    lived = 0
    while perf_counter() < until:
        try:
            await liver.live()
            lived += 1
        except OutcomeError as error:
            failed[error.outcome.value] += 1
        except ObviousClientError:
            failed["cannot tell"] += 1
    return lived


def _report(found: dict[float, dict[str, list[Endured]]]) -> Report:
    rows: list[list[object]] = []
    figures: dict[str, dict[str, object]] = {}
    for rate, turns in found.items():
        for name, endured in turns.items():
            speed = Spread.of([each.per_second for each in endured])
            ratio = Spread.of_ratios(
                [each.per_second for each in endured],
                [max(each.per_second, 0.01) for each in turns[OBVIOUS]],
            )
            lived = sum(each.lived for each in endured)
            failed: Counter[str] = sum((Counter(each.failed) for each in endured), Counter())
            tried = max(lived + failed.total(), 1)
            said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(failed.items()))
            row = [f"{rate:.0%}", name, speed, f"{failed.total() / tried:.1%}", said]
            rows.append([*row, "" if name == OBVIOUS else ratio])
            figures.setdefault(f"{rate:.0%}", {})[name] = {
                "per_second": speed.figures,
                "failed_share": rounded(failed.total() / tried),
                "failed": dict(failed),
                "ratio_vs_obvious_client": ratio.figures,
            }
    columns = [
        "faults",
        "client",
        "life cycles/s",
        "ended in an error",
        "which",
        "× obvious client",
    ]
    title = f"Life cycles under faults, {AGENTS} agents"
    return Report(
        "fault_cost",
        {"fault_cost": figures},
        [Table(title, columns, rows)],
        lambda figure: _draw(figure, found),
    )


def _draw(figure: Figure, found: dict[float, dict[str, list[Endured]]]) -> None:
    axes = figure.subplots()
    series = [
        (name, [Spread.of([e.per_second for e in turns[name]]) for turns in found.values()])
        for name in (OURS, OBVIOUS)
    ]
    grouped_bars(axes, [f"{rate:.0%}" for rate in found], series)
    axes.set(title="life cycles a second", xlabel="requests that fail")


if __name__ == "__main__":
    run_alone(measure)
