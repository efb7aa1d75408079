"""What lives on a server keeps the contract of its port."""

import pytest

from nexus_bounty.testing import (
    ClaimStoreContract,
    CreditsServiceContract,
    RangeMemoriesContract,
)
from nexus_bounty_postgres import PostgresClaimStore, PostgresCredits


class TestPostgresCredits(CreditsServiceContract):
    @pytest.fixture
    async def credits(self, clock, postgres_url):
        async with PostgresCredits(postgres_url, clock=clock) as service:
            yield service
            assert (await service.verify()).ok


class TestPostgresRangeMemories(RangeMemoriesContract):
    @pytest.fixture
    async def journal(self, postgres_url):
        async with PostgresCredits(postgres_url) as service:
            yield service


class TestPostgresClaims(ClaimStoreContract):
    @pytest.fixture
    async def claims(self, clock, postgres_url):
        async with PostgresClaimStore(postgres_url, clock=clock) as claims:
            yield claims
