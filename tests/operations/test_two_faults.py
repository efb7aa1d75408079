"""Two things go wrong in one operation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest

from nexus_bounty.mock import Fault
from nexus_bounty.testing.virtual_time import run
from tests.operations import operation_trials
from tests.operations.operation_trials import CASES, ONE_OF_A_KIND, Case
from tests.support.sampling import every_nth
from tests.support.world import (
    LEDGER_FAULTS,
    CrashPlan,
    LedgerFault,
    a_world,
    broken_invariants,
    statuses_ever,
)


@dataclass(frozen=True)
class Mishap:
    """One thing that goes wrong: with a request, with a call of the ledger, or with the process."""

    number: int
    fault: Fault | None = None
    ledger: str | None = None

    def __str__(self) -> str:
        return f"#{self.number} {self.fault or self.ledger or 'crash'}"


async def _with_two(case: Case, mishaps: tuple[Mishap, Mishap]) -> list[str]:
    """Run `case` under both, then all that is late, then the reconciler, then a repeat."""
    world = await a_world()
    await operation_trials.prepare(world, case)
    before = world.mock.oracle.received_total
    seen_before = len(statuses_ever(world.mock))
    ledger, plan = None, CrashPlan()
    for each in mishaps:
        if each.fault:
            world.mock.inject(each.fault.on(at=before + each.number))
        elif each.ledger:
            ledger = LedgerFault(each.ledger, each.number)
        else:
            plan.at = each.number
    async with world.process(plan, ledger) as process:
        said = await operation_trials.verdict_of(case, process)
    await world.later()
    at_first = statuses_ever(world.mock)[seen_before:]
    wrong = await world.reconcile() + await broken_invariants(world)
    brought = statuses_ever(world.mock)[seen_before:]
    landed = at_first if case.name == "expire" else brought
    wrong += operation_trials.disagreements(case, said, landed)
    wrong += await operation_trials.repeated(world, case, said)
    return [f"{case.name} {mishaps[0]}, {mishaps[1]}: {said}: {each}" for each in wrong]


def _pairs(case: Case) -> Iterator[tuple[Mishap, Mishap]]:
    """Every fault at every request, with every later fault, ledger failure or crash."""
    calm = run(operation_trials.attempt(case))
    requests = range(1, calm.requests + 1)
    first = [Mishap(number, fault) for number in requests for fault in ONE_OF_A_KIND]
    ledger = [
        Mishap(number, ledger=kind)
        for number in range(1, calm.ledger_calls + 1)
        for kind in LEDGER_FAULTS
    ]
    crashes = [Mishap(number) for number in range(1, calm.boundaries + 6)]
    for one in first:
        for number in range(one.number + 1, calm.requests + 6):
            yield from ((one, Mishap(number, fault)) for fault in ONE_OF_A_KIND)
        yield from ((one, other) for other in (*ledger, *crashes))
    yield from itertools.product(ledger, crashes)


@pytest.mark.parametrize("case", every_nth(2, CASES), ids=lambda case: case.name)
def test_two_faults_leak_nothing_either(case: Case) -> None:
    """A sample of all pairs, the same every time."""
    pairs = Random(case.name).sample(list(_pairs(case)), 12)
    assert not [each for pair in pairs for each in run(_with_two(case, pair))]


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_two_faults_leak_credits_or_lie(case: Case) -> None:
    """All pairs."""
    assert not [each for pair in _pairs(case) for each in run(_with_two(case, pair))]
