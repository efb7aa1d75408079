"""What lives in a file keeps the contract of its port."""

import pytest

from nexus_bounty.testing import (
    ClaimStoreContract,
    CreditsServiceContract,
    RangeMemoriesContract,
)
from nexus_bounty_sqlite import SqliteClaimStore, SqliteCredits


class TestSqliteCredits(CreditsServiceContract):
    @pytest.fixture
    async def credits(self, clock, tmp_path):
        async with SqliteCredits(tmp_path / "ledger.db", clock=clock) as service:
            yield service
            assert (await service.verify()).ok


class TestSqliteRangeMemories(RangeMemoriesContract):
    @pytest.fixture
    async def journal(self, tmp_path):
        async with SqliteCredits(tmp_path / "ledger.db") as service:
            yield service


class TestSqliteClaims(ClaimStoreContract):
    @pytest.fixture
    async def claims(self, clock, tmp_path):
        async with SqliteClaimStore(tmp_path / "claims.db", clock=clock) as claims:
            yield claims
