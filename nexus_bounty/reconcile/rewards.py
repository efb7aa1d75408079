"""Missing rewards: bounties that were settled and whose reward nobody recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nexus_bounty.lifecycle import swept_for
from nexus_bounty.models import Bounty, RewardType, reward_id
from nexus_bounty.operations.services import Services
from nexus_bounty.operations.settle import record_payout
from nexus_bounty.reconcile.sweep import Problem, Scope, in_pages
from nexus_bounty.statuses import Repair

(_SETTLED,) = swept_for(Repair.RECORD_REWARD)  # one walk notes one place to go on from


class MissingRewards:
    """Settles that died between their last commit and the reward.

    A bounty whose reward is recorded stays so: its document is not read again.
    """

    name = "missing rewards"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every settled bounty without the reward that its payment calls for."""
        settled = scope.services.store.walk_ids(
            _SETTLED, after=scope.state.after, partition=scope.partition
        )
        async for ids in in_pages(settled, scope.page):
            in_doubt = [each for each in ids if scope.state.known.get(each) is None]
            async for bounty in _unrewarded(scope, in_doubt):
                yield _problem(scope.services, bounty)
            if not scope.has_room_after(len(ids), ids[-1]):
                return
        scope.has_seen_all()


async def _unrewarded(scope: Scope, ids: list[str]) -> AsyncIterator[Bounty]:
    store = scope.services.store
    bounties = await store.get_bounties(ids) if ids else {}
    settled = {
        bounty_id: bounty for bounty_id, bounty in bounties.items() if bounty.status is _SETTLED
    }
    due = {bounty_id: _reward_due(bounty) for bounty_id, bounty in settled.items()}
    wanted = [each for each in due.values() if each is not None]
    recorded = await store.recorded_rewards(wanted) if wanted else set()
    for bounty_id, reward in due.items():
        if reward is None or reward in recorded:
            scope.state.known.add(bounty_id, "nothing is missing")
        else:
            yield settled[bounty_id]


def _reward_due(bounty: Bounty) -> str | None:
    """The id of the reward that a settled bounty calls for; `None` if nothing was paid."""
    cid = bounty.fulfilled_by_cid
    if cid is None or bounty.reservation_id is None or bounty.claimed_by is None:
        return None
    return reward_id(RewardType.BOUNTY_PAYOUT, bounty.bounty_id, cid)


def _problem(services: Services, bounty: Bounty) -> Problem:
    async def record() -> str:
        await record_payout(services, bounty)
        return "recorded"

    what = "is settled, and its reward is not recorded"
    return Problem(bounty.bounty_id, what, record, touched=bounty.updated_at, about=bounty)
