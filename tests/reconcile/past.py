"""A zone whose bounties ended long ago, and what goes wrong there afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nexus_bounty.models import RewardType, reward_id
from tests.reconcile.test_closed_days import add, dated, ended
from tests.reconcile.test_scale import PATHS, Zone, a_zone

ENDED = 300
NOTES = f"{PATHS.root}/indexes/bounties/notes/"
LEFTOVERS = ("staged", "commits", "contents")
"""Where each process looks once an hour for what is not needed any more."""


@asynccontextmanager
async def a_zone_with_a_past() -> AsyncIterator[Zone]:
    """Bounties that ended long ago, in a zone that is laid out by date."""
    async with a_zone(0, personality="0.7.0") as zone:
        await dated(zone)
        await add(zone, ended(ENDED))
        yield zone


def lose_a_reward(zone: Zone, which: int = 0) -> str:
    """Take the reward of a bounty away that was settled long ago; which bounty it was."""
    settled = [each.bounty for each in ended(ENDED) if each.rewarded][which]
    found = reward_id(RewardType.BOUNTY_PAYOUT, settled.bounty_id, settled.fulfilled_by_cid or "")
    zone.mock.core.table.remove(PATHS.reward(found))
    return settled.bounty_id


def has_reward(zone: Zone, bounty_id: str) -> bool:
    return any(
        f"{bounty_id}:" in path for path in zone.mock.files if path.startswith(PATHS.rewards)
    )
