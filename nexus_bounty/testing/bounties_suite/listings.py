"""Listing, counting, paging, and finding what is past its deadline."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from nexus_bounty.models import BountyQuery, BountyStatus
from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.bounties_suite.base import BountyStoreSuite, ids_of
from nexus_bounty.testing.bounties_suite.moves import ALICE, BOB, BY_METHOD, HOUR, LIFE, LONG_AGO
from nexus_bounty.testing.builders import CREATED, DEADLINE, make_bounty, make_bounty_in

_S = BountyStatus


class Listings(BountyStoreSuite):
    """Listing, counting, paging, and finding what is past its deadline."""

    async def test_an_empty_store_lists_and_counts_nothing(self, store: BountyStore) -> None:
        """No bounties, no rewards, in whatever status."""
        assert await store.list_bounties() == []
        assert await store.list_bounties(BountyQuery(status=list(BountyStatus))) == []
        assert await store.count_bounties() == 0
        assert await store.find_expired_bounties() == []
        assert await store.list_rewards() == []

    async def test_without_a_query_all_bounties_are_listed(self, store: BountyStore) -> None:
        """Every status counts."""
        for status in BountyStatus:
            await store.create_bounty(make_bounty_in(status, bounty_id=status.value))
        assert ids_of(await store.list_bounties()) == {status.value for status in BountyStatus}

    @pytest.mark.parametrize("status", list(BountyStatus))
    async def test_a_status_lists_its_own_bounties(
        self, store: BountyStore, status: BountyStatus
    ) -> None:
        """One bounty in each status, and the one that was asked for."""
        for each in BountyStatus:
            await store.create_bounty(make_bounty_in(each, bounty_id=each.value))
        listed = await store.list_bounties(BountyQuery(status=status))
        assert ids_of(listed) == {status.value}

    async def test_several_statuses_list_the_bounties_of_each(self, store: BountyStore) -> None:
        """Any sequence of statuses will do, in any order and with repeats; none is none."""
        for status in (_S.DRAFT, _S.OPEN, _S.SETTLED):
            await store.create_bounty(make_bounty_in(status, bounty_id=status.value))
        both = await store.list_bounties(BountyQuery(status=[_S.OPEN, _S.DRAFT, _S.OPEN]))
        assert ids_of(both) == {"open", "draft"}
        assert len(both) == 2
        assert await store.list_bounties(BountyQuery(status=(_S.CLAIMED, _S.EXPIRED))) == []
        assert await store.list_bounties(BountyQuery(status=())) == []

    async def test_a_creator_lists_its_own_bounties(self, store: BountyStore) -> None:
        """Whoever else offers."""
        await store.create_bounty(make_bounty(bounty_id="b-a", creator=ALICE))
        await store.create_bounty(make_bounty(bounty_id="b-b", creator=BOB))
        assert ids_of(await store.list_bounties(BountyQuery(creator_agent_id="alice"))) == {"b-a"}

    async def test_a_claimer_lists_what_it_claimed(self, store: BountyStore) -> None:
        """Not what others claimed, nor what nobody did."""
        for bounty_id in ("b-a", "b-b", "b-c"):
            await store.create_bounty(make_bounty(bounty_id=bounty_id))
        await store.claim_bounty("b-a", ALICE, "c-a")
        await store.claim_bounty("b-b", BOB, "c-b")
        assert ids_of(await store.list_bounties(BountyQuery(claimed_by_agent_id="alice"))) == {
            "b-a"
        }

    async def test_a_zone_lists_the_bounties_that_name_it(self, store: BountyStore) -> None:
        """Not those that name another zone, or none."""
        await store.create_bounty(make_bounty(bounty_id="b-a", zone_id="z-1"))
        await store.create_bounty(make_bounty(bounty_id="b-b", zone_id="z-2"))
        await store.create_bounty(make_bounty(bounty_id="b-c"))
        assert ids_of(await store.list_bounties(BountyQuery(zone_id="z-1"))) == {"b-a"}

    async def test_all_filters_must_hold(self, store: BountyStore) -> None:
        """A bounty is listed when every filter lets it pass."""
        await store.create_bounty(make_bounty(bounty_id="b-a", creator=ALICE))
        await store.create_bounty(make_bounty(bounty_id="b-b", creator=BOB))
        await store.create_bounty(make_bounty_in(_S.DRAFT, bounty_id="b-c", creator=ALICE))
        query = BountyQuery(status=_S.OPEN, creator_agent_id="alice")
        assert ids_of(await store.list_bounties(query)) == {"b-a"}

    async def test_listings_are_ordered_newest_first(self, store: BountyStore) -> None:
        """By the time of creation, whatever the order of the writes and of later changes."""
        for age in (2, 0, 3, 1):
            created_at = CREATED - age * HOUR
            await store.create_bounty(make_bounty(bounty_id=f"b-{age}", created_at=created_at))
        await store.cancel_bounty("b-2")
        assert [each.bounty_id for each in await store.list_bounties()] == [
            f"b-{age}" for age in range(4)
        ]

    async def test_limit_and_offset_cut_pages_out_of_the_listing(self, store: BountyStore) -> None:
        """The pages of a filtered listing, put together, are the listing."""
        for number in range(7):
            status = _S.DRAFT if number in (2, 5) else _S.OPEN
            await store.create_bounty(
                make_bounty(
                    bounty_id=f"b-{number}", status=status, created_at=CREATED + number * HOUR
                )
            )
        whole = await store.list_bounties(BountyQuery(status=_S.OPEN))
        pages = [
            await store.list_bounties(BountyQuery(status=_S.OPEN, limit=2, offset=offset))
            for offset in (0, 2, 4, 6)
        ]
        assert [len(page) for page in pages] == [2, 2, 1, 0]
        assert [bounty for page in pages for bounty in page] == whole
        assert [bounty.bounty_id for bounty in whole] == ["b-6", "b-4", "b-3", "b-1", "b-0"]

    async def test_a_limit_may_be_zero_or_more_than_there_is(self, store: BountyStore) -> None:
        """Zero lists nothing, and plenty lists all."""
        bounty = await store.create_bounty(make_bounty())
        assert await store.list_bounties(BountyQuery(limit=0)) == []
        assert await store.list_bounties(BountyQuery(limit=100)) == [bounty]
        assert await store.list_bounties(BountyQuery(offset=100)) == []

    @pytest.mark.parametrize("given", [-1, 1.5, True, 10**30], ids=repr)
    async def test_what_nothing_can_count_is_refused(self, store: BountyStore, given: Any) -> None:
        """Before anything is read."""
        for query in (BountyQuery(limit=given), BountyQuery(offset=given)):
            with pytest.raises(InvalidInputError):
                await store.list_bounties(query)

    async def test_bounties_of_one_moment_have_one_order(self, store: BountyStore) -> None:
        """Pages do not overlap when creation times are equal."""
        for number in range(5):
            await store.create_bounty(make_bounty(bounty_id=f"b-{number}"))
        pages = [
            await store.list_bounties(BountyQuery(limit=1, offset=offset)) for offset in range(5)
        ]
        assert [each for page in pages for each in page] == await store.list_bounties()

    async def test_a_listing_shows_each_bounty_as_it_stands(self, store: BountyStore) -> None:
        """After every step of a life it is listed in its status, and in no other."""
        await store.create_bounty(make_bounty(status=_S.DRAFT))
        for method in LIFE:
            bounty = await BY_METHOD[method].make(store)
            assert await store.list_bounties() == [bounty]
            for status in BountyStatus:
                listed = await store.list_bounties(BountyQuery(status=status))
                assert listed == ([bounty] if status is bounty.status else [])

    async def test_a_bounty_claimed_again_and_again_is_always_listed(
        self, store: BountyStore
    ) -> None:
        """However often it is claimed and released, its status lists it."""
        await store.create_bounty(make_bounty())
        for _ in range(3):
            claimed = await store.claim_bounty("b-1", ALICE, "c-1")
            assert await store.list_bounties(BountyQuery(status=_S.CLAIMED)) == [claimed]
            assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == []
            released = await store.release_bounty("b-1", ALICE)
            assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == [released]
            assert await store.list_bounties(BountyQuery(status=_S.CLAIMED)) == []

    @pytest.mark.parametrize(
        "query",
        [
            None,
            BountyQuery(status=_S.OPEN),
            BountyQuery(status=[_S.OPEN, _S.DRAFT]),
            BountyQuery(creator_agent_id="alice"),
            BountyQuery(status=_S.OPEN, creator_agent_id="alice"),
            BountyQuery(claimed_by_agent_id="nobody"),
        ],
        ids=repr,
    )
    async def test_a_count_is_the_length_of_the_listing(
        self, store: BountyStore, query: BountyQuery | None
    ) -> None:
        """Whatever the filters; limit and offset do not change what there is to count."""
        for number, status in enumerate((_S.OPEN, _S.OPEN, _S.DRAFT, _S.SETTLED)):
            creator = ALICE if number % 2 else BOB
            bounty = make_bounty_in(status, bounty_id=f"b-{number}", creator=creator)
            await store.create_bounty(bounty)
        length = len(await store.list_bounties(query))
        assert await store.count_bounties(query) == length
        page = msgspec.structs.replace(query or BountyQuery(), limit=1, offset=1)
        assert await store.count_bounties(page) == length

    async def test_expired_are_open_and_claimed_bounties_past_their_deadline(
        self, store: BountyStore
    ) -> None:
        """What has ended, is not yet open, or is past the pivot cannot expire."""
        for status in BountyStatus:
            for name, deadline in (("late", LONG_AGO), ("early", DEADLINE)):
                bounty_id = f"{status.value}-{name}"
                await store.create_bounty(
                    make_bounty_in(status, bounty_id=bounty_id, deadline=deadline)
                )
        expired = await store.find_expired_bounties()
        assert ids_of(expired) == {"open-late", "claimed-late"}

    async def test_expiry_is_judged_at_the_moment_that_is_asked_for(
        self, store: BountyStore
    ) -> None:
        """At its deadline a bounty still stands; a moment later it has expired."""
        deadline = datetime(2050, 1, 1, tzinfo=UTC)
        bounty = await store.create_bounty(make_bounty(deadline=deadline))
        assert await store.find_expired_bounties(deadline) == []
        assert await store.find_expired_bounties(deadline + timedelta(milliseconds=1)) == [bounty]

    async def test_finding_expired_bounties_changes_nothing(self, store: BountyStore) -> None:
        """Expiring is for the caller to do."""
        bounty = await store.create_bounty(make_bounty(deadline=LONG_AGO))
        await store.find_expired_bounties()
        assert await store.get_bounty("b-1") == bounty
