"""The command line: explore, hunt mutants, replay, keep score.

python -m tests.simulation --seeds 1-1000 --minutes 2 --json
python -m tests.simulation --replay 4711           # a seed
python -m tests.simulation --replay violation.json # a schedule in a file
python -m tests.simulation --scoreboard            # how others fare

A million schedules, with a stranger in 84,000 of them and every two faults of the main cases on
every server, take hours:

python -m tests.simulation --seeds 1-420000 --faults 2 --no-mutants --json
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from random import Random
from time import monotonic

from rich.console import Console

from tests.simulation import exhaustive, hostile, kept, report, work
from tests.simulation.bindings import hunt_bindings
from tests.simulation.histories import check_many
from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import hunt_all
from tests.simulation.progress import Steps
from tests.simulation.report import PLANTED, Report
from tests.simulation.shrink import kind_of, shrink
from tests.simulation.simulation import replay, run_seed

SHARE_OF_MUTANTS = 0.5
"""How much of the time given goes into mutants at most."""


def main(arguments: list[str] | None = None) -> None:
    """Explore as asked; ends with exit code 1 if anything is violated, or too few mutants die."""
    asked = _parser().parse_args(arguments)
    console = Console(stderr=asked.json)
    work.prepare()
    if asked.replay is not None:
        raise SystemExit(_replay(asked.replay, asked.shrink, console))
    if asked.scoreboard:
        from tests.simulation.scoreboard import keep_score

        raise SystemExit(keep_score(console, workers=asked.workers, as_json=asked.json))
    if asked.histories:
        raise SystemExit(_check_histories(asked.histories, console))
    found = _explore(asked, console)
    report.show(found, console, asked.report)
    if asked.json:
        print(json.dumps(found.as_json()))  # noqa: T201 - the answer
    raise SystemExit(not found.is_clean)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make explore ARGS=…", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", type=_interval, default=(1, 1000), help="such as 1-1000")
    every = "every schedule with up to so many faults (default: 1), as far as there is time"
    parser.add_argument("--faults", type=int, choices=(0, 1, 2), default=1, help=every)
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument("--workers", type=int, help="processes (default: one a processor)")
    parser.add_argument("--no-mutants", dest="mutants", action="store_false")
    parser.add_argument("--replay", metavar="SEED|FILE", help="run one schedule and show its trace")
    parser.add_argument("--shrink", action="store_true", help="with --replay: make it small first")
    others = "how naive operations and other clients of conditional writes fare"
    parser.add_argument("--scoreboard", action="store_true", help=others)
    longest = "check so many histories of 200 calls, 10 %% of them unknown, for linearizability"
    parser.add_argument("--histories", type=int, metavar="N", help=longest)
    parser.add_argument("--report", type=Path, default=Path("build/exploration"), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    return parser


def _interval(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _explore(asked: argparse.Namespace, console: Console) -> Report:
    began = monotonic()
    end = began + 60 * asked.minutes if asked.minutes else None
    found = Report()
    with Steps(console) as progress, work.Pool(asked.workers) as pool:
        begun = [work.Kept(), *work.seeds(*asked.seeds), *hostile.jobs(*asked.seeds)]
        _run(pool, begun, end, found, progress)
        if asked.mutants:
            until = None if end is None else began + SHARE_OF_MUTANTS * (end - began)
            _hunt(pool.workers, until, found, progress)
        for faults in range(1, asked.faults + 1):
            jobs = list(work.faults(exhaustive.parts(faults)))
            Random(faults).shuffle(jobs)  # so that what there is time for is a fair share
            _run(pool, jobs, end, found, progress)
    found.seconds = monotonic() - began
    return found


def _run(
    pool: work.Pool,
    jobs: Sequence[work.Job],
    end: float | None,
    found: Report,
    progress: Steps,
) -> None:
    began = monotonic()
    left = Counter(job.name for job in jobs)
    task = progress.of("schedules", len(jobs))
    for job, summary in pool.do(jobs, end):
        for kind in summary.violations.keys() - found.total.violations.keys():
            progress.console.print(f"violated: {kind}", style="red", markup=False, soft_wrap=True)
        found.total.merge(summary)
        found.by_job[job.name] += summary.schedules
        left[job.name] -= 1
        elapsed = found.exploring + monotonic() - began
        figures = (
            f"{found.total.schedules:,} done, {60 * found.total.schedules / elapsed:,.0f}/min, "
            f"{found.total.violating} violating"
        )
        progress.step(task, job.name, figures)
    found.exploring += monotonic() - began
    found.left_out.update(left)


def _hunt(workers: int, until: float | None, found: Report, progress: Steps) -> None:
    task = progress.of("mutants", PLANTED)
    shown = [each for path in kept.OPEN for each in replay(kept.read(path)).violations]
    known = frozenset([*found.total.violations, *map(kind_of, shown)])
    for hunted in chain(hunt_all(MUTANTS, workers, known, until), hunt_bindings(workers, until)):
        found.hunted.append(hunted)
        figures = f"{len(found.hunted) - len(found.survivors)} of {len(found.hunted)} killed"
        progress.step(task, "mutants", figures)


def _check_histories(number: int, console: Console) -> int:
    found, seconds = check_many(number)
    console.print(f"{found} of {number} histories linearizable, in {seconds:.1f} s")
    return found < number


def _replay(what: str, smaller: bool, console: Console) -> int:
    if what.isdecimal():
        schedule, result = run_seed(int(what))
    else:
        schedule = kept.read(Path(what))
        result = replay(schedule)
    if smaller and result.violations:
        kind = kind_of(result.violations[0])
        schedule = shrink(schedule, lambda each: report.shows(each, kind))
        result = replay(schedule)
    report.show_run(schedule, result, console)
    console.print(f"{len(result.violations)} violations")
    return bool(result.violations)
