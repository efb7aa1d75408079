"""What a run of the reconciler costs: by how many bounties there have been, and are stuck.

A zone of 1,000, 10,000 and 100,000 bounties, most of them ended; in it none, 10 and 100 are stuck.
A cold run is the first of a process and looks at everything. A warm run is a later one of a
process that goes on for ever: it looks at what is under way, and at a part of what is long past, so
that what is stuck there is found within some runs. What is told is the most that any of them takes.
That zone is flat, and on a hypothetical server.

Besides, on each kind of server, a zone that the library itself has filled, so that all is there
that commits leave behind; in virtual time, so that round trips are counted, too.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.harness import population
from benchmarks.harness.contenders import operations_on
from benchmarks.harness.options import Options
from benchmarks.harness.personalities import ENDED, KINDS, OPEN, Cost, reconciling_cost
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Step, part_of, rounded
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import Server, mock_server
from nexus_bounty import NexusClient, Reconciler
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.nexus.client import Page
from nexus_bounty.reconcile.markers import IndexMarkers
from nexus_bounty.reconcile.reconciler import HISTORY_A_RUN
from nexus_bounty.reconcile.rewards import MissingRewards
from nexus_bounty.testing.virtual_time import run as run_in_virtual_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ZONE = "z"
COLD, WARM = "cold", "warm"
POSTED, LIVED = 1_000, 200
"""How many bounties are open, and how many have been settled, in a zone of each kind of server."""
MOST_RUNS = 100
"""By then what goes on for ever has looked at all that is long past, in a zone of these sizes."""
LONG = (MissingRewards.name, IndexMarkers.name)
"""Sweeps that go through everything there has ever been."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run took, or each of some at most."""

    requests: int
    pages: int
    seconds: float
    runs: int = 1

    @property
    def figures(self) -> dict[str, float]:
        """For JSON."""
        seconds = rounded(self.seconds)
        figures = {"requests": self.requests, "pages_of_names": self.pages, "seconds": seconds}
        return {**figures, "runs": self.runs}


@dataclass(slots=True)
class Found:
    """What the runs in a zone of one size took, by how many were stuck and by kind."""

    runs: dict[int, dict[str, Ran]] = field(default_factory=dict)
    peak_mb: float = 0.0


class CountingClient(NexusClient):
    """Counts the pages of names that it asks for."""

    pages = 0

    async def page(self, *arguments: Any, **named: Any) -> Page:
        """The page, counted."""
        self.pages += 1
        return await super().page(*arguments, **named)


@dataclass(slots=True)
class Zone:
    """A zone on a server, and the ledger that belongs to it."""

    server: Server
    credits: MemoryCredits
    stuck: int = 0

    async def fill(self, bounties: int) -> None:
        """Give it a history."""
        await self.credits.top_up("funds", account=population.CREATOR.agent_id, amount=10**12)
        self.server.populate(ZONE, bounties, 0)
        for record in population.at_rest(bounties):
            await population.escrow(self.credits, record)

    async def get_stuck(self, bounties: int) -> None:
        """Let so many more get stuck."""
        self.server.populate(ZONE, 0, bounties, self.stuck)
        for record in population.stuck(bounties, self.stuck):
            await population.escrow(self.credits, record)
        self.stuck += bounties

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Process]:
        """A process that has seen nothing yet."""
        async with CountingClient(self.server.url) as client:
            operations = operations_on(client, ZONE, self.credits)
            yield Process(self.server, client, Reconciler(operations))


@dataclass(slots=True)
class Process:
    """A process with a reconciler."""

    server: Server
    client: CountingClient
    reconciler: Reconciler

    async def run(self, stuck: int, step: Step, history: int | None = None) -> Ran:
        """Run until so many have been found and ended: at once, where a run looks at everything."""
        ran: list[Ran] = []
        found = 0
        while not ran or (history is not None and found < stuck and len(ran) < MOST_RUNS):
            one, repaired = await self._run(step, history)
            ran.append(one)
            found += repaired
        if found != stuck:
            raise RuntimeError(
                f"{stuck} were stuck, of which {found} were found by {len(ran)} runs"
            )
        requests, pages = max(each.requests for each in ran), max(each.pages for each in ran)
        return Ran(requests, pages, max(each.seconds for each in ran), len(ran))

    async def _run(self, step: Step, history: int | None) -> tuple[Ran, int]:
        """One run, and how many it found and ended."""

        def tell(sweep: str, at: str) -> None:
            if not at and sweep in LONG:
                step(sweep)

        requests, pages = self.server.requests, self.client.pages
        began = perf_counter()
        report = await self.reconciler.run_once(on_step=tell, history=history)
        seconds = perf_counter() - began
        if report.errors or report.found != report.repaired:
            raise RuntimeError(f"not all that is stuck could be ended: {report}")
        ran = Ran(self.server.requests - requests, self.client.pages - pages, seconds)
        return ran, report.repaired


async def measure(options: Options, step: Step) -> Report:
    """Run in zones of every size."""
    sizes = options.pick(tiny=[60], quick=[1_000, 10_000], full=[1_000, 10_000, 100_000])
    stuck = options.pick(tiny=[0, 9], quick=[0, 10, 100], full=[0, 10, 100])
    found = {}
    for size in sizes:
        found[size] = await _in_a_zone(size, stuck, part_of(step, f"{size:,} bounties"))
    posted, lived = options.pick(tiny=(60, 12), quick=(POSTED, LIVED), full=(POSTED, LIVED))
    kinds = {}
    for name in KINDS:
        step(f"on {name}")
        kinds[name] = await asyncio.to_thread(cost_on, name, posted, lived)
    return _report(found, kinds, table_of_kinds(kinds, posted, lived))


def cost_on(kind: str, posted: int = POSTED, lived: int = LIVED) -> dict[str, Cost]:
    """What runs cost on one kind of server."""
    return run_in_virtual_time(reconciling_cost(kind, posted, lived))


def table_of_kinds(
    kinds: Mapping[str, Mapping[str, Cost]], posted: int = POSTED, lived: int = LIVED
) -> Table:
    """Each kind of server in a line: requests, and the round trips that a run waits for."""
    runs = [f"{what}, {run}" for what in (OPEN, ENDED) for run in ("first", "later", "anew")]
    titles = [
        f"{posted:,} open: first run",
        "later",
        "another process",
        f"{lived:,} settled: first run",
        "later",
        "another process",
    ]
    lines: list[list[object]] = [
        [name, *(f"{costs[run].requests:,} ({costs[run].round_trips:,})" for run in runs)]
        for name, costs in kinds.items()
    ]
    return Table("Requests (round trips) of a run on each kind of server", ["", *titles], lines)


async def _in_a_zone(size: int, stuck: list[int], step: Step) -> Found:
    found = Found()
    with mock_server() as server:
        zone = Zone(server, MemoryCredits(clock=lambda: population.PAST))
        step("filling")
        await zone.fill(size)
        async with zone.process() as long_lived:
            found.peak_mb = await _peak(long_lived, part_of(step, "cold run, weighed"))
            for number in stuck:
                await zone.get_stuck(number)
                async with zone.process() as new:
                    cold = await new.run(number, part_of(step, f"cold run, {number} stuck"))
                await zone.get_stuck(number)
                warm = await long_lived.run(
                    number, part_of(step, f"warm run, {number} stuck"), HISTORY_A_RUN
                )
                found.runs[number] = {COLD: cold, WARM: warm}
    return found


async def _peak(process: Process, step: Step) -> float:
    """The most memory that a first run takes, in MB; a tracer would slow down a timed one."""
    tracemalloc.start()
    try:
        await process.run(0, step)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def _report(
    found: dict[int, Found], kinds: Mapping[str, Mapping[str, Cost]], on_kinds: Table
) -> Report:
    rows = [
        [f"{size:,}", stuck, kind, ran.runs, ran.requests, ran.pages, ran.seconds]
        for size, zone in found.items()
        for kind in (COLD, WARM)
        for stuck, runs in zone.runs.items()
        for ran in (runs[kind],)
    ]
    return Report(
        "reconciler",
        {
            "reconciler": {
                str(size): {
                    str(stuck): {kind: ran.figures for kind, ran in runs.items()}
                    for stuck, runs in zone.runs.items()
                }
                for size, zone in found.items()
            },
            "reconciler_on": {
                name: {run: cost.requests for run, cost in costs.items()}
                for name, costs in kinds.items()
            },
            "reconciler_peak_mb": {str(n): rounded(zone.peak_mb) for n, zone in found.items()},
        },
        [
            Table(
                "A run of the reconciler",
                ["bounties", "stuck", "", "runs", "requests", "of these pages of names", "s"],
                rows,
            ),
            Table(
                "The most memory that a cold run takes, what it remembers included",
                ["bounties", "MB"],
                [[f"{size:,}", zone.peak_mb] for size, zone in found.items()],
            ),
            on_kinds,
        ],
        lambda figure: _draw(figure, found),
    )


def _draw(figure: Figure, found: dict[int, Found]) -> None:
    by_size, by_stuck = figure.subplots(1, 2)
    most = max(next(iter(found.values())).runs)
    for kind, marker in ((COLD, "o"), (WARM, "s")):
        for stuck in (0, most):
            requests = [zone.runs[stuck][kind].requests for zone in found.values()]
            by_size.plot(list(found), requests, marker=marker, label=f"{kind}, {stuck} stuck")
    by_size.set(title="requests a run", xlabel="bounties", xscale="log", yscale="log")
    for size, zone in found.items():
        beyond = [runs[WARM].requests - zone.runs[0][WARM].requests for runs in zone.runs.values()]
        by_stuck.plot(list(zone.runs), beyond, marker="o", label=f"{size:,} bounties")
    by_stuck.set(title="requests of a warm run beyond one with none stuck", xlabel="stuck")
    for axes in (by_size, by_stuck):
        axes.legend(fontsize=7)


if __name__ == "__main__":
    run_alone(measure)
