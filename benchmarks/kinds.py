"""Lives on each kind of server, near and far, beside the obvious client; and who claims twice.

A mock of each release, met over loopback, and with 5 and 50 ms more for each request, since users
are not on loopback. Both on httpx's transport, 8 agents. On 0.9 the obvious client gets nothing
done: what it writes is acknowledged and never stored.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmarks.harness.charts import grouped_bars
from benchmarks.harness.contest import (
    AWAY,
    LIVES_NONE,
    OBVIOUS,
    OURS,
    Lived,
    Site,
    lives,
    obvious_double_claims,
    obvious_on,
    our_double_claims,
    ours_on,
    server_of,
    times,
)
from benchmarks.harness.options import Options
from benchmarks.harness.personalities import KINDS
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Spread, Step, part_of, rounded, take_turns
from benchmarks.harness.running import run_alone

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AGENTS = CLAIMERS = 8


@dataclass(slots=True)
class Found:
    """What was measured on one kind of server."""

    by_distance: dict[int, dict[str, list[Lived]]] = field(default_factory=dict)
    double_claims: dict[str, int] = field(default_factory=dict)

    def ratio(self, away: int) -> Spread | None:
        """Our lives by the obvious client's, if that has lived any."""
        turns = self.by_distance[away]
        return times(turns[OURS], turns[OBVIOUS])


async def measure(options: Options, step: Step) -> Report:
    """Compare them on each kind, at each distance."""
    rounds = options.pick(tiny=1, quick=10, full=50)
    found: dict[str, Found] = {}
    for kind in KINDS:
        found[kind] = Found()
        with server_of(kind) as (_, near):
            for away in AWAY:
                site = replace(near, seconds=away / 1000)
                part = part_of(step, f"{kind}, {away} ms away")
                found[kind].by_distance[away] = await _compared(site, options, part)
            found[kind].double_claims = await double_claims(site, rounds)
    return _report(found, rounds)


async def _compared(site: Site, options: Options, step: Step) -> dict[str, list[Lived]]:
    seconds = options.pick(tiny=0.1, quick=2.0 if site.seconds else 1.0, full=5.0)
    async with AsyncExitStack() as opened:
        our_lives, _ = await opened.enter_async_context(ours_on(site))
        their_lives, _ = await opened.enter_async_context(obvious_on(site))
        turns = {
            OURS: lambda: lives(our_lives, AGENTS, seconds),
            OBVIOUS: lambda: lives(their_lives, AGENTS, seconds),
        }
        return await take_turns(turns, options.turns, step)


async def double_claims(site: Site, rounds: int) -> dict[str, int]:
    """How many claims were won besides the one that each bounty has."""
    async with ours_on(site) as (_, operations), obvious_on(site) as (_, client):
        return {
            OURS: await our_double_claims(operations, rounds, CLAIMERS),
            OBVIOUS: await obvious_double_claims(client, rounds, CLAIMERS),
        }


def _report(found: dict[str, Found], rounds: int) -> Report:
    ratios = {kind: {away: each.ratio(away) for away in AWAY} for kind, each in found.items()}
    rows = [
        [kind, away, *(_rate(turns[name]) for name in (OURS, OBVIOUS)), ratios[kind][away]]
        for kind, each in found.items()
        for away, turns in each.by_distance.items()
    ]
    races = [[kind, *each.double_claims.values()] for kind, each in found.items()]
    figures = {
        "lifecycles_ratio_vs_obvious_client": {
            kind: rounded(near.median) for kind, at in ratios.items() if (near := at[0])
        },
        "lifecycles_ratio_vs_obvious_client_away": {
            kind: {str(away): ratio and ratio.figures for away, ratio in at.items()}
            for kind, at in ratios.items()
        },
        "lifecycles_by_kind": {
            kind: {
                str(away): {
                    name: rounded(_rate(turns).median) for name, turns in contenders.items()
                }
                for away, contenders in each.by_distance.items()
            }
            for kind, each in found.items()
        },
        "double_claims": {kind: each.double_claims for kind, each in found.items()},
    }
    columns = ["server", "ms away", f"{OURS}, lives/s", f"{OBVIOUS}, lives/s", "ratio"]
    beside = [[kind, *(at[away] or LIVES_NONE for away in AWAY)] for kind, at in ratios.items()]
    return Report(
        "kinds",
        figures,
        [
            Table(
                f"Lives of {AGENTS} agents: × the obvious client's",
                ["server", *(f"{away} ms away" for away in AWAY)],
                beside,
            ),
            Table(f"Lives on each kind of server, {AGENTS} agents", columns, rows),
            Table(
                f"Double claims in {rounds} races of {CLAIMERS} agents",
                ["server", OURS, OBVIOUS],
                races,
            ),
        ],
        lambda figure: _draw(figure, found),
    )


def _rate(turns: list[Lived]) -> Spread:
    return Spread.of([each.per_second for each in turns])


def _draw(figure: Figure, found: dict[str, Found]) -> None:
    for axes, away in zip(figure.subplots(1, len(AWAY)), AWAY, strict=True):
        series = [
            (name, [_rate(each.by_distance[away][name]) for each in found.values()])
            for name in (OURS, OBVIOUS)
        ]
        grouped_bars(axes, list(found), series)
        axes.set(title=f"lives a second, {away} ms away")


if __name__ == "__main__":
    run_alone(measure)
