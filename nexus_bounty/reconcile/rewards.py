"""Missing rewards: bounties that were settled and whose reward nobody recorded.

A reward says that somebody was paid, and so it is recorded on the word of the ledger: a document
alone may say of anybody that they were.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from nexus_bounty.lifecycle import swept_for
from nexus_bounty.models import Bounty, RewardType, reward_id
from nexus_bounty.operations.escrow import is_of, reservation_of
from nexus_bounty.operations.paying import has_claimer, record_payout, why_not_paid
from nexus_bounty.operations.without_credits import WithoutCredits
from nexus_bounty.ports import ReservationStatus
from nexus_bounty.reconcile.sweep import Problem, Scope, side_by_side
from nexus_bounty.statuses import Repair

_COMPLETE: Final = "nothing is missing"
_UNPAID: Final = (
    "the ledger does not say that its claimer was paid for it: believe the ledger, and look for "
    "who changed the document, or restored either"
)
(_SETTLED,) = swept_for(Repair.RECORD_REWARD)  # one walk notes one place to go on from


class MissingRewards:
    """Settles that died between their last commit and the reward.

    A bounty whose reward is recorded stays so: its document is not read again.
    """

    name = "missing rewards"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every settled bounty without the reward that its payment calls for."""
        store, state = scope.services.store, scope.state
        if not state.after:
            state.days.begin(store.first_open_day(scope.now))
        pages = store.walk_marked(
            _SETTLED,
            state.after,
            size=scope.page,
            since=state.days.since,
            partition=scope.partition,
        )
        async for page in pages:
            in_doubt = [each for each in page.ids if state.known.get(each) is None]
            unrewarded = await _unrewarded(scope, in_doubt)
            for problem in await side_by_side(partial(_problem, scope), unrewarded):
                if problem is not None:
                    yield problem
            if any(state.known.get(each.bounty_id) is None for each in unrewarded):
                state.days.found(page.day)
            elif state.days.is_closed(page.day):
                state.known.drop(*page.ids)  # they are not asked for again
            if not scope.has_room_after(len(page.ids), page.after):
                return
        scope.has_seen_all()


async def _unrewarded(scope: Scope, ids: list[str]) -> list[Bounty]:
    store = scope.services.store
    bounties = await store.get_bounties(ids) if ids else {}
    settled = {
        bounty_id: bounty for bounty_id, bounty in bounties.items() if bounty.status is _SETTLED
    }
    due = {bounty_id: _reward_due(bounty) for bounty_id, bounty in settled.items()}
    wanted = [each for each in due.values() if each is not None]
    recorded = await store.recorded_rewards(wanted) if wanted else set()
    missing = [
        each for each, reward in due.items() if reward is not None and reward not in recorded
    ]
    for bounty_id in due.keys() - missing:
        scope.state.known.add(bounty_id, _COMPLETE)
    return [settled[each] for each in missing]


def _reward_due(bounty: Bounty) -> str | None:
    """The id of the reward that a settled bounty calls for; `None` if nothing was paid."""
    cid = bounty.fulfilled_by_cid
    if cid is None or bounty.reservation_id is None or bounty.claimed_by is None:
        return None
    return reward_id(RewardType.BOUNTY_PAYOUT, bounty.bounty_id, cid)


async def _problem(scope: Scope, bounty: Bounty) -> Problem | None:
    """What is to be done about a reward that is missing; `None` if nothing is, or not yet."""
    services, what = scope.services, "is settled, and its reward is not recorded"
    if isinstance(services.credits, WithoutCredits) or await scope.is_elsewhere(bounty):
        return None
    found = await reservation_of(services, bounty)
    if found is None or not is_of(services, found, bounty):
        return Problem(bounty.bounty_id, what, reason=_UNPAID, touched=bounty.updated_at)
    if found.status is ReservationStatus.HELD:
        return None  # it is paid first
    if not has_claimer(found, bounty):
        if await why_not_paid(services, bounty, found) is None:
            return Problem(bounty.bounty_id, what, reason=_UNPAID, touched=bounty.updated_at)
        scope.state.known.add(bounty.bounty_id, _COMPLETE)  # nobody is to be rewarded
        return None

    async def record() -> str:
        await record_payout(services, bounty, paid=True)
        return "recorded"

    return Problem(bounty.bounty_id, what, record, touched=bounty.updated_at, about=bounty)
