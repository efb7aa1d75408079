"""Life cycles a second, and how long one takes, at 1, 8 and 64 agents.

A life cycle is create, claim, settle, with claims on Nexus and credits in memory. Beside this
library runs the client that one writes first (see `benchmarks.harness.obvious`), on the same
server in the same rounds; and this library on httpx's own transport, which is what the obvious
client uses. On each kind of server; on 0.9 the obvious client gets nothing done: what it writes is
acknowledged and never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import httpx

from benchmarks.harness.charts import grouped_bars
from benchmarks.harness.contenders import Liver, obvious, ours
from benchmarks.harness.contest import (
    LIVES_NONE,
    OBVIOUS,
    OURS,
    Lived,
    Site,
    server_of,
    times,
    turn_of,
)
from benchmarks.harness.options import Options
from benchmarks.harness.personalities import KINDS
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS_ON_HTTPX = "nexus-bounty on httpx's transport"
MILLISECONDS = 1000

Found = Mapping[str, Mapping[int, Mapping[str, list[Lived]]]]
"""What each client got done, by kind of server and number of agents."""


async def measure(options: Options, step: Step) -> Report:
    """Compare them on each kind of server, at every number of agents."""
    counts = options.pick(tiny=[2], quick=[1, 8, 64], full=[1, 8, 64])
    return _report({kind: await _on(kind, counts, options, step) for kind in KINDS})


async def _on(
    kind: str, counts: list[int], options: Options, step: Step
) -> dict[int, dict[str, list[Lived]]]:
    seconds = options.pick(tiny=0.1, quick=1.0, full=5.0)
    found = {}
    with server_of(kind) as (server, site):
        for agents in counts:
            turns = {
                name: turn_of(server, opening, agents, seconds)
                for name, opening in _contenders(site).items()
            }
            part = part_of(step, f"{kind}, {agents} agents")
            found[agents] = await take_turns(turns, options.turns, part)
    return found


def _contenders(site: Site) -> dict[str, Callable[[], AbstractAsyncContextManager[Liver]]]:
    return {
        OURS: lambda: ours(site.url, "ours"),
        OURS_ON_HTTPX: lambda: ours(site.url, "ours-httpx", transport=httpx.AsyncHTTPTransport()),
        OBVIOUS: lambda: obvious(site.url, "obvious", has_stat=site.has_stat),
    }


def _report(found: Found) -> Report:
    rows: list[list[object]] = []
    figures: dict[str, dict[str, dict[str, object]]] = {}
    for kind, by_agents in found.items():
        for agents, turns in by_agents.items():
            here = figures.setdefault(kind, {}).setdefault(str(agents), {})
            for name, lived in turns.items():
                row, here[name] = _row(lived, turns[OBVIOUS])
                rows.append([kind, agents, name, *row])
    columns = ["server", "agents", "client", "life cycles/s", "p50 ms", "p99 ms"]
    return Report(
        "life_cycles",
        {
            "lifecycles": figures,
            "lifecycles_ratio_vs_obvious_client_as_it_comes": _usual_ratios(found, OURS),
            "lifecycles_ratio_vs_obvious_client_same_transport": _usual_ratios(
                found, OURS_ON_HTTPX
            ),
        },
        [
            _table_of_ratios(found),
            Table("Life cycles: create, claim, settle", columns, rows),
        ],
        lambda figure: _draw(figure, found),
    )


def _usual_ratios(found: Found, name: str) -> dict[str, float | None]:
    """One figure a kind of server, of eight agents if there were."""
    ratios: dict[str, float | None] = {}
    for kind, by_agents in found.items():
        turns = by_agents[8 if 8 in by_agents else min(by_agents)]
        ratio = times(turns[name], turns[OBVIOUS])
        ratios[kind] = rounded(ratio.median) if ratio else None
    return ratios


def _table_of_ratios(found: Found) -> Table:
    counts = list(next(iter(found.values())))
    rows: list[list[object]] = [
        [
            kind,
            name,
            *(times(by[n][name], by[n][OBVIOUS]) or LIVES_NONE for n in counts),
        ]
        for kind, by in found.items()
        for name in (OURS, OURS_ON_HTTPX)
    ]
    columns = ["server", "client", *(f"{number} agents" for number in counts)]
    return Table("Lives a second: × the obvious client's", columns, rows)


def _row(lived: list[Lived], theirs: list[Lived]) -> tuple[list[object], dict[str, object]]:
    rate = Spread.of([each.per_second for each in lived])
    every = [seconds * MILLISECONDS for each in lived for seconds in each.each]
    p50, p99 = (percentile(every, share) if every else None for share in (0.5, 0.99))
    ratio = times(lived, theirs)
    return [rate, p50, p99], {
        "per_second": rate.figures,
        "p50_ms": p50 and rounded(p50),
        "p99_ms": p99 and rounded(p99),
        "errors": sum(each.failed.total() for each in lived),
        "ratio_vs_obvious_client": ratio and ratio.figures,
    }


def _draw(figure: Figure, found: Found) -> None:
    for axes, (kind, by_agents) in zip(
        figure.subplots(1, len(found), sharey=True), found.items(), strict=True
    ):
        series = [
            (name, [Spread.of([e.per_second for e in turns[name]]) for turns in by_agents.values()])
            for name in (OURS, OURS_ON_HTTPX, OBVIOUS)
        ]
        grouped_bars(axes, [str(agents) for agents in by_agents], series)
        axes.set(title=kind, xlabel="agents")


if __name__ == "__main__":
    run_alone(measure)
