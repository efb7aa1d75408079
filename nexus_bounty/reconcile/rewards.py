"""Missing rewards: bounties that were settled and whose reward nobody recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nexus_bounty.models import Bounty, BountyQuery, BountyStatus, RewardQuery, RewardType
from nexus_bounty.operations.services import Services
from nexus_bounty.operations.settle import record_payout
from nexus_bounty.reconcile.sweep import Problem, Scope


class MissingRewards:
    """Settles that died between their last commit and the reward."""

    name = "missing rewards"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every settled bounty without the reward that its payment calls for."""
        store = scope.services.store
        payouts = await store.list_rewards(RewardQuery(reward_type=RewardType.BOUNTY_PAYOUT))
        rewarded = {reward.bounty_id for reward in payouts}
        async for bounty in store.walk_bounties(BountyQuery(status=BountyStatus.SETTLED)):
            paid = None not in (bounty.reservation_id, bounty.fulfilled_by_cid, bounty.claimed_by)
            young = scope.is_young(bounty.updated_at)
            if paid and not young and bounty.bounty_id not in rewarded:
                yield _problem(scope.services, bounty)


def _problem(services: Services, bounty: Bounty) -> Problem:
    async def record() -> str:
        await record_payout(services, bounty)
        return "recorded"

    return Problem(bounty.bounty_id, "is settled, and its reward is not recorded", record)
