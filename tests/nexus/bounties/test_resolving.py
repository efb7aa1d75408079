"""What became of an operation, asked for afterwards: definite, with the bounty as it stands."""

from __future__ import annotations

import asyncio

from nexus_bounty import BountyStatus, NexusBountyStore, NexusClient
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.outcomes import Outcome
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.store_trials import BOUNTY_ID, DOCUMENT, KEY, WORKER, seed
from tests.support.virtual import virtual


@virtual
async def test_a_resolution_shows_what_others_have_made_of_the_bounty_since_the_fence() -> None:
    """The answer to the fence is lost, and somebody claims before anybody looks again."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    await seed(mock, BountyStatus.OPEN)
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store, other = (
            NexusBountyStore(client, commit="conditional", clock=wall_clock) for _ in range(2)
        )
        fence = RequestMatch(method="write", path=DOCUMENT)
        mock.inject(Fault(FaultKind.TIMEOUT_AFTER, match=fence))
        resolving = asyncio.ensure_future(store.resolve_operation(BOUNTY_ID, KEY))
        await asyncio.sleep(1)
        claimed = await other.claim_bounty(BOUNTY_ID, WORKER, "c")
        found = await resolving
    assert found.outcome is Outcome.PRE_COMMIT
    assert found.bounty == claimed
