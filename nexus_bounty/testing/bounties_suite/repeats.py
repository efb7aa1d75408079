"""Keys: a repeat is told from another request, and what became of one is found out."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

import pytest

from nexus_bounty.models import FROM_IDEMPOTENCY_KEY, BountyQuery, BountyStatus
from nexus_bounty.outcomes import (
    BountyNotFoundError,
    BountyStateError,
    IdempotencyMismatchError,
    Outcome,
    PreCommitError,
)
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.bounties_suite.base import BountyStoreSuite
from nexus_bounty.testing.bounties_suite.moves import ALICE, BOB, CHOOSABLE, HOUR, LEGAL, Move
from nexus_bounty.testing.builders import make_bounty, make_bounty_in
from nexus_bounty.testing.clock import ManualClock

_S = BountyStatus


class Repeats(BountyStoreSuite):
    """Keys: a repeat is told from another request, and what became of one is found out."""

    async def test_a_repeated_create_returns_the_bounty_unchanged(
        self, store: BountyStore, clock: ManualClock
    ) -> None:
        """The same key and parameters again write nothing."""
        created = await store.create_bounty(make_bounty(), idempotency_key="k-1")
        clock.advance(HOUR)
        assert await store.create_bounty(make_bounty(), idempotency_key="k-1") == created
        assert await store.list_bounties() == [created]

    @pytest.mark.parametrize(("move", "source"), LEGAL)
    async def test_a_repeated_transition_returns_the_bounty_unchanged(
        self, store: BountyStore, clock: ManualClock, move: Move, source: BountyStatus
    ) -> None:
        """The same key and parameters again write nothing, not even a new time."""
        await store.create_bounty(make_bounty_in(source))
        moved = await move.make(store, idempotency_key="k-1")
        clock.advance(HOUR)
        assert await move.make(store, idempotency_key="k-1") == moved
        assert await store.get_bounty("b-1") == moved

    async def test_a_repeat_long_after_returns_the_bounty_as_it_stands(
        self, store: BountyStore
    ) -> None:
        """What others have done since is shown, and not undone."""
        await store.create_bounty(make_bounty(), idempotency_key="create")
        await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="claim")
        await store.release_bounty("b-1", ALICE)
        claimed = await store.claim_bounty("b-1", BOB, "c-2")
        again = await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="claim")
        assert again == claimed
        assert await store.create_bounty(make_bounty(), idempotency_key="create") == claimed
        assert await store.get_bounty("b-1") == claimed

    async def test_a_create_under_a_used_key_must_be_the_same(self, store: BountyStore) -> None:
        """A key stands for one request: with other parameters it is refused."""
        created = await store.create_bounty(make_bounty(), idempotency_key="k-1")
        with pytest.raises(IdempotencyMismatchError) as refused:
            await store.create_bounty(make_bounty(amount=101), idempotency_key="k-1")
        assert refused.value.idempotency_key == "k-1"
        assert await store.get_bounty("b-1") == created

    @pytest.mark.parametrize("move", CHOOSABLE, ids=lambda move: move.method)
    async def test_a_transition_under_a_used_key_must_be_the_same(
        self, store: BountyStore, move: Move
    ) -> None:
        """Other parameters under the key are refused, and change nothing."""
        await store.create_bounty(make_bounty_in(next(iter(move.sources))))
        moved = await move.make(store, idempotency_key="k-1")
        with pytest.raises(IdempotencyMismatchError):
            await move.differently().make(store, idempotency_key="k-1")
        assert await store.get_bounty("b-1") == moved

    async def test_a_key_of_one_operation_does_not_serve_another(self, store: BountyStore) -> None:
        """Cancelling under the key of the create is refused, and cancels nothing."""
        created = await store.create_bounty(make_bounty(), idempotency_key="k-1")
        with pytest.raises(IdempotencyMismatchError):
            await store.cancel_bounty("b-1", idempotency_key="k-1")
        assert await store.get_bounty("b-1") == created

    async def test_a_refused_transition_does_not_use_up_its_key(self, store: BountyStore) -> None:
        """When the state allows it later, the same key may try again."""
        await store.create_bounty(make_bounty_in(_S.CLAIMED))
        with pytest.raises(BountyStateError):
            await store.claim_bounty("b-1", BOB, "c-2", idempotency_key="k-1")
        await store.release_bounty("b-1", ALICE)
        claimed = await store.claim_bounty("b-1", BOB, "c-2", idempotency_key="k-1")
        assert claimed.claimed_by == BOB

    async def test_an_id_not_given_follows_from_the_key(self, store: BountyStore) -> None:
        """The same key meets its own bounty; another key makes another."""
        offer = make_bounty(bounty_id=FROM_IDEMPOTENCY_KEY)
        first = await store.create_bounty(offer, idempotency_key="k-1")
        again = await store.create_bounty(offer, idempotency_key="k-1")
        other = await store.create_bounty(offer, idempotency_key="k-2")
        assert first == again
        assert first.bounty_id not in (FROM_IDEMPOTENCY_KEY, other.bounty_id)
        assert await store.count_bounties() == 2

    async def test_without_id_and_key_every_create_is_a_bounty_of_its_own(
        self, store: BountyStore
    ) -> None:
        """Who gives no key gets a fresh one each time."""
        offer = make_bounty(bounty_id=FROM_IDEMPOTENCY_KEY)
        created = [await store.create_bounty(offer) for _ in range(3)]
        assert len({bounty.bounty_id for bounty in created}) == 3

    async def test_a_refusal_names_the_key_that_was_made(self, store: BountyStore) -> None:
        """Where no key was given the error carries the one that was used."""
        with pytest.raises(BountyNotFoundError) as refused:
            await store.cancel_bounty("b-1")
        assert refused.value.idempotency_key
        assert refused.value.operation == "cancel_bounty"

    async def test_a_history_names_what_was_done_in_order(self, store: BountyStore) -> None:
        """Each operation once, by its key, however often it was repeated."""
        await store.create_bounty(make_bounty(), idempotency_key="k-1")
        for _ in range(2):
            await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="k-2")
        await store.release_bounty("b-1", ALICE, idempotency_key="k-3")
        history = await store.get_history("b-1")
        assert [(record.key, record.aborted) for record in history] == [
            (key, False) for key in ("k-1", "k-2", "k-3")
        ]
        assert len({record.kind for record in history}) == 3
        assert list(await store.get_history("b-1", fresh=False)) == list(history)
        assert list(await store.get_history("nobody")) == []

    async def test_what_was_done_resolves_as_committed(self, store: BountyStore) -> None:
        """Even after others have moved the bounty on; it is shown as it stands."""
        await store.create_bounty(make_bounty(), idempotency_key="create")
        await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="claim")
        released = await store.release_bounty("b-1", ALICE)
        for key in ("create", "claim"):
            resolution = await store.resolve_operation("b-1", key)
            assert (resolution.bounty_id, resolution.idempotency_key) == ("b-1", key)
            assert resolution.outcome is Outcome.COMMITTED
            assert resolution.bounty == released
        assert await store.get_bounty("b-1") == released

    async def test_what_was_not_done_resolves_as_pre_commit_for_good(
        self, store: BountyStore
    ) -> None:
        """However often one asks; its key is used up, and the bounty is as it was."""
        before = await store.create_bounty(make_bounty())
        for _ in range(2):
            resolution = await store.resolve_operation("b-1", "k-1")
            assert (resolution.outcome, resolution.bounty) == (Outcome.PRE_COMMIT, before)
        with pytest.raises(PreCommitError):
            await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="k-1")
        assert await store.get_bounty("b-1") == before
        assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == [before]
        claimed = await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="k-2")
        assert claimed.status is _S.CLAIMED

    async def test_a_create_that_did_not_happen_resolves_without_a_trace(
        self, store: BountyStore
    ) -> None:
        """There is no bounty; its key makes none any more, and another key does."""
        for _ in range(2):
            resolution = await store.resolve_operation("b-1", "k-1")
            assert (resolution.outcome, resolution.bounty) == (Outcome.PRE_COMMIT, None)
        assert await store.get_bounty("b-1") is None
        assert await store.list_bounties() == []
        with pytest.raises(PreCommitError):
            await store.create_bounty(make_bounty(), idempotency_key="k-1")
        assert await store.list_bounties() == []
        created = await store.create_bounty(make_bounty(), idempotency_key="k-2")
        assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == [created]

    async def test_collecting_leftovers_touches_no_bounty(self, store: BountyStore) -> None:
        """What exists stays, and what was just fenced off stays fenced off."""
        bounty = await store.create_bounty(make_bounty())
        await store.resolve_operation("b-1", "k-1")
        await store.resolve_operation("b-2", "k-2")
        assert await store.collect_leftovers() == []
        assert await store.list_bounties() == [bounty]
        with pytest.raises(PreCommitError):
            await store.create_bounty(make_bounty(bounty_id="b-2"), idempotency_key="k-2")
