"""Every implementation of the money and claim ports keeps the contract of its port."""

import pytest

from nexus_bounty.memory import MemoryClaimStore, MemoryContributionStore, MemoryCredits
from nexus_bounty.testing import (
    ClaimStoreContract,
    ContributionStoreContract,
    CreditsServiceContract,
)
from nexus_bounty_sqlite import SqliteClaimStore, SqliteCredits


class TestMemoryCredits(CreditsServiceContract):
    @pytest.fixture
    async def credits(self, clock):
        async with MemoryCredits(clock=clock) as service:
            yield service
            assert (await service.verify()).ok


class TestSqliteCredits(CreditsServiceContract):
    @pytest.fixture
    async def credits(self, clock, tmp_path):
        async with SqliteCredits(tmp_path / "ledger.db", clock=clock) as service:
            yield service
            assert (await service.verify()).ok


class TestMemoryClaims(ClaimStoreContract):
    @pytest.fixture
    async def claims(self, clock):
        async with MemoryClaimStore(clock=clock) as claims:
            yield claims


class TestSqliteClaims(ClaimStoreContract):
    @pytest.fixture
    async def claims(self, clock, tmp_path):
        async with SqliteClaimStore(tmp_path / "claims.db", clock=clock) as claims:
            yield claims


class TestMemoryContributions(ContributionStoreContract):
    @pytest.fixture
    async def contributions(self):
        return MemoryContributionStore([self.KNOWN])
