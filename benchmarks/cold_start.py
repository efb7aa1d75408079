"""How much CPU time it takes to start: the package, its help, and one command that asks a server.

Each is a process of its own, beside `python -c 'import httpx'` in the same environment: what any
program that speaks HTTP pays. Modules are compiled before, and processes take turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from benchmarks.harness.charts import lying_bars
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Spread, Step, take_turns
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import mock_server

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ZONE, BOUNTY = "bench", "bounty-000000"
HTTPX = "import httpx"
PROGRAM = ("-m", "nexus_bounty.cli")
STARTS: Mapping[str, tuple[str, ...]] = {
    HTTPX: ("-c", "import httpx"),
    "import": ("-c", "import nexus_bounty"),
    "help": (*PROGRAM, "--help"),
    "show": (*PROGRAM, "show", BOUNTY, "--json", "--zone", ZONE),
}
AT_MOST: Mapping[str, float] = {"import": 1.6, "help": 1.2, "show": 2.4}
"""What each may take, of what it takes to import httpx."""


async def measure(options: Options, step: Step) -> Report:
    """Start each once for warmth, then in turns."""
    with mock_server() as server:
        server.fill(ZONE, 1)
        turns = {name: _turn(start, server.url) for name, start in STARTS.items()}
        for turn in turns.values():
            await turn()
        found = await take_turns(
            turns, options.rounds or options.pick(tiny=1, quick=9, full=25), step
        )
    return _report(found)


def _turn(start: tuple[str, ...], url: str) -> Callable[[], Awaitable[float]]:
    environment = {**os.environ, "NEXUS_URL": url}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    async def turn() -> float:
        return cpu_seconds(start, environment)

    return turn


def cpu_seconds(start: tuple[str, ...], environment: Mapping[str, str]) -> float:
    """What a Python process with these arguments takes, its system calls included.

    Raises:
        RuntimeError: It failed.
    """
    process = subprocess.Popen([sys.executable, *start], env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(start)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def _report(found: dict[str, list[float]]) -> Report:
    ratios = {
        name: Spread.of_ratios(turns, found[HTTPX])
        for name, turns in found.items()
        if name != HTTPX
    }
    rows = [
        [" ".join(("python", *STARTS[name])), Spread.of(turns), ratios.get(name), AT_MOST.get(name)]
        for name, turns in found.items()
    ]
    columns = ["", "seconds of CPU time", "× import httpx", "at most"]
    figures = {name: spread.figures["median"] for name, spread in ratios.items()}
    return Report(
        "cold_start",
        {"cpu_vs_import_httpx": figures},
        [Table("CPU time of a start", columns, rows)],
        lambda figure: _draw(figure, ratios),
    )


def _draw(figure: Figure, ratios: Mapping[str, Spread]) -> None:
    axes = figure.subplots()
    lying_bars(axes, list(ratios), list(ratios.values()))
    axes.axvline(1, color="grey", linestyle="--")
    axes.set(title="CPU time of a start, × that of importing httpx")


if __name__ == "__main__":
    run_alone(measure)
