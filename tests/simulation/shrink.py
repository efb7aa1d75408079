"""Makes a failing schedule small: fewer choices, fewer actors, fewer operations, same violation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from tests.simulation.scenario import ATOMIC, Actor, Scenario, Schedule

_MOVING = re.compile(r"\[.*?\]|'[^']*'|[0-9a-f]{12,}|#\d+|\d+ requests")

Fails = Callable[[Schedule], bool]


def kind_of(violation: str) -> str:
    """A violation without what differs from run to run."""
    return _MOVING.sub("…", violation)


def shrink(schedule: Schedule, fails: Fails, most_runs: int = 400) -> Schedule:
    """The smallest schedule found that still `fails`, after at most `most_runs` runs."""
    runs = 0
    improved = True
    while improved and runs < most_runs:
        improved = False
        for smaller in _smaller(schedule):
            runs += 1
            if fails(smaller):
                schedule, improved = smaller, True
                break
            if runs >= most_runs:
                break
    return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    """Schedules that are a little smaller, those that leave out the most first."""
    yield from _fewer_choices(schedule)
    for scenario in _smaller_scenarios(schedule.scenario):
        yield replace(schedule, scenario=scenario)


def _fewer_choices(schedule: Schedule) -> Iterator[Schedule]:
    names = list(schedule.choices)
    size = len(names)
    while size:
        for first in range(0, len(names), size):
            kept = names[:first] + names[first + size :]
            yield replace(schedule, choices={name: schedule.choices[name] for name in kept})
        size //= 2


def _smaller_scenarios(scenario: Scenario) -> Iterator[Scenario]:
    actors = scenario.actors
    for at, actor in enumerate(actors):
        if len(actors) > 1:
            yield replace(scenario, actors=actors[:at] + actors[at + 1 :])
        for simpler in _simpler_actors(actor):
            yield replace(scenario, actors=(*actors[:at], simpler, *actors[at + 1 :]))
    if scenario.thorough:
        yield replace(scenario, thorough=False)
    if scenario.keyless:
        yield replace(scenario, keyless=False)
    if scenario.server != ATOMIC:
        yield replace(scenario, server=ATOMIC)
    if scenario.etag != "content":
        yield replace(scenario, etag="content")


def _simpler_actors(actor: Actor) -> Iterator[Actor]:
    for at in reversed(range(len(actor.does))):
        if len(actor.does) > 1:
            yield replace(actor, does=actor.does[:at] + actor.does[at + 1 :])
    if actor.skew:
        yield replace(actor, skew=0)
    if actor.impatient:
        yield replace(actor, impatient=False)
