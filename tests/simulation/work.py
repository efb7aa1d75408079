"""The work of an exploration in jobs, small enough to share out and to stop between."""

from __future__ import annotations

import gc
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from time import monotonic
from typing import Final, Protocol, Self

from tests.simulation.exhaustive import Part, Ran
from tests.simulation.kept import KEPT, read
from tests.simulation.scenario import Schedule
from tests.simulation.shrink import kind_of
from tests.simulation.simulation import CoverageKey, replay, run_seed

SEEDS_A_JOB: Final = 100
YOUNG: Final = 0
"""The garbage of one run alone, which costs least while the processor has it at hand."""
EXAMPLES: Final = 3
"""How many schedules to keep of each kind of violation."""


@dataclass
class Summary:
    """What some schedules showed."""

    schedules: int = 0
    requests: int = 0
    unresolved: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    """Schedules by kind of violation; one schedule may show several kinds."""
    violating: int = 0
    """Schedules with any violation."""
    examples: dict[str, list[Schedule]] = field(default_factory=dict)
    coverage: Counter[CoverageKey] = field(default_factory=Counter)

    def add(self, schedule: Schedule, ran: Ran) -> None:
        """Count one run of `schedule`."""
        result = ran[1]
        self.schedules += 1
        self.requests += result.requests
        self.unresolved += result.unresolved
        self.coverage.update(result.coverage)
        self.violating += bool(result.violations)
        for kind in sorted({kind_of(each) for each in result.violations}):
            self.violations[kind] += 1
            self._keep(kind, [schedule])

    def merge(self, other: Summary) -> None:
        """Add up."""
        self.schedules += other.schedules
        self.requests += other.requests
        self.unresolved += other.unresolved
        self.violating += other.violating
        self.violations.update(other.violations)
        self.coverage.update(other.coverage)
        for kind, examples in other.examples.items():
            self._keep(kind, examples)

    def _keep(self, kind: str, examples: list[Schedule]) -> None:
        kept = self.examples.setdefault(kind, [])
        kept += examples[: EXAMPLES - len(kept)]


class Job(Protocol):
    """Some schedules to run."""

    @property
    def name(self) -> str:
        """As people call it."""
        ...

    def ran(self) -> Iterator[Ran]:
        """Run them."""
        ...


@dataclass(frozen=True)
class Seeds:
    """The schedules drawn from some seeds."""

    first: int
    last: int
    name: str = "random schedules"

    def ran(self) -> Iterator[Ran]:
        """Run them."""
        return map(run_seed, range(self.first, self.last + 1))


@dataclass(frozen=True)
class Kept:
    """The schedules that are kept as files."""

    name: str = "kept schedules"

    def ran(self) -> Iterator[Ran]:
        """Run them."""
        return ((schedule, replay(schedule)) for schedule in map(read, KEPT))


@dataclass(frozen=True)
class PartOfFaults:
    """Some interleavings of a part of the exhaustive schedules."""

    part: Part
    interleaving: int

    @property
    def name(self) -> str:
        """As people call it."""
        return f"every schedule with {self.part.faults} fault{'s' * (self.part.faults > 1)}"

    def ran(self) -> Iterator[Ran]:
        """Run them."""
        return self.part.trials(replay, self.interleaving)


def seeds(first: int, last: int) -> Iterator[Job]:
    """The jobs for an interval of seeds."""
    for start in range(first, last + 1, SEEDS_A_JOB):
        yield Seeds(start, min(start + SEEDS_A_JOB - 1, last))


def faults(parts: Iterable[Part]) -> Iterator[Job]:
    """The jobs for exhaustive parts."""
    for part in parts:
        for interleaving in range(part.interleavings(replay)):
            yield PartOfFaults(part, interleaving)


def do(job: Job) -> Summary:
    """Run a job in this process."""
    summary = Summary()
    for ran in job.ran():
        summary.add(ran[0], ran)
        del ran  # what is still held now would pass for old, and stay until the job ends
        gc.collect(YOUNG)
    gc.collect()
    return summary


def prepare() -> None:
    """Make a process fit for many short runs: quiet, and its garbage left to the end of each.

    What is there by now stays, and is not looked through for garbage again.
    """
    logging.disable(logging.CRITICAL)
    gc.disable()
    gc.collect()
    gc.freeze()


class Pool:
    """Worker processes.

    Args:
        workers: How many; one for each processor if not given.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or os.cpu_count() or 1
        self._executor = ProcessPoolExecutor(
            self.workers, mp_context=get_context("spawn"), initializer=prepare
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ended: object) -> None:
        self._executor.shutdown(cancel_futures=True)

    def do(self, jobs: Iterable[Job], until: float | None = None) -> Iterator[tuple[Job, Summary]]:
        """Do jobs as long as there is time, and yield each with what it showed.

        `until` is a moment of `time.monotonic`; jobs that have begun by then are finished.
        """
        waiting = iter(jobs)
        under_way: dict[Future[Summary], Job] = {}
        while True:
            room = 2 * self.workers - len(under_way)
            if until is None or monotonic() < until:
                for job in islice(waiting, room):
                    under_way[self._executor.submit(do, job)] = job
            if not under_way:
                return
            finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in finished:
                yield under_way.pop(future), future.result()
