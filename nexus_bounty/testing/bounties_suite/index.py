"""The index: healthy whatever was done, and what to do if not."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

import pytest

from nexus_bounty.models import BountyQuery, BountyStatus
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.bounties_suite.base import BountyStoreSuite, ids_of
from nexus_bounty.testing.bounties_suite.moves import BY_METHOD, LIFE
from nexus_bounty.testing.builders import make_bounty, make_bounty_in

_S = BountyStatus


class Index(BountyStoreSuite):
    """The index: healthy whatever was done, and what to do if not."""

    async def test_the_index_is_healthy_after_every_step_of_a_life(
        self, store: BountyStore
    ) -> None:
        """No operation that returned leaves anything to repair."""
        await store.create_bounty(make_bounty(status=_S.DRAFT))
        for method in (None, *LIFE):
            if method:
                await BY_METHOD[method].make(store)
            assert all(index.healthy for index in await store.list_index_statuses())

    @pytest.mark.parametrize("ending", ["expire_bounty", "cancel_bounty"])
    async def test_the_index_is_healthy_after_a_life_cut_short(
        self, store: BountyStore, ending: str
    ) -> None:
        """Also when a bounty that was once released ends without being done."""
        await self.live(store, "fund_bounty", "claim_bounty", "release_bounty", ending)
        assert all(index.healthy for index in await store.list_index_statuses())

    async def test_repairing_a_healthy_index_changes_nothing(self, store: BountyStore) -> None:
        """Of all bounties or of one, as often as one likes."""
        await self.live(store, "fund_bounty", "claim_bounty", "release_bounty")
        await store.create_bounty(make_bounty_in(_S.SETTLED, bounty_id="b-2"))
        before = await store.list_bounties()
        for bounty_id in (None, None, "b-1", "b-1", "nobody"):
            assert all(index.healthy for index in await store.repair_index(bounty_id))
        assert await store.list_bounties() == before
        assert ids_of(await store.list_bounties(BountyQuery(status=_S.OPEN))) == {"b-1"}
        assert all(index.healthy for index in await store.list_index_statuses())

    async def test_an_audit_of_a_healthy_index_looks_at_all_and_finds_nothing(
        self, store: BountyStore
    ) -> None:
        """It may be taken up after any of its pages, and mending nothing is quiet."""
        for status in BountyStatus:
            await store.create_bounty(make_bounty_in(status, bounty_id=f"b-{status.value}"))
        pages = [page async for page in store.audit_index()]
        assert sum(page.checked for page in pages) >= len(BountyStatus)
        assert not [page for page in pages if page.faults]
        for place, page in enumerate(pages):
            assert [each async for each in store.audit_index(page.after)] == pages[place + 1 :]
        assert await store.repair_markers([]) == []
