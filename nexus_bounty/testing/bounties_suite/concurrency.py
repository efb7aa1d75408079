"""Several writers at once: one wins, and the others know."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import pytest

from nexus_bounty.models import Bounty
from nexus_bounty.outcomes import BountyExistsError, PreCommitError
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.bounties_suite.base import BountyStoreSuite
from nexus_bounty.testing.bounties_suite.moves import ALICE
from nexus_bounty.testing.builders import make_agent, make_bounty

CLAIMERS: Final = 8


class Concurrency(BountyStoreSuite):
    """Several writers at once: one wins, and the others know."""

    @pytest.mark.usefixtures("several_writers")
    async def test_of_eight_agents_claiming_at_once_one_wins(self, store: BountyStore) -> None:
        """The winner is the one in the document; the others know that they are not."""
        await store.create_bounty(make_bounty())
        agents = [make_agent(f"agent-{number}") for number in range(CLAIMERS)]
        won, lost = await _race(
            store.claim_bounty("b-1", agent, f"c-{agent.agent_id}") for agent in agents
        )
        assert (len(won), len(lost)) == (1, CLAIMERS - 1)
        assert await store.get_bounty("b-1") == won[0]

    @pytest.mark.usefixtures("several_writers")
    async def test_of_eight_bounties_created_at_once_under_one_id_one_stays(
        self, store: BountyStore
    ) -> None:
        """The others are told that it exists."""
        won, lost = await _race(
            store.create_bounty(make_bounty(title=f"offer {number}")) for number in range(CLAIMERS)
        )
        assert (len(won), len(lost)) == (1, CLAIMERS - 1)
        assert all(isinstance(error, BountyExistsError) for error in lost)
        assert await store.get_bounty("b-1") == won[0]

    @pytest.mark.usefixtures("several_writers")
    async def test_the_same_claim_made_eight_times_at_once_is_made_once(
        self, store: BountyStore
    ) -> None:
        """All callers with one key get the one claim."""
        await store.create_bounty(make_bounty())
        won, lost = await _race(
            store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="k-1") for _ in range(CLAIMERS)
        )
        assert lost == []
        assert won == [await store.get_bounty("b-1")] * CLAIMERS


async def _race(calls: Iterable[Any]) -> tuple[list[Bounty], list[PreCommitError]]:
    """What all calls at once end in: the snapshots, and the refusals."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    won = [each for each in results if isinstance(each, Bounty)]
    lost = [each for each in results if isinstance(each, PreCommitError)]
    assert len(won) + len(lost) == len(results), results
    return won, lost
