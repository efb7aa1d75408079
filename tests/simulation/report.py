"""Tells people, and programs, what an exploration showed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from tests.simulation import coverage
from tests.simulation.bindings import BINDINGS
from tests.simulation.kept import write
from tests.simulation.mutants import MUTANTS
from tests.simulation.mutation import Hunted
from tests.simulation.scenario import Schedule
from tests.simulation.shrink import kind_of, shrink
from tests.simulation.simulation import Result, replay
from tests.simulation.work import Summary

MOST_SURVIVE: Final = 0.05
"""The share of all mutants that an exploration may miss and still be worth something."""
PLANTED: Final = len(MUTANTS) + len(BINDINGS)
"""How many mutants there are to be hunted."""
MOST_SHOWN: Final = 5
"""How many kinds of violations to shrink and show."""


@dataclass
class Report:
    """All that an exploration showed."""

    total: Summary = field(default_factory=Summary)
    by_job: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    """Jobs of each kind for which there was no time."""
    exploring: float = 0.0
    """Seconds spent on schedules, mutants aside."""
    hunted: list[Hunted] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Schedules a minute."""
        return 60 * self.total.schedules / self.exploring if self.exploring else 0.0

    @property
    def survivors(self) -> list[str]:
        """The mutants that nothing showed."""
        return [each.mutant.name for each in self.hunted if each.killed_by is None]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was violated, by an exploration that would have shown it."""
        shows = len(self.survivors) <= MOST_SURVIVE * PLANTED
        return shows and not (self.total.violating or self.total.unresolved)

    def as_json(self) -> dict[str, Any]:
        """The figures, for the last line."""
        return {
            "schedules": self.total.schedules,
            "violations": self.total.violating,
            "unresolved": self.total.unresolved,
            "mutants": len(self.hunted),
            "mutants_killed": len(self.hunted) - len(self.survivors),
            "survivors": self.survivors,
            "mutants_left_out": PLANTED - len(self.hunted) if self.hunted else 0,
            "schedules_per_minute": round(self.rate),
            "by_kind": dict(self.by_job),
            "parts_left_out": self.left_out.total(),
            "cells": len(self.total.coverage),
            "kinds": dict(self.total.violations),
            "seconds": round(self.seconds, 1),
        }


def show(report: Report, console: Console, directory: Path) -> None:
    """Print the tables, and write the heat map and the schedules of violations."""
    total = report.total
    if total.schedules:
        console.rule("coverage")
        for line in coverage.table(total.coverage):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        directory.mkdir(parents=True, exist_ok=True)
        page = directory / "coverage.html"
        page.write_text(coverage.heat_map(total.coverage))
        console.print(f"heat map: {page}", highlight=False)
    if report.hunted:
        console.rule("mutants")
        _show_mutants(report, console)
    console.rule("schedules")
    for name, count in report.by_job.items():
        left = report.left_out[name]
        note = f" ({left} of its parts left out: no time)" if left else ""
        console.print(f"{count:>9} {name}{note}", highlight=False)
    console.print(
        f"{total.schedules:>9} schedules, {report.rate:,.0f} a minute; "
        f"{total.violating} violating, {total.unresolved} unresolved",
        highlight=False,
    )
    _show_violations(total, console, directory)


def _show_mutants(report: Report, console: Console) -> None:
    for each in report.hunted:
        fate = f"killed after {each.schedules}: {each.killed_by}" if each.killed_by else "SURVIVED"
        console.print(f"{each.mutant.name}\n      {fate}", highlight=False, markup=False)
    killed = len(report.hunted) - len(report.survivors)
    left = PLANTED - len(report.hunted)
    note = f" ({left} left out: no time)" if left else ""
    console.print(f"{killed} of {len(report.hunted)} mutants killed{note}", highlight=False)


def _show_violations(total: Summary, console: Console, directory: Path) -> None:
    for number, (kind, count) in enumerate(total.violations.most_common(), 1):
        console.rule(f"violation {number}: {count} times", style="red")
        console.print(kind, highlight=False, markup=False)
        if number <= MOST_SHOWN:
            smallest = shrink(total.examples[kind][0], partial(shows, kind=kind))
            path = directory / f"violation-{number}.json"
            write(path, smallest)
            show_run(smallest, replay(smallest), console)
            console.print(f'again: make explore ARGS="--replay {path}"', highlight=False)


def shows(schedule: Schedule, kind: str) -> bool:
    """Whether a run of `schedule` shows a kind of violation."""
    return kind in {kind_of(each) for each in replay(schedule).violations}


def show_run(schedule: Schedule, result: Result, console: Console) -> None:
    """One run for people: who wants what, what goes wrong, what happened."""
    plain = {"highlight": False, "markup": False, "soft_wrap": True}
    scenario = schedule.scenario
    where = f"a server like {scenario.server} with {scenario.etag} etags"
    console.print(f"start: {scenario.start}, on {where}", **plain)  # type: ignore[arg-type]
    if scenario.stranger:
        console.print(f"mallory: forges, {scenario.stranger}", **plain)  # type: ignore[arg-type]
    for actor in scenario.actors:
        odd = [f"clock {actor.skew:+} s"] * bool(actor.skew) + ["impatient"] * actor.impatient
        where = f" in {actor.process}'s process" if actor.process else ""
        wants = ", then ".join(actor.does)
        console.print(f"{actor.name}{where}: {wants} {' '.join(odd)}", **plain)  # type: ignore[arg-type]
    for name, choice in schedule.choices.items():
        console.print(f"   {name} = {choice}", **plain)  # type: ignore[arg-type]
    console.print(result.text, **plain)  # type: ignore[arg-type]
    for violation in result.violations:
        console.print(f"violated: {violation}", **plain)  # type: ignore[arg-type]
