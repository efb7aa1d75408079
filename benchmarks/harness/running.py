"""Runs benchmarks: progress while they do, tables and files when they have."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from rich.console import Console

from benchmarks.harness.circumstances import Circumstances
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import Step

Benchmark = Callable[[Options, Step], Awaitable[Report]]


def run_alone(benchmark: Benchmark, arguments: Sequence[str] | None = None) -> None:
    """Run one benchmark as the command line says."""
    options = Options.parse(sys.modules[benchmark.__module__].__doc__ or "", arguments, alone=True)
    report = run(benchmark, options)
    if options.json:
        print(json.dumps(report.figures))


def run(
    benchmark: Benchmark, options: Options, circumstances: Circumstances | None = None
) -> Report:
    """Run one benchmark to its end, show what it found, and save it.

    `circumstances` are those before the first of many; those of now are kept otherwise.
    """
    circumstances = circumstances or Circumstances.now(options)
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 120)
    name = benchmark.__module__.rsplit(".", 1)[-1]
    name = name if name != "__main__" else (sys.argv[0].rsplit("/", 1)[-1].removesuffix(".py"))
    with _progress(name.replace("_", " ")) as step:
        report = asyncio.run(_awaited(benchmark(options, step)))
    report.show(console)
    report.save(options.out, circumstances)
    return report


async def _awaited(running: Awaitable[Report]) -> Report:
    return await running


@contextmanager
def _progress(name: str) -> Iterator[Step]:
    """One line on a terminal, a line a step elsewhere."""
    console = Console(stderr=True, highlight=False)
    began = perf_counter()
    with console.status(f"{name} …") as status:

        def step(what: str) -> None:
            line = f"{name}: {what}"
            if console.is_terminal:
                status.update(f"{line} ({perf_counter() - began:.0f} s)")
            else:
                console.print(line, soft_wrap=True)

        yield step
    console.print(f"{name}: done in {perf_counter() - began:.1f} s", soft_wrap=True)


def merged(reports: Sequence[Report]) -> dict[str, Any]:
    """The figures of all, each under its own keys."""
    figures: dict[str, Any] = {}
    for report in reports:
        figures |= report.figures
    return figures
