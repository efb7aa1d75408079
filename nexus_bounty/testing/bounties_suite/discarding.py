"""Drafts that are taken back: gone from sight, their id free, their reservation used up."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

import pytest

from nexus_bounty.models import Bounty, BountyQuery, BountyStatus
from nexus_bounty.outcomes import (
    DISCARDED,
    BountyNotFoundError,
    BountyStateError,
    IdempotencyMismatchError,
    PreCommitError,
)
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.bounties_suite.base import BountyStoreSuite
from nexus_bounty.testing.bounties_suite.moves import ALICE
from nexus_bounty.testing.builders import make_bounty, make_bounty_in

_S = BountyStatus


def draft(reservation_id: str = "r-1", amount: int = 100) -> Bounty:
    """A draft that names its reservation."""
    return make_bounty(status=_S.DRAFT, reservation_id=reservation_id, amount=amount)


class Discarding(BountyStoreSuite):
    """Drafts that are taken back: gone from sight, their id free, their reservation used up."""

    async def test_a_discarded_draft_is_not_there(self, store: BountyStore) -> None:
        """No reading shows it, in whatever status; its history stays."""
        await store.create_bounty(draft(), idempotency_key="k-1")
        await store.discard_draft("b-1", "r-1", idempotency_key="k-2")
        assert await store.get_bounty("b-1") is None
        assert await store.get_bounty("b-1", fresh=False) is None
        assert await store.get_bounties(["b-1"]) == {}
        for status in (None, *_S):
            assert await store.list_bounties(BountyQuery(status=status)) == []
        assert [each async for each in store.walk_bounties(BountyQuery())] == []
        assert await store.count_bounties() == 0
        with pytest.raises(BountyNotFoundError):
            await store.claim_bounty("b-1", ALICE, "c-1")
        assert [each.key for each in await store.get_history("b-1")] == ["k-1", "k-2"]

    async def test_discarding_again_changes_nothing(self, store: BountyStore) -> None:
        """With the same key or another; not even when the id has been used again."""
        await store.create_bounty(draft())
        for key in ("k-1", "k-1", "k-2"):
            await store.discard_draft("b-1", "r-1", idempotency_key=key)
        created = await store.create_bounty(draft("r-2"))
        for key in ("k-1", "k-3"):
            await store.discard_draft("b-1", "r-1", idempotency_key=key)
        assert await store.get_bounty("b-1") == created

    async def test_the_id_of_a_discarded_draft_can_be_used_again(self, store: BountyStore) -> None:
        """By another bounty, which lives its life and is listed."""
        await store.create_bounty(draft())
        await store.discard_draft("b-1", "r-1")
        await store.create_bounty(draft("r-2", amount=7))
        opened = await store.fund_bounty("b-1", "r-2")
        assert (opened.amount, opened.reservation_id) == (7, "r-2")
        assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == [opened]
        assert not any(each.missing or each.stale for each in await store.list_index_statuses())

    async def test_a_reservation_that_was_given_back_opens_nothing(
        self, store: BountyStore
    ) -> None:
        """Neither the draft that it was given back with nor the next one of that id."""
        await store.create_bounty(draft())
        await store.discard_draft("b-1", "r-1")
        with pytest.raises(PreCommitError):
            await store.fund_bounty("b-1", "r-1")
        created = await store.create_bounty(draft("r-2"))
        with pytest.raises(BountyStateError):
            await store.fund_bounty("b-1", "r-1")
        assert await store.get_bounty("b-1") == created

    async def test_the_key_of_a_discarded_draft_creates_nothing_more(
        self, store: BountyStore
    ) -> None:
        """Nor is what others have created there since its own."""
        await store.create_bounty(draft(), idempotency_key="k-1")
        await store.discard_draft("b-1", "r-1")
        with pytest.raises(BountyStateError) as refused:
            await store.create_bounty(draft(), idempotency_key="k-1")
        assert refused.value.current_status == DISCARDED
        created = await store.create_bounty(draft("r-2"), idempotency_key="k-2")
        with pytest.raises(BountyStateError) as refused:
            await store.create_bounty(draft(), idempotency_key="k-1")
        assert refused.value.current_status == DISCARDED
        assert await store.get_bounty("b-1") == created

    @pytest.mark.parametrize("status", [status for status in _S if status is not _S.DRAFT])
    async def test_only_a_draft_can_be_discarded(
        self, store: BountyStore, status: BountyStatus
    ) -> None:
        """What is open or further is cancelled, if at all."""
        kept = make_bounty_in(status, reservation_id="r-1")
        created = await store.create_bounty(kept)
        with pytest.raises(BountyStateError) as refused:
            await store.discard_draft("b-1", "r-1")
        assert refused.value.current_status == status.value
        assert await store.get_bounty("b-1") == created

    async def test_a_draft_with_another_reservation_is_not_discarded(
        self, store: BountyStore
    ) -> None:
        """It is another create's, which may be about to open it."""
        created = await store.create_bounty(draft("r-2"))
        with pytest.raises(BountyStateError):
            await store.discard_draft("b-1", "r-1")
        assert await store.get_bounty("b-1") == created

    async def test_what_is_not_there_cannot_be_discarded(self, store: BountyStore) -> None:
        """It may be about to be created."""
        with pytest.raises(BountyNotFoundError):
            await store.discard_draft("b-1", "r-1")

    async def test_a_discard_under_a_used_key_must_be_the_same(self, store: BountyStore) -> None:
        """With another reservation it is refused."""
        await store.create_bounty(draft(), idempotency_key="k-1")
        with pytest.raises(IdempotencyMismatchError):
            await store.discard_draft("b-1", "r-1", idempotency_key="k-1")
        assert await store.get_bounty("b-1") is not None
