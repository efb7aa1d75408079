"""What faults cost: life cycles a second when 0, 1 and 5 % of all requests fail.

The server refuses, drops before and after it has applied, never answers, breaks off, repeats,
answers nonsense or an internal error. For each client: how many lives come to their end a second,
how many calls end in an error, and in how many of those the client cannot say what happened.
The obvious client cannot tell its errors apart at all. On each kind of server; on 0.9 the obvious
client lives none: what it writes is never stored.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from benchmarks.harness.charts import grouped_bars
from benchmarks.harness.contenders import Liver, obvious, ours
from benchmarks.harness.contest import OBVIOUS, OURS, Lived, Site, server_of, times, turn_of
from benchmarks.harness.options import Options
from benchmarks.harness.personalities import KINDS
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Spread, Step, part_of, rounded, take_turns
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import Server

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = (0.0, 0.01, 0.05)
AGENTS = 8
PATIENCE = 0.25
"""Seconds to wait for an answer; the same for both."""

Found = Mapping[str, Mapping[float, Mapping[str, list[Lived]]]]
"""What each client got done, by kind of server and share of requests that fail."""


async def measure(options: Options, step: Step) -> Report:
    """Compare them on each kind of server, at every rate."""
    return _report({kind: await _on(kind, options, step) for kind in KINDS})


async def _on(kind: str, options: Options, step: Step) -> dict[float, dict[str, list[Lived]]]:
    found = {}
    with server_of(kind) as (server, site):
        for rate in RATES:
            part = part_of(step, f"{kind}, {rate:.0%} of requests fail")
            found[rate] = await _compared(server, site, rate, options, part)
    return found


async def _compared(
    server: Server, site: Site, rate: float, options: Options, step: Step
) -> dict[str, list[Lived]]:
    seconds = options.pick(tiny=0.2, quick=1.5, full=10.0)
    openings: dict[str, Callable[[], AbstractAsyncContextManager[Liver]]] = {
        OURS: lambda: ours(site.url, "ours", request_timeout=PATIENCE),
        OBVIOUS: lambda: obvious(site.url, "obvious", timeout=PATIENCE, has_stat=site.has_stat),
    }
    turns = {
        name: turn_of(server, opening, AGENTS, seconds, _failing(server, rate))
        for name, opening in openings.items()
    }
    return await take_turns(turns, options.turns, step)


def _failing(server: Server, rate: float) -> Callable[[], AbstractContextManager[None]]:
    """While that share of requests fails: others in each turn, the same for each client."""
    turns = itertools.count(1)

    @contextmanager
    def failing() -> Iterator[None]:
        server.fail(rate, seed=next(turns))
        try:
            yield
        finally:
            server.fail(0.0)

    return failing


def _report(found: Found) -> Report:
    rows: list[list[object]] = []
    figures: dict[str, dict[str, dict[str, object]]] = {}
    for kind, by_rate in found.items():
        for rate, turns in by_rate.items():
            here = figures.setdefault(kind, {}).setdefault(f"{rate:.0%}", {})
            for name, lived in turns.items():
                ratio = times(lived, turns[OBVIOUS])
                row, endured = _endured(lived)
                rows.append([kind, f"{rate:.0%}", name, *row, "" if name == OBVIOUS else ratio])
                here[name] = {**endured, "ratio_vs_obvious_client": ratio and ratio.figures}
    columns = [
        "server",
        "faults",
        "client",
        "life cycles/s",
        "ended in an error",
        "which",
        "× obvious client",
    ]
    return Report(
        "fault_cost",
        {"fault_cost": figures},
        [
            _table_in_short(found),
            Table(f"Life cycles under faults, {AGENTS} agents", columns, rows),
        ],
        lambda figure: _draw(figure, found),
    )


def _table_in_short(found: Found) -> Table:
    rows: list[list[object]] = [
        [
            kind,
            name,
            *(Spread.of([each.per_second for each in by_rate[rate][name]]) for rate in RATES),
            *(_endured(by_rate[rate][name])[0][1] for rate in RATES[1:]),
        ]
        for kind, by_rate in found.items()
        for name in (OURS, OBVIOUS)
    ]
    columns = [f"lives/s, {rate:.0%} of requests fail" for rate in RATES]
    columns += [f"lives that end in an error, at {rate:.0%}" for rate in RATES[1:]]
    return Table(f"Faults, {AGENTS} agents", ["server", "client", *columns], rows)


def _endured(lived: list[Lived]) -> tuple[list[object], dict[str, object]]:
    speed = Spread.of([each.per_second for each in lived])
    failed = sum((each.failed for each in lived), Counter[str]())
    share = failed.total() / max(failed.total() + sum(len(each.each) for each in lived), 1)
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(failed.items()))
    return [speed, f"{share:.1%}", said], {
        "per_second": speed.figures,
        "failed_share": rounded(share),
        "failed": dict(failed),
    }


def _draw(figure: Figure, found: Found) -> None:
    for axes, (kind, by_rate) in zip(
        figure.subplots(1, len(found), sharey=True), found.items(), strict=True
    ):
        series = [
            (name, [Spread.of([e.per_second for e in turns[name]]) for turns in by_rate.values()])
            for name in (OURS, OBVIOUS)
        ]
        grouped_bars(axes, [f"{rate:.0%}" for rate in by_rate], series)
        axes.set(title=kind, xlabel="requests that fail")


if __name__ == "__main__":
    run_alone(measure)
