"""Answers that drip or are too large, poisoned files and lost probes: at every request in turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.simulation import hazards
from tests.simulation.scenario import ATOMIC, Actor, Scenario, Schedule
from tests.simulation.simulation import Result, replay
from tests.support.sampling import every_nth

ODD = (hazards.DRIP, hazards.OVERSIZE, hazards.POISON)
LOST = ("drop_before", "drop_after", "late-timeout-1000")
DOES = {"nothing": "create", "open": "claim", "claimed": "settle"}


def at_every_request(what: Scenario, hazard: str) -> Iterator[Result]:
    """A run for each request and each call of the ledger, at which this goes wrong, if it can."""
    (actor,) = what.actors
    calm = replay(Schedule(scenario=what))
    assert calm.violations == []
    assert calm.turns
    for _, number, _ in calm.turns:
        choice = {f"{actor.name}.{number}.fault": hazard}
        result = replay(Schedule(scenario=what, choices=choice))
        if result.choices:  # a ledger cannot drip
            yield result


@pytest.mark.parametrize("server", [ATOMIC, "0.7.0"])
@pytest.mark.parametrize("start", DOES)
@pytest.mark.parametrize("hazard", ODD)
def test_an_odd_answer_or_file_at_any_request_makes_nothing_wrong(
    hazard: str, start: str, server: str
) -> None:
    """Every caller hears the truth, every invariant holds, and everything comes to rest.

    What is too large once is too large again: then a caller may be told that nothing was done.
    """
    name = "alice" if start == "nothing" else "bob"
    what = Scenario(start=start, server=server, actors=(Actor(name=name, does=(DOES[start],)),))
    results = list(at_every_request(what, hazard))
    assert len(results) > 3
    assert [each.violations for each in results if each.violations] == []
    told = {done.verdict for each in results for done in each.operations}
    assert told <= {"committed", "post_commit", *(["pre_commit"] * (hazard == hazards.OVERSIZE))}


@pytest.mark.parametrize(
    ("server", "hazard"), every_nth(2, itertools.product(("0.10", "0.7.0"), LOST))
)
def test_a_request_of_a_probe_that_is_lost_fails_no_first_create(hazard: str, server: str) -> None:
    """Nor does it lead to another verdict on the server."""
    alice = Actor(name="alice", does=("create",))
    what = Scenario(start="nothing", server=server, actors=(alice,), probes=True)
    results = list(at_every_request(what, hazard))
    assert len(results) > 10
    assert [each.violations for each in results if each.violations] == []
    assert {done.verdict for each in results for done in each.operations} == {"committed"}
