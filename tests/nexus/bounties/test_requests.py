"""How many requests each operation needs; the mock counts."""

from __future__ import annotations

import pytest

from nexus_bounty import NexusBountyStore, NexusClient
from nexus_bounty.mock import MockNexus
from nexus_bounty.testing.virtual_time import run
from tests.support.store_trials import BOUNTY_ID, OPERATIONS, Operation, attempt

COLD = {"create": 2, "renew": 2, "release": 3}
WITHOUT_BULK_WRITES = COLD | {"release": 5, "begin_settlement": 6}
"""Several markers take a request each, and finding that out takes one, once a client."""
ATOMIC = ["0.5.6", "0.7.0", "0.10-hypothetical"]


def expected(operation: Operation, personality: str) -> int:
    budget = WITHOUT_BULK_WRITES if personality == "0.5.6" else COLD
    return budget.get(operation.name, 4)


@pytest.mark.parametrize("personality", ATOMIC)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_a_cold_store_needs_at_most_four_requests_for_a_transition_and_two_to_create(
    operation: Operation, personality: str
) -> None:
    """Read, new marker, commit, old marker: the acknowledgement's etag spares the read-back."""
    trial = run(attempt(operation, {}, personality=personality))
    assert trial.verdict == "committed"
    assert trial.requests == expected(operation, personality)


@pytest.mark.parametrize("personality", ATOMIC)
@pytest.mark.parametrize("operation", OPERATIONS[1:], ids=lambda each: each.name)
def test_a_store_that_has_seen_the_bounty_needs_one_request_less(
    operation: Operation, personality: str
) -> None:
    """What a store remembers spares it the read."""
    trial = run(attempt(operation, {}, personality=personality, warm=True))
    assert trial.verdict == "committed"
    assert trial.requests == expected(operation, personality) - 1


async def test_getting_a_bounty_takes_one_request() -> None:
    """Content and etag come in one answer."""
    mock = MockNexus()
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        assert await NexusBountyStore(client, commit="conditional").get_bounty(BOUNTY_ID) is None
    assert mock.request_count == 1
