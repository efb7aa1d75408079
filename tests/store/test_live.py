"""NexusBountyStore keeps the contract of its port on a real server, given by NEXUS_LIVE_URL."""

from __future__ import annotations

import os
import uuid
from typing import ClassVar

import pytest

from nexus_bounty import NexusBountyStore, NexusClient
from nexus_bounty.testing.bounties_suite import BountyStoreContract

URL = os.environ.get("NEXUS_LIVE_URL")

if URL is None:
    pytest.skip("NEXUS_LIVE_URL names no server", allow_module_level=True)

pytestmark = pytest.mark.live


class TestNexusBountyStoreOnALiveServer(BountyStoreContract):
    single_writer: ClassVar[str] = "preconditions race on the releases that can be installed"

    @pytest.fixture
    async def store(self, clock):
        zone_id = f"test-{uuid.uuid4().hex}"
        api_key = os.environ.get("NEXUS_LIVE_API_KEY")
        async with NexusClient(URL, api_key=api_key) as client:
            yield NexusBountyStore(client, zone_id, clock=clock)
