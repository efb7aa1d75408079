"""Rewards: each recorded once."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from nexus_bounty.models import RewardQuery, RewardRecord, RewardType
from nexus_bounty.outcomes import IdempotencyMismatchError
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.bounties_suite.base import BountyStoreSuite
from nexus_bounty.testing.bounties_suite.moves import BOB, HOUR
from nexus_bounty.testing.builders import CREATED, make_bounty, make_reward


class Rewards(BountyStoreSuite):
    """Rewards: each recorded once."""

    async def test_a_recorded_reward_is_there(self, store: BountyStore) -> None:
        """It is returned, listed and known by its id."""
        reward = make_reward(transfer_id="t-1")
        assert await store.record_reward(reward) == reward
        assert await store.has_reward(reward.reward_id)
        assert await store.list_rewards() == [reward]

    async def test_a_reward_never_recorded_is_not_there(self, store: BountyStore) -> None:
        """Asking is not an error."""
        assert not await store.has_reward("r-1")

    async def test_many_rewards_are_looked_up_at_once(self, store: BountyStore) -> None:
        """Those that are recorded."""
        for number in range(3):
            await store.record_reward(make_reward(reward_id=f"r-{number}"))
        assert await store.recorded_rewards(["r-2", "r-9", "", "r-0"]) == {"r-0", "r-2"}

    async def test_recording_a_reward_again_is_recording_it_once(self, store: BountyStore) -> None:
        """The first record stays, with or without a key, and whenever the repeat was made."""
        reward = make_reward()
        later = msgspec.structs.replace(reward, created_at=CREATED + HOUR)
        assert await store.record_reward(reward) == reward
        assert await store.record_reward(later) == reward
        assert await store.record_reward(reward, idempotency_key="k-1") == reward
        assert await store.list_rewards() == [reward]

    @pytest.mark.parametrize(
        "other",
        [
            {"amount": 101},
            {"recipient": BOB},
            {"contribution_cid": "cid-2"},
            {"bounty_id": "b-2"},
            {"reward_type": RewardType.REVIEW_REWARD},
        ],
        ids=lambda other: next(iter(other)),
    )
    async def test_a_reward_id_stands_for_one_reward(
        self, store: BountyStore, other: dict[str, Any]
    ) -> None:
        """Another reward under a used id is refused, and the first stays."""
        reward = await store.record_reward(make_reward(reward_id="r-1"))
        with pytest.raises(IdempotencyMismatchError):
            await store.record_reward(msgspec.structs.replace(reward, **other))
        assert await store.list_rewards() == [reward]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            (RewardQuery(), {"r-1", "r-2", "r-3"}),
            (RewardQuery(reward_type=RewardType.ADOPTION_BONUS), {"r-2"}),
            (RewardQuery(recipient_agent_id="bob"), {"r-2", "r-3"}),
            (RewardQuery(bounty_id="b-1"), {"r-1"}),
            (RewardQuery(contribution_cid="cid-3"), {"r-3"}),
            (RewardQuery(recipient_agent_id="bob", contribution_cid="cid-1"), {"r-2"}),
        ],
        ids=["all", "type", "recipient", "bounty", "contribution", "both"],
    )
    async def test_rewards_are_listed_by_each_filter(
        self, store: BountyStore, query: RewardQuery, found: set[str]
    ) -> None:
        """Each filter alone, and all that are given together."""
        bonus = RewardType.ADOPTION_BONUS
        for reward in (
            make_reward(reward_id="r-1"),
            make_reward(reward_id="r-2", reward_type=bonus, recipient=BOB, bounty_id=None),
            make_reward(reward_id="r-3", recipient=BOB, contribution_cid="cid-3", bounty_id="b-3"),
        ):
            await store.record_reward(reward)
        assert {reward.reward_id for reward in await store.list_rewards(query)} == found

    async def test_rewards_are_listed_newest_first_up_to_a_limit(self, store: BountyStore) -> None:
        """Whatever the order in which they were recorded."""
        for age in (1, 0, 2):
            await store.record_reward(
                make_reward(reward_id=f"r-{age}", created_at=CREATED - age * HOUR)
            )
        assert _reward_ids(await store.list_rewards()) == ["r-0", "r-1", "r-2"]
        assert _reward_ids(await store.list_rewards(RewardQuery(limit=2))) == ["r-0", "r-1"]
        assert _reward_ids(await store.list_rewards(RewardQuery(limit=0))) == []

    async def test_rewards_are_no_bounties(self, store: BountyStore) -> None:
        """They do not show in listings, nor take ids away."""
        await store.record_reward(make_reward(reward_id="b-1"))
        assert await store.get_bounty("b-1") is None
        bounty = await store.create_bounty(make_bounty())
        assert await store.list_bounties() == [bounty]


def _reward_ids(rewards: Iterable[RewardRecord]) -> list[str]:
    return [reward.reward_id for reward in rewards]
