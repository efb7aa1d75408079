"""Times: the store's own, in UTC, never going back."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from nexus_bounty.models import BountyStatus
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.bounties_suite.base import BountyStoreSuite
from nexus_bounty.testing.bounties_suite.moves import ALICE, BY_METHOD, HOUR, LIFE, LONG_AGO
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty.testing.clock import ManualClock

_S = BountyStatus


class Times(BountyStoreSuite):
    """Times: the store's own, in UTC, never going back."""

    async def test_every_change_says_when(self, store: BountyStore, clock: ManualClock) -> None:
        """The time of the update is the store's, not what the caller says."""
        created = await store.create_bounty(make_bounty(updated_at=LONG_AGO))
        clock.advance(HOUR)
        claimed = await store.claim_bounty("b-1", ALICE, "c-1")
        assert LONG_AGO < created.updated_at <= claimed.updated_at

    async def test_the_time_of_update_never_goes_back(
        self, store: BountyStore, clock: ManualClock
    ) -> None:
        """Not even when the clock does, as between two machines."""
        last = (await store.create_bounty(make_bounty(status=_S.DRAFT))).updated_at
        for method in LIFE:
            clock.advance(-HOUR)
            moved = await BY_METHOD[method].make(store)
            assert moved.updated_at >= last
            last = moved.updated_at

    async def test_the_time_of_creation_never_changes(
        self, store: BountyStore, clock: ManualClock
    ) -> None:
        """Whatever happens to the bounty."""
        created = await store.create_bounty(make_bounty(status=_S.DRAFT))
        for method in LIFE:
            clock.advance(HOUR)
            assert (await BY_METHOD[method].make(store)).created_at == created.created_at

    async def test_every_time_is_aware_and_in_utc(self, store: BountyStore) -> None:
        """A deadline given in another zone is the same moment in UTC."""
        elsewhere = timezone(timedelta(hours=5, minutes=30))
        moment = datetime(2040, 6, 1, 12, tzinfo=elsewhere)
        await store.create_bounty(make_bounty(deadline=moment, created_at=moment))
        stored = await store.get_bounty("b-1")
        assert stored is not None
        assert stored.deadline == stored.created_at == moment
        for time in (stored.deadline, stored.created_at, stored.updated_at):
            assert time.tzinfo is UTC
