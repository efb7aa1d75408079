"""Every request of every operation fails once, in every way, and the verdict is always right."""

from __future__ import annotations

import pytest

from nexus_bounty.outcomes import Outcome
from nexus_bounty.testing.virtual_time import run
from tests.adapters.nexuspay.credits_trials import (
    EVERY_FAULT,
    OPERATIONS,
    Operation,
    World,
    try_all,
)
from tests.adapters.nexuspay.truth import HURRIED, PATIENT, RELEASES

ONE_OF_EACH = tuple({fault.kind: fault for fault in reversed(EVERY_FAULT)}.values())


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_no_verdict_is_wrong_and_nothing_happens_twice(operation: Operation) -> None:
    """One specimen of each fault at each request, and none leaves the outcome unknown."""
    said = run(try_all(operation, World("0.9", PATIENT), ONE_OF_EACH))
    assert Outcome.UNKNOWN not in said.values()


@pytest.mark.exhaustive
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("knows", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("settings", [PATIENT, HURRIED], ids=["patient", "hurried"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_no_verdict_is_wrong_whatever_fails(operation, settings, knows, release) -> None:
    """Every specimen of every fault; only who has no patience is left without an answer."""
    said = run(try_all(operation, World(release, settings, knows=knows), EVERY_FAULT))
    assert (Outcome.UNKNOWN in said.values()) == (settings is HURRIED)
