"""The contracts of the stores, committed by rename on a server whose preconditions race."""

from __future__ import annotations

import pytest

from nexus_bounty import NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.claim_store import NexusClaimStore
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.settings import StorageEncoding
from nexus_bounty.testing.bounties_suite import BountyStoreContract
from nexus_bounty.testing.claims_suite import ClaimStoreContract

SERVERS: list[tuple[str, StorageEncoding]] = [
    ("0.7.0", "raw"),
    ("0.7.0", "base64"),
    ("0.5.6", "raw"),
    ("0.10", "raw"),
]


def by_rename(personality: str, encoding: StorageEncoding) -> NexusClient:
    """A client of a server whose preconditions race."""
    mock = MockNexus(personality, atomic=False, rename_delay=0)
    settings = NexusSettings(storage_encoding=encoding, retry_base=0.001)
    return NexusClient("http://nexus", settings=settings, transport=mock.transport())


class TestBountiesCommittedByRename(BountyStoreContract):
    """The store over slots."""

    @pytest.fixture(params=SERVERS, ids="-".join)
    def server(self, request):
        return request.param

    @pytest.fixture
    async def store(self, server, clock):
        async with by_rename(*server) as client:
            yield NexusBountyStore(client, commit=RenameCommit(client), clock=clock)


class TestClaimsCommittedByRename(ClaimStoreContract):
    """The leases over slots, their locks included."""

    @pytest.fixture(params=SERVERS, ids="-".join)
    def server(self, request):
        return request.param

    @pytest.fixture
    async def claims(self, server, clock):
        async with by_rename(*server) as client:
            yield NexusClaimStore(client, commit=RenameCommit(client), clock=clock)
