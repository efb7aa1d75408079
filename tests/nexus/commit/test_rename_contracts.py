"""The contracts of the stores, committed by rename where preconditions decide nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nexus_bounty import NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.testing.bounties_suite import BountyStoreContract
from nexus_bounty.testing.claims_suite import ClaimStoreContract
from nexus_bounty.testing.clock import ManualClock
from tests.support.racing import QUIRKS

MORE: list[tuple[str, StorageEncoding]] = [
    ("0.9", "raw"),
    ("0.7.0", "base64"),
    ("0.5.6", "raw"),
    ("0.9.26", "raw"),
    ("0.10", "base64"),
]
UNDATED = "0.9.26"
"""Its listings tell no dates."""
SERVERS = [
    pytest.param(("0.7.0", "raw"), id="0.7.0-raw"),
    pytest.param(("0.10", "raw"), id="0.10-raw"),
    *(pytest.param(each, id="-".join(each), marks=pytest.mark.exhaustive) for each in MORE),
]


def by_rename(
    personality: str, encoding: StorageEncoding, clock: ManualClock
) -> tuple[NexusClient, RenameCommit]:
    """A client of a server whose preconditions decide nothing."""
    mock = MockNexus(personality, rename_delay=0, clock=clock)
    settings = NexusSettings(storage_encoding=encoding, retry_base=0.001)
    client = NexusClient("http://nexus", settings=settings, transport=mock.transport())
    return client, RenameCommit(client, QUIRKS[personality])


class TestBountiesCommittedByRename(BountyStoreContract):
    """The store over slots."""

    @pytest.fixture(params=SERVERS)
    def server(self, request):
        return request.param

    @pytest.fixture
    async def store(self, server, clock):
        client, commit = by_rename(server[0], server[1], clock)
        async with client:
            yield NexusBountyStore(client, commit=commit, clock=clock)


class TestClaimsCommittedByRename(ClaimStoreContract):
    """The leases over slots, their locks included."""

    tells_dates: bool

    @pytest.fixture(params=SERVERS)
    def server(self, request):
        return request.param

    @pytest.fixture
    async def claims(self, server, clock):
        self.tells_dates = server[0] != UNDATED
        client, commit = by_rename(server[0], server[1], clock)
        async with client:
            yield NexusClaimStore(client, commit=commit, clock=clock)

    async def test_claims_that_ended_long_ago_are_deleted(self, claims, clock):
        """Where nobody can say how long ago a file was written, they stay."""
        if self.tells_dates:
            await super().test_claims_that_ended_long_ago_are_deleted(claims, clock)
            return
        held = await self.claim(claims)
        ended = await claims.release(held.claim_id)
        clock.advance(timedelta(days=100))
        assert await claims.clean_completed(timedelta(days=2)) == 0
        assert await claims.list_claims() == [ended]
