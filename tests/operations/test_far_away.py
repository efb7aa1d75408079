"""Every request of a whole life x every fault, on a server whose answers take long.

There files ride with the batches of the next operation, and what was done ahead is taken up later.
"""

from __future__ import annotations

import pytest

from nexus_bounty.operations import BountyOperations
from tests.operations.operation_trials import Case, Trial, crash_trials, request_trials
from tests.support.world import BOB, BOUNTY_ID, CID, a_bounty

FAR = 0.2
"""Seconds that a request travels: a life takes longer than files may be late on a near server."""


async def _live(operations: BountyOperations) -> None:
    await operations.create(a_bounty(), idempotency_key="the-create")
    await operations.claim(BOUNTY_ID, BOB, idempotency_key="the-claim")
    await operations.settle(BOUNTY_ID, CID, idempotency_key="the-settle")


LIFE = Case("life", (), _live, ("pending_settlement",))
releases = pytest.mark.parametrize("release", ["0.7.0", "0.9", "0.10"])


def wrong(found: list[Trial]) -> list[str]:
    return [f"{trial.name}: {trial.verdict}: {trial.problems}" for trial in found if trial.problems]


@pytest.mark.thorough
@pytest.mark.parametrize("release", ["0.7.0", "0.10"])
def test_far_away_a_fault_at_any_request_of_a_life_leaks_nothing(release: str) -> None:
    """A sample of them."""
    assert not wrong(list(request_trials(LIFE, sample=True, release=release, away=FAR)))


@pytest.mark.exhaustive
@releases
@pytest.mark.parametrize("impatient", [False, True])
def test_far_away_no_fault_at_any_request_of_a_life_leaks_credits_or_lies(
    release: str, impatient: bool
) -> None:
    """All of them, with many tries and with one."""
    trials = request_trials(LIFE, release=release, away=FAR, impatient=impatient)
    assert not wrong(list(trials))


@pytest.mark.exhaustive
@releases
def test_far_away_a_crash_at_any_boundary_of_a_life_is_repaired(release: str) -> None:
    """Before and after every request, those that carry files of others among them."""
    assert not wrong(list(crash_trials(LIFE, release, FAR)))
