"""What every `ContributionStore` must do."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

import pytest
import pytest_asyncio

from nexus_bounty.models import AgentIdentity, Contribution
from nexus_bounty.ports import ContributionStore


class ContributionStoreContract:
    """Override the fixture `contributions` to give a store that holds `KNOWN` and nothing else."""

    pytestmark = pytest.mark.asyncio

    KNOWN = Contribution(
        cid="blake3:known",
        agent=AgentIdentity(agent_id="alice"),
        tags=("fast", "tested"),
        scores={"accuracy": 0.93},
    )

    @pytest_asyncio.fixture
    async def contributions(self) -> ContributionStore:
        """A store that holds `KNOWN`."""
        raise NotImplementedError

    async def test_it_is_a_contribution_store(self, contributions: ContributionStore) -> None:
        """The store has every method of the protocol."""
        assert isinstance(contributions, ContributionStore)

    async def test_a_contribution_is_found_by_its_content_id(
        self, contributions: ContributionStore
    ) -> None:
        """What was delivered comes back with author, tags and scores."""
        found = await contributions.get(self.KNOWN.cid)
        assert found is not None
        assert (found.cid, found.agent) == (self.KNOWN.cid, self.KNOWN.agent)
        assert (list(found.tags), found.scores) == (list(self.KNOWN.tags), self.KNOWN.scores)

    async def test_an_unknown_content_id_finds_nothing(
        self, contributions: ContributionStore
    ) -> None:
        """A content id that was never delivered is not an error."""
        assert await contributions.get("blake3:unknown") is None
