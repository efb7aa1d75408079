"""RenameCommit under every fault at every request, on a server whose preconditions race."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.testing.virtual_time import run
from tests.store.counterexamples import TrustingCommit
from tests.store.exhaustive import OPERATIONS, Operation, attempt, trials
from tests.store.test_every_fault import verdicts, wrong

RACING: dict[str, Any] = {"personality": "0.7.0", "atomic": False, "strategy": RenameCommit}
USUAL = [each for each in OPERATIONS if each.name in ("create", "claim", "release")]
WAYS = {"cold": {}, "warm": {"warm": True}, "impatient": {"impatient": True}}


def by_name(value: object) -> str:
    return value.name if isinstance(value, Operation) else str(value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("operation", USUAL, ids=by_name)
def test_no_fault_at_any_request_makes_a_wrong_verdict(operation: Operation, way: str) -> None:
    """Judged by the slots: committed once or never, as was said, and never unknown."""
    found = list(trials(operation, **RACING, **WAYS[way]))
    assert not wrong(found)
    assert verdicts(found)["unknown"] == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_no_fault_in_any_operation_makes_a_wrong_verdict(operation: Operation, way: str) -> None:
    """The same for every operation."""
    found = list(trials(operation, **RACING, **WAYS[way]))
    assert not wrong(found)
    assert verdicts(found)["unknown"] == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("options", [{"torn_reads": True}, {"etag": "version"}, {"etag": "path"}])
def test_odd_etags_mislead_nobody(options: dict[str, Any]) -> None:
    """A slot is won once and never written again, whatever its etag says."""
    claim = next(each for each in OPERATIONS if each.name == "claim")
    assert not wrong(list(trials(claim, **RACING, **options, impatient=True)))


def test_giving_up_early_is_proven_by_a_fence_in_the_slot() -> None:
    """With one try only, what is not committed can no longer be."""
    claim = next(each for each in OPERATIONS if each.name == "claim")
    found = list(trials(claim, **RACING, impatient=True))
    assert any(trial.error and "fence" in str(trial.error.evidence) for trial in found)


def test_the_suite_catches_one_who_trusts_every_answer_here_too() -> None:
    """The counter-example fails on this server as well."""
    claim = next(each for each in OPERATIONS if each.name == "claim")
    assert wrong(list(trials(claim, **{**RACING, "strategy": TrustingCommit})))


MARKERS = {"create": 1, "renew": 0, "release": 1}


@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_a_commit_costs_five_requests_and_a_cold_read_two(operation: Operation) -> None:
    """Look at the file, stage, rename, look at the slot, bring the file up to date."""
    markers = MARKERS.get(operation.name, 2)
    warm = run(attempt(operation, {}, **RACING, warm=True))
    cold = run(attempt(operation, {}, **RACING))
    assert warm.requests == 5 + markers
    assert cold.requests == warm.requests + (0 if operation.start is None else 2)
