"""RenameCommit under every fault at every request, on every release that was measured."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.testing.virtual_time import run
from tests.support.naive_commits import TrustingCommit
from tests.support.racing import MEASURED, QUIRKS
from tests.support.store_trials import OPERATIONS, Operation, attempt, trials, verdicts, wrong

CREATE, CLAIM, RENEW = (
    next(each for each in OPERATIONS if each.name == name) for name in ("create", "claim", "renew")
)
WAYS = {"cold": {}, "warm": {"warm": True}, "impatient": {"impatient": True}}


def on(release: str) -> dict[str, Any]:
    """A release, and what is committed with there."""
    strategy = partial(RenameCommit, quirks=QUIRKS[release])
    return {
        "personality": release,
        "atomic": None,
        "rename_delay": 0,
        "strategy": strategy,
    }


def by_name(value: object) -> str:
    return value.name if isinstance(value, Operation) else str(value)


@pytest.mark.parametrize(
    ("release", "operation", "way"),
    [
        ("0.7.0", CREATE, "cold"),
        ("0.9", CLAIM, "cold"),
        ("0.9.26", CLAIM, "warm"),
        ("0.10", CREATE, "cold"),
        ("0.10", CLAIM, "impatient"),
    ],
    ids=by_name,
)
def test_no_fault_of_a_sample_makes_a_wrong_verdict(
    release: str, operation: Operation, way: str
) -> None:
    """Judged by the slots: committed once or never, as was said, and never unknown."""
    found = list(trials(operation, **on(release), **WAYS[way], sample=True))
    assert not wrong(found)
    assert verdicts(found)["unknown"] == 0
    fenced = any(trial.error and "fence" in str(trial.error.evidence) for trial in found)
    assert fenced is (way == "impatient")


@pytest.mark.exhaustive
@pytest.mark.parametrize("release", MEASURED)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_no_fault_in_any_operation_makes_a_wrong_verdict(
    operation: Operation, way: str, release: str
) -> None:
    """The same for every operation; staged at the root on 0.5.6, read from copies on 0.9.

    Whose etags are stale on 0.9.26, and constant on 0.10.
    """
    found = list(trials(operation, **on(release), **WAYS[way]))
    assert not wrong(found)
    assert verdicts(found)["unknown"] == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("options", [{"torn_reads": True}, {"etag": "version"}, {"etag": "path"}])
def test_odd_etags_mislead_nobody(options: dict[str, Any]) -> None:
    """A slot is won once and never written again, whatever its etag says."""
    assert not wrong(list(trials(CLAIM, **on("0.7.0"), **options, impatient=True)))


def test_the_suite_catches_one_who_trusts_every_answer_here_too() -> None:
    """The counter-example fails on this server as well."""
    assert wrong(list(trials(CLAIM, **on("0.7.0") | {"strategy": TrustingCommit}, sample=True)))


@pytest.mark.parametrize(
    ("release", "requests"), [("0.5.6", 4), ("0.7.0", 4), ("0.9", 4), ("0.9.26", 4), ("0.10", 3)]
)
def test_a_commit_costs_so_many_requests_and_a_cold_read_two(release: str, requests: int) -> None:
    """Look at the file, stage and rename, or create, then bring the file up to date.

    Where a slot loses its content, a copy is written with what is staged. A renewal has no markers.
    """
    warm = run(attempt(RENEW, {}, **on(release), warm=True))
    cold = run(attempt(RENEW, {}, **on(release)))
    assert warm.requests == requests
    assert cold.requests == warm.requests + 2
