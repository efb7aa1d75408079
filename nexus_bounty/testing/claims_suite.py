"""What every `ClaimStore` must do."""
# ruff: noqa: S101, ARG002 - tests assert; a fixture to override names what it may use

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from nexus_bounty.models import AgentIdentity, Claim, ClaimStatus
from nexus_bounty.outcomes import (
    ClaimConflictError,
    ClaimNotFoundError,
    ClaimStateError,
    IdempotencyMismatchError,
    InvalidInputError,
)
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.ports import ClaimStore
from nexus_bounty.testing.claims_keeping import (
    ALICE,
    BOB,
    HOUR,
    TARGET,
    TICK,
    ClaimKeeping,
)
from nexus_bounty.testing.clock import ManualClock


class ClaimStoreContract(ClaimKeeping):
    """Override the fixture `claims`.

    Set `single_writer` to a reason where the store is for one writer at a time: what tests
    several writers at once is then skipped, with that reason. Likewise `own_time` where what the
    store keeps has times of its own, which do not go by `clock`.
    """

    pytestmark = pytest.mark.asyncio

    single_writer: ClassVar[str] = ""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The clock that the store under test must go by."""
        return ManualClock()

    @pytest_asyncio.fixture
    async def claims(self, clock: ManualClock) -> AsyncIterator[ClaimStore]:
        """An empty store that goes by `clock`."""
        raise NotImplementedError
        yield

    @pytest.fixture
    def several_writers(self) -> None:
        """Skips what a store for one writer does not promise."""
        if self.single_writer:
            pytest.skip(self.single_writer)

    async def test_it_is_a_claim_store(self, claims: ClaimStore) -> None:
        """The store has every method of the protocol."""
        assert isinstance(claims, ClaimStore)

    async def test_a_claim_takes_a_lease_on_a_free_target(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """The claim is active, at its first revision, and ends a lease from now."""
        claim = await self.claim(claims, intent_summary="fix it")
        assert (claim.claim_id, claim.target_ref, claim.agent) == ("c-1", TARGET, ALICE)
        assert (claim.status, claim.revision) == (ClaimStatus.ACTIVE, 1)
        assert claim.intent_summary == "fix it"
        assert claim.heartbeat_at == clock.now
        assert claim.lease_expires_at == clock.now + HOUR

    async def test_a_claim_can_be_looked_up(self, claims: ClaimStore) -> None:
        """What was claimed is what is found by its id."""
        claim = await self.claim(claims)
        assert await claims.get("c-1") == claim
        assert await claims.get("c-2") is None

    async def test_many_claims_can_be_looked_up_at_once(self, claims: ClaimStore) -> None:
        """Those that there are, by their ids, ended ones included."""
        first = await self.claim(claims)
        released = await claims.release("c-1")
        second = await self.claim(claims, BOB, "c-2")
        unreadable: dict[str, str] = {}
        found = await claims.get_many(["c-2", "c-3", "", "c-1"], unreadable=unreadable)
        assert found == {"c-1": released, "c-2": second}
        assert unreadable == {}
        assert released != first

    async def test_a_walk_meets_every_claim_that_holds_its_target_once(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """None that was released, or has run out by then."""
        for number in range(5):
            await self.claim(claims, claim_id=f"c-{number}", target_ref=f"bounty:b-{number}")
        await claims.release("c-1")
        await claims.heartbeat("c-2", lease=3 * HOUR)
        assert sorted([each.claim_id async for each in claims.walk_active_claims()]) == [
            *("c-0", "c-2", "c-3", "c-4")
        ]
        later, unreadable = clock.now + 2 * HOUR, dict[str, str]()
        walk = claims.walk_active_claims(later, unreadable=unreadable)
        assert [each.claim_id async for each in walk] == ["c-2"]
        assert unreadable == {}

    async def test_every_claim_is_in_one_of_two_ranges_of_targets_that_meet(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """Those on other targets than bounties included; those of one range are ended alone."""
        targets = ["bounty:b", "bounty:b-1", "bounty:b-10", "bounty:b/x", "bounty:c", "a", "task:1"]
        for number, target in enumerate(targets):
            await self.claim(claims, claim_id=f"c-{number}", target_ref=target)
        for at in ("a", "b", "b-1", "b-11", "c"):
            first, rest = (part.prefixed("bounty:") for part in EVERYTHING.split(at))
            found = [
                {each.target_ref async for each in claims.walk_active_claims(targets=part)}
                for part in (first, rest)
            ]
            assert found[0] | found[1] == set(targets)
            assert not found[0] & found[1]
            assert found[0] == {each for each in targets if each in first}
        clock.advance(2 * HOUR)
        through_b = Partition(hi="b-1").prefixed("bounty:")
        ended = await claims.expire_stale(targets=through_b)
        assert {each.target_ref for each in ended} == {"bounty:b", "bounty:b-1", "bounty:b/x", "a"}

    async def test_another_agent_cannot_claim_a_held_target(self, claims: ClaimStore) -> None:
        """One active claim per target; the loser leaves no trace."""
        claim = await self.claim(claims)
        with pytest.raises(ClaimConflictError) as refused:
            await self.claim(claims, BOB, "c-2")
        assert (refused.value.claim_id, refused.value.holder) == ("c-1", "alice")
        assert refused.value.held_until == claim.lease_expires_at
        assert await claims.active_claims(TARGET) == [claim]
        assert await claims.get("c-2") is None

    async def test_the_same_agent_renews_its_claim(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """A renewal raises the revision, moves the lease, and keeps the claim's id."""
        first = await self.claim(claims)
        clock.advance(HOUR / 2)
        renewed = await self.claim(claims, claim_id="c-2")
        assert renewed.claim_id == "c-1"
        assert renewed.revision > first.revision
        assert renewed.created_at == first.created_at
        assert renewed.lease_expires_at == clock.now + HOUR
        assert await claims.active_claims(TARGET) == [renewed]
        assert await claims.get("c-2") is None

    async def test_a_claim_keeps_its_context(self, claims: ClaimStore) -> None:
        """Whatever renews or ends it; what a renewal gives of its own is not kept."""
        context = {"plan": ["a", 1, 2.5, None], "nested": {"deep": True}}
        await self.claim(claims, context=context)
        assert (await self.claim(claims, context={"plan": "b"})).context == context
        assert (await claims.heartbeat("c-1", lease=HOUR)).context == context
        assert (await claims.release("c-1")).context == context
        assert (await self.claim(claims, claim_id="c-2")).context is None

    async def test_a_renewal_may_say_a_new_intent(self, claims: ClaimStore) -> None:
        """A new summary replaces the old one, none keeps it."""
        await self.claim(claims, intent_summary="first")
        assert (await self.claim(claims)).intent_summary == "first"
        assert (await self.claim(claims, intent_summary="second")).intent_summary == "second"

    async def test_only_the_agent_id_tells_agents_apart(self, claims: ClaimStore) -> None:
        """The same agent on another model still holds its claim."""
        await self.claim(claims)
        moved = AgentIdentity(agent_id="alice", model="m-2")
        assert (await self.claim(claims, moved)).claim_id == "c-1"

    async def test_claims_on_other_targets_are_independent(self, claims: ClaimStore) -> None:
        """A lease holds its own target only."""
        await self.claim(claims)
        other = await self.claim(claims, BOB, "c-2", "bounty:b-2")
        assert await claims.active_claims("bounty:b-2") == [other]

    async def test_a_target_may_be_named_by_any_text(self, claims: ClaimStore) -> None:
        """Slashes, percent signs and other alphabets do not mix targets up."""
        targets = ["bounty:a/b", "bounty:a%2Fb", "bounty:a", "bounty:ä ö"]
        for number, target_ref in enumerate(targets):
            await self.claim(claims, claim_id=f"c-{number}", target_ref=target_ref)
        for number, target_ref in enumerate(targets):
            found = await claims.active_claims(target_ref)
            assert [claim.claim_id for claim in found] == [f"c-{number}"]

    async def test_a_lease_holds_until_its_last_moment(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """At the moment of expiry itself the target is still held."""
        claim = await self.claim(claims)
        clock.advance(HOUR)
        with pytest.raises(ClaimConflictError):
            await self.claim(claims, BOB, "c-2")
        assert await claims.active_claims(TARGET) == [claim]

    async def test_a_lease_run_out_lets_another_agent_in(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """The old claim is then expired, the new one the target's only holder."""
        await self.claim(claims)
        clock.advance(HOUR + TICK)
        claim = await self.claim(claims, BOB, "c-2")
        assert await claims.active_claims(TARGET) == [claim]
        old = await claims.get("c-1")
        assert old is not None
        assert not old.holds(clock.now)
        assert await claims.expire_stale() in ([], [old])

    async def test_an_agent_that_let_its_lease_run_out_claims_anew(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """What has ended is not renewed: the new claim has the new id and starts over."""
        await self.claim(claims)
        clock.advance(HOUR + TICK)
        claim = await self.claim(claims, claim_id="c-2")
        assert (claim.claim_id, claim.revision) == ("c-2", 1)

    async def test_the_id_of_an_ended_claim_is_not_used_again(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """An id stands for one claim, be it released or run out, until that is cleaned away."""
        await self.claim(claims)
        clock.advance(HOUR + TICK)
        with pytest.raises(ClaimStateError):
            await self.claim(claims)
        await self.claim(claims, claim_id="c-2")
        await claims.release("c-2")
        with pytest.raises(ClaimStateError):
            await self.claim(claims, claim_id="c-2")

    async def test_a_claim_id_is_not_shared(self, claims: ClaimStore) -> None:
        """An id of another agent's claim, or of a claim on another target, is refused."""
        await self.claim(claims)
        with pytest.raises(IdempotencyMismatchError):
            await self.claim(claims, BOB, "c-1", "bounty:b-2")
        with pytest.raises(IdempotencyMismatchError):
            await self.claim(claims, ALICE, "c-1", "bounty:b-2")
        assert await claims.active_claims("bounty:b-2") == []

    async def test_a_heartbeat_extends_the_lease(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """The lease then ends a lease from now, and the revision rises."""
        first = await self.claim(claims)
        clock.advance(HOUR / 2)
        beaten = await claims.heartbeat("c-1", lease=2 * HOUR)
        assert beaten.heartbeat_at == clock.now
        assert beaten.lease_expires_at == clock.now + 2 * HOUR
        assert beaten.revision > first.revision
        assert await claims.get("c-1") == beaten

    async def test_a_heartbeat_comes_too_late_after_the_lease(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """A lease that has run out is not brought back, even if nobody else came."""
        await self.claim(claims)
        clock.advance(HOUR + TICK)
        with pytest.raises(ClaimStateError):
            await claims.heartbeat("c-1", lease=HOUR)

    @pytest.mark.parametrize("ending", ["release", "complete"])
    async def test_an_ended_claim_has_no_heartbeat(self, claims: ClaimStore, ending: str) -> None:
        """Neither a released nor a completed claim can be extended."""
        await self.claim(claims)
        await getattr(claims, ending)("c-1")
        with pytest.raises(ClaimStateError):
            await claims.heartbeat("c-1", lease=HOUR)

    @pytest.mark.parametrize("ending", ["release", "complete"])
    async def test_an_ended_claim_frees_its_target(self, claims: ClaimStore, ending: str) -> None:
        """Another agent can claim at once."""
        await self.claim(claims)
        await getattr(claims, ending)("c-1")
        assert await claims.active_claims(TARGET) == []
        claim = await self.claim(claims, BOB, "c-2")
        assert await claims.active_claims(TARGET) == [claim]

    @pytest.mark.parametrize(
        ("ending", "status"),
        [("release", ClaimStatus.RELEASED), ("complete", ClaimStatus.COMPLETED)],
    )
    async def test_ending_a_claim_again_changes_nothing(
        self, claims: ClaimStore, ending: str, status: ClaimStatus
    ) -> None:
        """A claim that has ended so stays as it is."""
        await self.claim(claims)
        ended = await getattr(claims, ending)("c-1")
        assert ended.status is status
        assert await getattr(claims, ending)("c-1") == ended
        assert await claims.get("c-1") == ended

    async def test_a_claim_that_is_on_something_else_is_not_extended(
        self, claims: ClaimStore
    ) -> None:
        """Whoever names the target extends a claim on that one alone."""
        held = await self.claim(claims)
        with pytest.raises(ClaimStateError, match=held.target_ref):
            await claims.heartbeat("c-1", lease=HOUR, target_ref="bounty:another")
        assert await claims.get("c-1") == held
        beaten = await claims.heartbeat("c-1", lease=HOUR, target_ref=held.target_ref)
        assert beaten.revision == held.revision + 1

    @pytest.mark.parametrize("ending", ["release", "complete"])
    async def test_a_claim_that_is_on_something_else_is_not_ended(
        self, claims: ClaimStore, ending: str
    ) -> None:
        """Whoever names the target ends a claim on that one alone."""
        held = await self.claim(claims)
        with pytest.raises(ClaimStateError, match=held.target_ref):
            await getattr(claims, ending)("c-1", target_ref="bounty:another")
        assert await claims.get("c-1") == held
        ended = await getattr(claims, ending)("c-1", target_ref=held.target_ref)
        assert await getattr(claims, ending)("c-1", target_ref=held.target_ref) == ended

    async def test_a_released_claim_cannot_be_completed(self, claims: ClaimStore) -> None:
        """Work given back is not done."""
        await self.claim(claims)
        await claims.release("c-1")
        with pytest.raises(ClaimStateError):
            await claims.complete("c-1")

    async def test_a_completed_claim_cannot_be_released(self, claims: ClaimStore) -> None:
        """Work done is not given back."""
        await self.claim(claims)
        await claims.complete("c-1")
        with pytest.raises(ClaimStateError):
            await claims.release("c-1")

    async def test_what_was_renewed_meanwhile_is_not_released_at_the_revision_before(
        self, claims: ClaimStore
    ) -> None:
        """Whoever renewed it is about to need it; at its own revision it can be released."""
        taken = await self.claim(claims)
        renewed = await claims.heartbeat("c-1", lease=HOUR)
        with pytest.raises(ClaimStateError):
            await claims.release("c-1", revision=taken.revision)
        assert await claims.get("c-1") == renewed
        released = await claims.release("c-1", revision=renewed.revision)
        assert released.status is ClaimStatus.RELEASED
        assert await claims.release("c-1", revision=renewed.revision) == released

    async def test_a_late_release_leaves_the_new_holder_alone(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """An agent that lost its lease gives nothing back that is not its own."""
        await self.claim(claims)
        clock.advance(HOUR + TICK)
        claim = await self.claim(claims, BOB, "c-2")
        assert (await claims.release("c-1")).status is ClaimStatus.EXPIRED
        with pytest.raises(ClaimStateError):
            await claims.complete("c-1")
        assert await claims.active_claims(TARGET) == [claim]

    async def test_a_claim_whose_lease_has_run_out_cannot_be_completed(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """Being swept or not makes no difference."""
        await self.claim(claims)
        clock.advance(HOUR + TICK)
        with pytest.raises(ClaimStateError):
            await claims.complete("c-1")
        await claims.expire_stale()
        with pytest.raises(ClaimStateError):
            await claims.complete("c-1")

    async def test_an_unknown_claim_is_not_found(self, claims: ClaimStore) -> None:
        """Nothing can be done to a claim that was never made."""
        with pytest.raises(ClaimNotFoundError):
            await claims.heartbeat("c-1", lease=HOUR)
        with pytest.raises(ClaimNotFoundError):
            await claims.release("c-1")
        with pytest.raises(ClaimNotFoundError):
            await claims.complete("c-1")

    async def test_sweeping_ends_the_leases_that_have_run_out(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """Those and no others, once."""
        await self.claim(claims)
        fresh = await self.claim(claims, BOB, "c-2", "bounty:b-2", lease=3 * HOUR)
        clock.advance(HOUR + TICK)
        swept = await claims.expire_stale()
        assert [(claim.claim_id, claim.status) for claim in swept] == [("c-1", ClaimStatus.EXPIRED)]
        assert await claims.get("c-1") == swept[0]
        assert await claims.expire_stale() == []
        assert await claims.active_claims() == [fresh]

    async def test_sweeping_goes_by_the_time_it_is_given(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """A given moment counts instead of the clock's."""
        await self.claim(claims)
        assert await claims.expire_stale(clock.now + HOUR) == []
        assert len(await claims.expire_stale(clock.now + HOUR + TICK)) == 1

    async def test_active_claims_are_those_that_hold_their_target(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """Ended claims and leases that have run out are left out, at any given moment."""
        short = await self.claim(claims)
        clock.advance(TICK)
        long = await self.claim(claims, BOB, "c-2", "bounty:b-2", lease=3 * HOUR)
        await self.claim(claims, BOB, "c-3", "bounty:b-3")
        await claims.release("c-3")
        assert _by_id(await claims.active_claims()) == _by_id([short, long])
        assert await claims.active_claims(TARGET) == [short]
        assert await claims.active_claims("bounty:b-3") == []
        assert await claims.active_claims(now=clock.now + 2 * HOUR) == [long]
        clock.advance(2 * HOUR)
        assert await claims.active_claims() == [long]
        assert await claims.active_claims(TARGET) == []

    async def test_a_claim_repeated_with_its_key_is_a_no_op(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """The repeat returns the claim as it stands: nothing is renewed."""
        claim = await self.claim(claims, idempotency_key="k")
        clock.advance(HOUR / 2)
        assert await self.claim(claims, idempotency_key="k") == claim
        assert await claims.get("c-1") == claim

    async def test_a_renewal_repeated_with_its_key_is_a_no_op(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """One renewal per key."""
        await self.claim(claims, idempotency_key="k-1")
        clock.advance(HOUR / 2)
        renewed = await self.claim(claims, idempotency_key="k-2")
        clock.advance(HOUR / 2)
        assert await self.claim(claims, idempotency_key="k-2") == renewed

    async def test_a_repeat_by_key_shows_what_became_of_the_claim(self, claims: ClaimStore) -> None:
        """A late repeat does not take the target again."""
        await self.claim(claims, idempotency_key="k")
        released = await claims.release("c-1")
        assert await self.claim(claims, idempotency_key="k") == released
        assert await claims.active_claims(TARGET) == []

    @pytest.mark.parametrize(
        "other",
        [{"agent": BOB}, {"claim_id": "c-2"}, {"target_ref": "bounty:b-2"}, {"lease": 2 * HOUR}],
        ids=lambda other: next(iter(other)),
    )
    async def test_a_key_with_other_parameters_is_refused(
        self, claims: ClaimStore, other: dict[str, Any]
    ) -> None:
        """A key stands for one request."""
        claim = await self.claim(claims, idempotency_key="k")
        with pytest.raises(IdempotencyMismatchError):
            await self.claim(claims, idempotency_key="k", **other)
        assert await claims.active_claims() == [claim]

    async def test_a_heartbeat_repeated_with_its_key_is_a_no_op(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """One extension per key; another length under the same key is refused."""
        await self.claim(claims)
        beaten = await claims.heartbeat("c-1", lease=HOUR, idempotency_key="k")
        clock.advance(TICK)
        assert await claims.heartbeat("c-1", lease=HOUR, idempotency_key="k") == beaten
        with pytest.raises(IdempotencyMismatchError):
            await claims.heartbeat("c-1", lease=2 * HOUR, idempotency_key="k")

    async def test_a_key_of_one_operation_does_not_serve_another(self, claims: ClaimStore) -> None:
        """Releasing under the key of a heartbeat is refused, and releases nothing."""
        await self.claim(claims)
        beaten = await claims.heartbeat("c-1", lease=HOUR, idempotency_key="k")
        with pytest.raises(IdempotencyMismatchError):
            await claims.release("c-1", idempotency_key="k")
        assert await claims.get("c-1") == beaten

    async def test_a_refused_claim_does_not_use_up_its_key(self, claims: ClaimStore) -> None:
        """After a conflict the same key may try again."""
        await self.claim(claims)
        with pytest.raises(ClaimConflictError):
            await self.claim(claims, BOB, "c-2", idempotency_key="k")
        await claims.release("c-1")
        assert (await self.claim(claims, BOB, "c-2", idempotency_key="k")).claim_id == "c-2"

    @pytest.mark.parametrize(
        "wrong",
        [
            {"target_ref": ""},
            {"target_ref": "t" * 256},
            {"target_ref": "/" * 86},
            {"target_ref": ".."},
            {"target_ref": "a\nb"},
            {"claim_id": ""},
            {"agent": AgentIdentity(agent_id="")},
            {"lease": timedelta(0)},
            {"lease": -HOUR},
            {"idempotency_key": ""},
        ],
        ids=repr,
    )
    async def test_bad_input_is_refused(self, claims: ClaimStore, wrong: dict[str, Any]) -> None:
        """Names are text and leases last; nothing is written otherwise."""
        with pytest.raises(InvalidInputError):
            await self.claim(claims, **wrong)
        assert await claims.active_claims() == []

    async def test_of_eight_agents_claiming_one_target_one_wins(
        self, claims: ClaimStore, several_writers: None
    ) -> None:
        """The others are told of the conflict."""
        agents = [AgentIdentity(agent_id=f"agent-{number}") for number in range(8)]
        results = await asyncio.gather(
            *(self.claim(claims, agent, f"c-{agent.agent_id}") for agent in agents),
            return_exceptions=True,
        )
        won = [result for result in results if isinstance(result, Claim)]
        lost = [result for result in results if isinstance(result, ClaimConflictError)]
        assert (len(won), len(lost)) == (1, 7)
        assert await claims.active_claims(TARGET) == won

    async def test_the_same_claim_made_at_once_is_made_once(
        self, claims: ClaimStore, several_writers: None
    ) -> None:
        """Eight callers with one key get one claim at its first revision."""
        results = await asyncio.gather(*(self.claim(claims, idempotency_key="k") for _ in range(8)))
        assert results == [results[0]] * 8
        assert results[0].revision == 1


def _by_id(claims: list[Claim]) -> dict[str, Claim]:
    return {claim.claim_id: claim for claim in claims}
