"""Creating and reading: what was given comes back."""
# ruff: noqa: S101, ARG002 - tests assert; a fixture is named for what it makes

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from nexus_bounty.lifecycle import TRANSITIONS
from nexus_bounty.models import BountyQuery, BountyStatus
from nexus_bounty.outcomes import BountyExistsError
from nexus_bounty.partition import EVERYTHING
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.bounties_suite.base import BountyStoreSuite, ids_of
from nexus_bounty.testing.bounties_suite.moves import ALICE, MOVES
from nexus_bounty.testing.bounties_suite.wrong_values import criteria
from nexus_bounty.testing.builders import make_agent, make_bounty, make_bounty_in
from nexus_bounty.validation import MOST_ID_BYTES

_S = BountyStatus
_LATER = datetime(9999, 1, 1, tzinfo=UTC)


class Creating(BountyStoreSuite):
    """Creating and reading: what was given comes back."""

    async def test_it_is_a_bounty_store(self, store: BountyStore) -> None:
        """The store has every method of the protocol."""
        assert isinstance(store, BountyStore)

    async def test_it_says_which_state_it_works_on(self, store: BountyStore) -> None:
        """The identity is text, and stays the same whatever is stored."""
        identity = store.store_identity
        assert identity.strip()
        await store.create_bounty(make_bounty())
        assert store.store_identity == identity

    async def test_the_moves_are_the_whole_lifecycle_table(self, store: BountyStore) -> None:
        """The methods offer every legal transition, and no other."""
        offered = {(source, move.target) for move in MOVES for source in move.sources}
        assert offered == {(source, to) for source, after in TRANSITIONS.items() for to in after}

    async def test_closing_is_quiet_and_may_be_repeated(self, store: BountyStore) -> None:
        """Letting go twice is not an error."""
        await store.close()
        await store.close()

    async def test_a_created_bounty_is_returned_as_it_was_given(self, store: BountyStore) -> None:
        """Nothing but the time of the update is the store's to set."""
        given = make_bounty()
        created = await store.create_bounty(given)
        assert created == msgspec.structs.replace(given, updated_at=created.updated_at)

    async def test_a_created_bounty_is_found_by_its_id(self, store: BountyStore) -> None:
        """What create returned is what get returns."""
        created = await store.create_bounty(make_bounty())
        assert await store.get_bounty("b-1") == created

    async def test_a_bounty_never_created_is_none(self, store: BountyStore) -> None:
        """Looking for what is not there is not an error."""
        assert await store.get_bounty("b-1") is None

    @pytest.mark.parametrize("status", list(BountyStatus))
    async def test_a_bounty_is_created_in_the_status_it_carries(
        self, store: BountyStore, status: BountyStatus
    ) -> None:
        """Bounties of other systems may be taken over in the middle of their life."""
        created = await store.create_bounty(make_bounty_in(status))
        assert created.status is status
        assert await store.get_bounty("b-1") == created

    async def test_every_field_comes_back_as_it_went_in(self, store: BountyStore) -> None:
        """All fields at once, each with something in it."""
        given = make_bounty_in(
            _S.COMPLETED,
            description="zwei Wörter, 二",
            creator=make_agent(
                "creator", agent_name="C", provider="p", model="m", platform="x", version="1"
            ),
            criteria=criteria(
                metric_name="speed",
                metric_threshold=1.5,
                metric_direction="maximize",
                required_tags=["fast", "small"],
            ),
            amount=2**53 - 1,
            zone_id="z-1",
            deadline=datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        )
        created = await store.create_bounty(given)
        stored = await store.get_bounty("b-1")
        assert stored == created == msgspec.structs.replace(given, updated_at=created.updated_at)

    async def test_a_context_keeps_every_value_and_nesting(self, store: BountyStore) -> None:
        """Whatever JSON can say comes back as it was, nulls and empty things included."""
        context = {
            "text": 'ä\t\n"\\/',
            "numbers": [0, -1, 2**53 - 1, 1.5, 1e-300],
            "truth": [True, False, None],
            "empty": [{}, [], ""],
            "nested": {"a/b": {"%": {"": [{"deep": [1, [2, [3]]]}]}}},
        }
        await store.create_bounty(make_bounty(context=context))
        stored = await store.get_bounty("b-1")
        assert stored is not None
        assert stored.context == context

    @pytest.mark.parametrize(
        "bounty_id",
        ["b", "B 1", "ä-二", "bounty:1", "a.json", "x" * MOST_ID_BYTES, "~!@#$&'()+,;=[]{}"],
    )
    async def test_an_id_is_any_text_that_is_a_file_name(
        self, store: BountyStore, bounty_id: str
    ) -> None:
        """Unusual ids are stored, found and listed under themselves."""
        created = await store.create_bounty(make_bounty(bounty_id=bounty_id))
        assert await store.get_bounty(bounty_id) == created
        assert await store.list_bounties() == [created]
        assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == [created]

    async def test_many_bounties_are_looked_up_at_once(self, store: BountyStore) -> None:
        """Those that exist, by their ids; what can be no id at all is none of them."""
        made = [await store.create_bounty(make_bounty(bounty_id=f"b {n}")) for n in range(3)]
        asked = ["b 2", "nobody", "b 0", "", "\n", "a/b", "x" * 300]
        assert await store.get_bounties(asked) == {"b 0": made[0], "b 2": made[2]}
        assert await store.get_bounties([]) == {}

    async def test_ids_are_walked_by_status_and_a_walk_goes_on_after_any_page(
        self, store: BountyStore
    ) -> None:
        """No bounty is missed, wherever the walk was left."""
        ids = {f"b-{number}" for number in (1, 2, 3, 10)}
        for bounty_id in ids:
            await store.create_bounty(make_bounty(bounty_id=bounty_id))
        await store.create_bounty(make_bounty_in(_S.SETTLED, bounty_id="b-settled"))
        walked = [each async for each in store.walk_ids(_S.OPEN)]
        assert set(walked) == ids
        pages = [page async for page in store.walk_marked(_S.OPEN)]
        assert [each for page in pages for each in page.ids] == walked
        for place, page in enumerate(pages):
            rest = [each async for each in store.walk_marked(_S.OPEN, page.after)]
            assert rest == pages[place + 1 :]

    async def test_every_bounty_is_in_one_of_two_ranges_that_meet(self, store: BountyStore) -> None:
        """Wherever they meet, ids that are the beginning of others included."""
        ids = ["b", "b-", "b-1", "b-1 x", "b-10", "b-2", "b.2", "bb", "c"]
        for number, bounty_id in enumerate(ids):
            made = make_bounty(bounty_id=bounty_id, amount=1 + number)
            await store.create_bounty(made)
            await store.claim_bounty(bounty_id, ALICE, f"c-{number}")
            await store.release_bounty(bounty_id, ALICE)  # its marker has a generation by now
        for at in [*ids, "a", "b-11", "z"]:
            first, rest = EVERYTHING.split(at)
            for query in (BountyQuery(), BountyQuery(status=_S.OPEN)):
                found = [
                    [each.bounty_id async for each in store.walk_bounties(query, partition=part)]
                    for part in (first, rest)
                ]
                assert sorted(found[0]) == sorted(each for each in ids if each <= at)
                assert sorted(found[1]) == sorted(each for each in ids if each > at)
            named = {each async for each in store.walk_ids(_S.OPEN, partition=first)}
            assert named == {each for each in ids if each <= at}
            due = await store.find_expired_bounties(_LATER, partition=rest)
            assert ids_of(due) == {each for each in ids if each > at}

    async def test_a_duplicate_id_is_refused_and_the_first_bounty_stays(
        self, store: BountyStore
    ) -> None:
        """An id stands for one bounty."""
        first = await store.create_bounty(make_bounty())
        with pytest.raises(BountyExistsError):
            await store.create_bounty(make_bounty(title="Another"))
        assert await store.get_bounty("b-1") == first
        assert await store.list_bounties() == [first]

    async def test_a_refused_duplicate_leaves_the_index_healthy(self, store: BountyStore) -> None:
        """A create that did not happen leaves nothing behind in any listing."""
        await store.create_bounty(make_bounty_in(_S.SETTLED))
        with pytest.raises(BountyExistsError):
            await store.create_bounty(make_bounty())
        assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == []
        assert all(index.healthy for index in await store.list_index_statuses())

    async def test_bounties_do_not_touch_each_other(self, store: BountyStore) -> None:
        """A transition of one bounty changes that bounty alone."""
        other = await store.create_bounty(make_bounty(bounty_id="b-2"))
        await store.create_bounty(make_bounty())
        await store.claim_bounty("b-1", ALICE, "c-1")
        assert await store.get_bounty("b-2") == other
