"""What lives in memory keeps the contract of its port."""

import pytest

from nexus_bounty.memory import MemoryClaimStore, MemoryContributionStore, MemoryCredits
from nexus_bounty.testing import (
    ClaimStoreContract,
    ContributionStoreContract,
    CreditsServiceContract,
    RangeMemoriesContract,
)


class TestMemoryCredits(CreditsServiceContract):
    @pytest.fixture
    async def credits(self, clock):
        async with MemoryCredits(clock=clock) as service:
            yield service
            assert (await service.verify()).ok


class TestMemoryRangeMemories(RangeMemoriesContract):
    @pytest.fixture
    async def journal(self):
        return MemoryCredits()


class TestMemoryClaims(ClaimStoreContract):
    @pytest.fixture
    async def claims(self, clock):
        async with MemoryClaimStore(clock=clock) as claims:
            yield claims


class TestMemoryContributions(ContributionStoreContract):
    @pytest.fixture
    async def contributions(self):
        return MemoryContributionStore([self.KNOWN])
