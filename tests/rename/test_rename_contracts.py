"""The contracts of the stores, committed by rename on a server whose preconditions race."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from nexus_bounty import NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.claim_store import NexusClaimStore
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.settings import StorageEncoding
from nexus_bounty.ports import BountyStore, ClaimStore
from nexus_bounty.testing.bounties_suite import BountyStoreContract
from nexus_bounty.testing.claims_suite import ClaimStoreContract
from nexus_bounty.testing.clock import ManualClock

SERVERS: list[tuple[str, StorageEncoding]] = [
    ("0.7.0", "raw"),
    ("0.7.0", "base64"),
    ("0.5.6", "raw"),
    ("0.10", "raw"),
]


@pytest_asyncio.fixture(params=SERVERS, ids="-".join)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[NexusClient]:
    personality, encoding = request.param
    mock = MockNexus(personality, atomic=False, rename_delay=0)
    settings = NexusSettings(storage_encoding=encoding, retry_base=0.001)
    async with NexusClient("http://nexus", settings=settings, transport=mock.transport()) as each:
        yield each


class TestBountiesCommittedByRename(BountyStoreContract):
    """The store over slots."""

    @pytest_asyncio.fixture
    async def store(self, client: NexusClient, clock: ManualClock) -> AsyncIterator[BountyStore]:
        yield NexusBountyStore(client, commit=RenameCommit(client), clock=clock)


class TestClaimsCommittedByRename(ClaimStoreContract):
    """The leases over slots, their locks included."""

    @pytest_asyncio.fixture
    async def claims(self, client: NexusClient, clock: ManualClock) -> AsyncIterator[ClaimStore]:
        yield NexusClaimStore(client, commit=RenameCommit(client), clock=clock)
