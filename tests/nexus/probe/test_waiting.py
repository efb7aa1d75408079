"""What a probe is asked to wait puts off its end by just as long."""

from __future__ import annotations

import pytest

from nexus_bounty import NexusClient
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client import classification
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.probe.scratch import MOST_SECONDS, ScratchZone
from tests.support.virtual import virtual


@virtual
async def test_a_wait_is_not_taken_off_a_probes_time_and_not_added_to_it_either() -> None:
    """Retries excuse what a server asks for, too; a probe counts it itself."""
    asked = NexusError(
        classification.RATE_LIMITED, method="stat", path="", detail="", retry_after=50.0
    )
    async with NexusClient("http://nexus", transport=MockNexus().transport()) as client:
        zone = ScratchZone(client, lambda _: None)
        for _ in range(2):
            assert await zone._again(1, asked)
            assert zone.deadline.remaining == pytest.approx(MOST_SECONDS)
        assert not await zone._again(1, asked)
