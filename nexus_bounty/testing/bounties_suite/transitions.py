"""Transitions: what each changes, and what it refuses."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from nexus_bounty.lifecycle import TERMINAL
from nexus_bounty.models import Bounty, BountyStatus, RewardType
from nexus_bounty.outcomes import BountyNotFoundError, BountyStateError, InvalidInputError
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.bounties_suite.base import BountyStoreSuite
from nexus_bounty.testing.bounties_suite.moves import (
    ALICE,
    BOB,
    BY_METHOD,
    LEGAL,
    LIFE,
    MOVES,
    Move,
)
from nexus_bounty.testing.builders import make_agent, make_bounty, make_bounty_in, make_reward
from nexus_bounty.validation import MOST_ID_BYTES

_S = BountyStatus


class Transitions(BountyStoreSuite):
    """Transitions: what each changes, and what it refuses."""

    @pytest.mark.parametrize(("move", "source"), LEGAL)
    async def test_a_legal_transition_changes_what_it_owns_and_nothing_else(
        self, store: BountyStore, move: Move, source: BountyStatus
    ) -> None:
        """The new status, the fields of the transition, and all else as it was."""
        before = await store.create_bounty(make_bounty_in(source, context={"kept": [None]}))
        after = await move.make(store)
        assert after.status is move.target
        assert await store.get_bounty("b-1") == after
        owned = move.owns | {"status", "updated_at"}
        kept = {
            name: getattr(before, name) for name in before.__struct_fields__ if name not in owned
        }
        assert {name: getattr(after, name) for name in kept} == kept

    @pytest.mark.parametrize("source", list(BountyStatus))
    async def test_every_other_transition_is_refused_and_changes_nothing(
        self, store: BountyStore, source: BountyStatus
    ) -> None:
        """The error names the bounty and its status; the bounty stays as it was."""
        before = await store.create_bounty(make_bounty_in(source))
        refusals = {
            move.method: await _refusal(move.make(store, idempotency_key=f"k-{move.method}"))
            for move in MOVES
            if source not in move.sources
        }
        assert [method for method, refusal in refusals.items() if refusal is None] == []
        for method, refusal in refusals.items():
            assert refusal is not None
            assert (refusal.bounty_id, refusal.idempotency_key) == ("b-1", f"k-{method}")
            assert refusal.current_status == source.value
        assert await store.get_bounty("b-1") == before

    @pytest.mark.parametrize("move", MOVES, ids=lambda move: move.method)
    async def test_a_bounty_that_is_not_there_is_not_found(
        self, store: BountyStore, move: Move
    ) -> None:
        """A transition never makes a bounty."""
        with pytest.raises(BountyNotFoundError) as refused:
            await move.make(store)
        assert refused.value.bounty_id == "b-1"
        assert await store.list_bounties() == []

    async def test_funding_names_the_reservation(self, store: BountyStore) -> None:
        """The open bounty says what holds its credits."""
        await store.create_bounty(make_bounty(status=_S.DRAFT))
        assert (await store.fund_bounty("b-1", "r-7")).reservation_id == "r-7"

    async def test_claiming_names_the_claimer_and_the_claim(self, store: BountyStore) -> None:
        """The claimed bounty says who works on it, under which claim."""
        await store.create_bounty(make_bounty())
        claimer = make_agent("alice", model="m-1", role="coder")
        claimed = await store.claim_bounty("b-1", claimer, "c-7")
        assert (claimed.claimed_by, claimed.claim_id) == (claimer, "c-7")

    async def test_the_claimer_renews_its_claim(self, store: BountyStore) -> None:
        """The same agent may claim again, with a new claim."""
        await store.create_bounty(make_bounty())
        await store.claim_bounty("b-1", ALICE, "c-1")
        renewed = await store.claim_bounty("b-1", ALICE, "c-2")
        assert (renewed.status, renewed.claim_id) == (_S.CLAIMED, "c-2")

    async def test_another_agent_cannot_claim_what_is_claimed(self, store: BountyStore) -> None:
        """The first claimer stays in the document."""
        await store.create_bounty(make_bounty())
        claimed = await store.claim_bounty("b-1", ALICE, "c-1")
        with pytest.raises(BountyStateError):
            await store.claim_bounty("b-1", BOB, "c-2")
        assert await store.get_bounty("b-1") == claimed

    async def test_only_the_agent_id_tells_claimers_apart(self, store: BountyStore) -> None:
        """The same agent on another model still holds its bounty."""
        await store.create_bounty(make_bounty())
        await store.claim_bounty("b-1", make_agent("alice", model="m-1"), "c-1")
        moved = make_agent("alice", model="m-2")
        assert (await store.claim_bounty("b-1", moved, "c-1")).claimed_by == moved

    async def test_the_claimer_releases_and_the_bounty_is_free(self, store: BountyStore) -> None:
        """A released bounty is open, names nobody, and another may claim it."""
        await store.create_bounty(make_bounty())
        await store.claim_bounty("b-1", ALICE, "c-1")
        released = await store.release_bounty("b-1", ALICE)
        assert (released.status, released.claimed_by, released.claim_id) == (_S.OPEN, None, None)
        assert (await store.claim_bounty("b-1", BOB, "c-2")).claimed_by == BOB

    async def test_another_agent_cannot_release(self, store: BountyStore) -> None:
        """Nobody takes a bounty away from its claimer."""
        await store.create_bounty(make_bounty())
        claimed = await store.claim_bounty("b-1", ALICE, "c-1")
        with pytest.raises(BountyStateError):
            await store.release_bounty("b-1", BOB)
        assert await store.get_bounty("b-1") == claimed

    async def test_what_was_looked_at_is_released_and_no_other_claim(
        self, store: BountyStore
    ) -> None:
        """Whoever saw an earlier claim of the same agent does not take the next one away."""
        await store.create_bounty(make_bounty())
        await store.claim_bounty("b-1", ALICE, "c-1")
        claimed = await store.claim_bounty("b-1", ALICE, "c-2")
        with pytest.raises(BountyStateError):
            await store.release_bounty("b-1", ALICE, claim_id="c-1")
        assert await store.get_bounty("b-1") == claimed
        assert (await store.release_bounty("b-1", ALICE, claim_id="c-2")).status is _S.OPEN

    async def test_settlement_names_the_contribution(self, store: BountyStore) -> None:
        """From the pivot on the document says what it pays for."""
        await store.create_bounty(make_bounty_in(_S.CLAIMED))
        pending = await store.begin_settlement("b-1", "cid-7")
        assert (pending.status, pending.fulfilled_by_cid) == (_S.PENDING_SETTLEMENT, "cid-7")

    @pytest.mark.parametrize("finish", [("complete_bounty", "settle_bounty"), ("settle_bounty",)])
    async def test_after_the_pivot_both_ways_forward_lead_to_settled(
        self, store: BountyStore, finish: tuple[str, ...]
    ) -> None:
        """A bounty under settlement is settled at once or by way of completed."""
        await self.live(store, "fund_bounty", "claim_bounty", "begin_settlement")
        for method in finish:
            bounty = await BY_METHOD[method].make(store)
        assert (bounty.status, bounty.fulfilled_by_cid) == (_S.SETTLED, "cid-1")

    async def test_another_contribution_cannot_complete_a_settlement(
        self, store: BountyStore
    ) -> None:
        """What is being paid for cannot be exchanged."""
        await store.create_bounty(make_bounty_in(_S.CLAIMED))
        pending = await store.begin_settlement("b-1", "cid-1")
        with pytest.raises(BountyStateError):
            await store.complete_bounty("b-1", "cid-2")
        assert await store.get_bounty("b-1") == pending

    @pytest.mark.parametrize(
        "cid", [f"blake3:{64 * 'a'}", "with space", "a/b", "a%b", "x" * 100, "x" * 500]
    )
    async def test_a_contribution_that_is_settled_can_be_rewarded(
        self, store: BountyStore, cid: str
    ) -> None:
        """What could not be recorded at the end is refused before the pivot."""
        bounty_id = "b" * MOST_ID_BYTES
        await store.create_bounty(make_bounty_in(_S.CLAIMED, bounty_id=bounty_id))
        try:
            await store.begin_settlement(bounty_id, cid)
        except InvalidInputError:
            return
        reward = make_reward(
            reward_type=RewardType.REPRODUCTION_REWARD, bounty_id=bounty_id, contribution_cid=cid
        )
        assert await store.record_reward(reward) == reward

    async def test_a_whole_life_ends_settled(self, store: BountyStore) -> None:
        """Draft, open, claimed, open again, claimed, pending, completed, settled."""
        bounty = await self.live(store, *LIFE)
        assert bounty.status is _S.SETTLED
        assert (bounty.claimed_by, bounty.fulfilled_by_cid) == (ALICE, "cid-1")
        assert await store.get_bounty("b-1") == bounty

    async def test_a_context_survives_a_whole_life(self, store: BountyStore) -> None:
        """No transition touches what the creator attached."""
        context = {"hardware": "H100", "nested": {"nullable": None, "list": [{"a": 1}]}}
        await store.create_bounty(make_bounty(status=_S.DRAFT, context=context))
        for method in LIFE:
            assert (await BY_METHOD[method].make(store)).context == context

    async def test_terminal_bounties_stay(self, store: BountyStore) -> None:
        """Nothing leads out of settled, expired and cancelled."""
        for status in TERMINAL:
            ended = await store.create_bounty(make_bounty_in(status, bounty_id=status.value))
            for move in MOVES:
                with pytest.raises(BountyStateError):
                    await move.make(store, status.value)
            assert await store.get_bounty(status.value) == ended


async def _refusal(attempt: Awaitable[Bounty]) -> BountyStateError | None:
    """The refusal that `attempt` ends in, if it does."""
    try:
        await attempt
    except BountyStateError as refusal:
        return refusal
    return None
