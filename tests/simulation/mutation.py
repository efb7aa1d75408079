"""Plants a fault in the code of a fresh process, and hunts it there until a schedule shows it.

Nothing of `nexus_bounty` may have been imported before; so this module imports none of it.
"""

from __future__ import annotations

import builtins
import dis
import importlib.util
import logging
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Final, Self

from tests.simulation.mutants import Mutant

if TYPE_CHECKING:
    from tests.simulation.scenario import Schedule

SEEDS: Final = 4000
SCHEDULES: Final = 8000
"""How many schedules a mutant may survive before it is called a survivor."""
SECONDS: Final = 20
"""A mutant that computes for so long on one schedule stands still, and is found out, too."""
CANNOT_RUN: Final = (TypeError, AttributeError, NameError)
"""What a mutant ends in that is written wrongly: that would show, and its fault would not."""


@dataclass(frozen=True, slots=True)
class Hunted:
    """What became of a mutant: killed by a violation after so many schedules, or a survivor."""

    mutant: Mutant
    killed_by: str | None
    schedules: int
    schedule: Schedule | None = None


class MutantError(Exception):
    """A mutant's text is not where the table says; the code has moved on."""


class StandsStillError(BaseException):
    """The mutant computes and computes; no `except Exception` of its own hides that."""


class _MutantLoader(SourceFileLoader):
    """Compiles the source with one piece of text exchanged."""

    def __init__(self, fullname: str, path: str, mutant: Mutant) -> None:
        super().__init__(fullname, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        """The mutant's code, never from a cache and never into one."""
        return compiled(self._mutant, Path(self.get_filename(fullname)))


class _MutantFinder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module with the fault in it, if it is that one."""
        if fullname != self._mutant.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            raise MutantError(f"{fullname} was not found")
        loader = _MutantLoader(fullname, spec.origin, self._mutant)
        return importlib.util.spec_from_file_location(fullname, spec.origin, loader=loader)


def mutated(mutant: Mutant, source: str) -> str:
    """`source` with the fault in it.

    Raises:
        MutantError: The text to be exchanged is not there exactly once.
    """
    found = source.count(mutant.old)
    if found != 1:
        raise MutantError(
            f"mutant {mutant.name!r}: its text was found {found} times in {mutant.module}: "
            f"{mutant.old!r}"
        )
    return source.replace(mutant.old, mutant.new)


def compiled(mutant: Mutant, path: Path) -> CodeType:
    """The code of the module at `path` with the fault in it.

    Raises:
        MutantError: The text to be exchanged is not there exactly once, or what takes its place
            names something that is not there: that would show, and the fault would not.
    """
    code = compile(mutated(mutant, path.read_text("utf-8")), str(path), "exec")
    there = {*vars(builtins), *code.co_names}
    if unknown := sorted({*_globals_of(code)} - there):
        raise MutantError(f"mutant {mutant.name!r} names {', '.join(unknown)}")
    return code


def _globals_of(code: CodeType) -> Iterator[str]:
    """The global names that functions in `code` look up."""
    for each in dis.get_instructions(code):
        if each.opname == "LOAD_GLOBAL":
            yield each.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _globals_of(inner)


def plant(mutant: Mutant) -> None:
    """Put the fault into this process, once and for all.

    Raises:
        MutantError: The code has been imported already, or the text was not found.
    """
    if any(name.split(".")[0] == "nexus_bounty" for name in sys.modules):
        raise MutantError("nexus_bounty is imported already: plant in a fresh process")
    sys.meta_path.insert(0, _MutantFinder(mutant))


def hunt(mutant: Mutant, ignored: frozenset[str] = frozenset()) -> Hunted:
    """Look for a schedule in which the mutant shows; `ignored` kinds of violations do not count.

    Raises:
        MutantError: It cannot be planted, or it shows only that it is written wrongly.
    """
    plant(mutant)
    importlib.import_module(mutant.module)
    logging.disable(logging.CRITICAL)
    found = _hunted(mutant, ignored)
    if found.killed_by is not None:
        check_runs(mutant, found.killed_by)
    return found


def _hunted(mutant: Mutant, ignored: frozenset[str]) -> Hunted:
    number = 0
    schedule = None
    try:
        with _alarm(SECONDS) as alarm:
            for number, (schedule, violations) in enumerate(_hunting(), 1):
                alarm.put_off()
                kinds = sorted(set(violations) - ignored)
                if kinds:
                    return Hunted(mutant, kinds[0], number, schedule)
    except StandsStillError:
        return Hunted(mutant, "it stands still", number)
    except Exception as error:  # noqa: BLE001 - it cannot even do what no fault disturbs
        return Hunted(mutant, f"{type(error).__name__} in a calm run: {error}", number)
    return Hunted(mutant, None, number)


def check_runs(mutant: Mutant, shown_by: str) -> None:
    """See that it is the fault that shows.

    Raises:
        MutantError: The mutant is written wrongly, and that shows.
    """
    if any(each.__name__ in shown_by for each in CANNOT_RUN):
        raise MutantError(f"mutant {mutant.name!r} cannot even run: {shown_by}")


def _hunting() -> Iterator[tuple[Schedule, list[str]]]:
    """Schedules and what they violate: kept ones, random ones, then a share of all with faults."""
    from tests.simulation.exhaustive import parts
    from tests.simulation.kept import KEPT, OPEN, read
    from tests.simulation.shrink import kind_of
    from tests.simulation.simulation import replay, run_seed

    left = SCHEDULES
    for schedule in map(read, [*KEPT, *OPEN]):
        yield schedule, [kind_of(each) for each in replay(schedule).violations]
    for seed in range(1, SEEDS + 1):
        schedule, result = run_seed(seed)
        yield schedule, [kind_of(each) for each in result.violations]
        left -= 1
    trials = [part.trials(replay) for part in (*parts(1), *parts(2))]
    while trials and left > 0:
        for each in list(trials):
            ran = next(each, None)
            if ran is None:
                trials.remove(each)
                continue
            yield ran[0], [kind_of(violation) for violation in ran[1].violations]
            left -= 1


class _alarm:  # noqa: N801 - reads as a statement
    """Raises `StandsStillError` in the main thread after some seconds of its own time."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def __enter__(self) -> Self:
        signal.signal(signal.SIGVTALRM, self._ring)
        self.put_off()
        return self

    def put_off(self) -> None:
        """Wait for as long again."""
        signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds)

    def __exit__(self, *_ended: object) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _ring(self, *_signal: object) -> None:
        raise StandsStillError


def hunt_all(
    mutants: Iterable[Mutant],
    workers: int,
    ignored: frozenset[str] = frozenset(),
    until: float | None = None,
) -> Iterator[Hunted]:
    """Hunt mutants, each in a process of its own; those not begun by `until` are left out."""
    waiting = list(mutants)
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as executor:
        under_way: list[Future[Hunted]] = []
        while waiting or under_way:
            if until is not None and monotonic() > until:
                waiting.clear()
            while waiting and len(under_way) < workers:
                under_way.append(executor.submit(hunt, waiting.pop(0), ignored))
            if under_way:
                done = next(as_completed(under_way))
                under_way.remove(done)
                yield done.result()
