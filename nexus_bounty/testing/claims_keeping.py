"""What every `ClaimStore` must do with claims that it keeps: list, end and delete them."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import pytest

from nexus_bounty.models import AgentIdentity, Claim, ClaimQuery, ClaimStatus
from nexus_bounty.outcomes import ClaimConflictError, InvalidInputError
from nexus_bounty.ports import ClaimStore
from nexus_bounty.testing.clock import ManualClock

HOUR = timedelta(hours=1)
TICK = timedelta(milliseconds=1)
TARGET = "bounty:b-1"
ALICE = AgentIdentity(agent_id="alice", model="m-1")
BOB = AgentIdentity(agent_id="bob")


class ClaimKeeping:
    """A part of `ClaimStoreContract`."""

    own_time: ClassVar[str] = ""

    async def claim(
        self,
        claims: ClaimStore,
        agent: AgentIdentity = ALICE,
        claim_id: str = "c-1",
        target_ref: str = TARGET,
        **options: Any,
    ) -> Claim:
        """Claim for an hour."""
        return await claims.claim_or_renew(
            target_ref, agent, claim_id=claim_id, **({"lease": HOUR} | options)
        )

    async def test_a_free_target_can_be_claimed_without_the_wish_to_renew(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """Like any other claim; a repeat with its key finds it, even after it was renewed."""
        ask: dict[str, Any] = {"claim_id": "c-1", "lease": HOUR, "idempotency_key": "k"}
        claim = await claims.create_claim(TARGET, ALICE, context={"a": 1}, **ask)
        assert (claim.claim_id, claim.status, claim.context) == (
            "c-1",
            ClaimStatus.ACTIVE,
            {"a": 1},
        )
        assert claim.lease_expires_at == clock.now + HOUR
        assert await claims.create_claim(TARGET, ALICE, context={"a": 1}, **ask) == claim
        renewed = await self.claim(claims)
        assert await claims.create_claim(TARGET, ALICE, context={"a": 1}, **ask) == renewed

    async def test_a_target_that_the_same_agent_holds_is_not_free(self, claims: ClaimStore) -> None:
        """Its lease stays as it is; once it has ended, the target is free."""
        held = await self.claim(claims)
        with pytest.raises(ClaimConflictError) as refused:
            await claims.create_claim(TARGET, ALICE, claim_id="c-2", lease=HOUR)
        assert (refused.value.claim_id, refused.value.holder) == ("c-1", "alice")
        assert await claims.get("c-1") == held
        await claims.release("c-1")
        assert (await claims.create_claim(TARGET, ALICE, claim_id="c-3", lease=HOUR)).revision == 1

    async def test_claims_are_listed_whatever_became_of_them(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """Newest first, by status, agent and target, as many as wanted."""
        await self.claim(claims)
        clock.advance(TICK)
        second = await self.claim(claims, BOB, "c-2", "bounty:b-2")
        released = await claims.release("c-1")
        clock.advance(TICK)
        third = await self.claim(claims, BOB, "c-3")
        assert await claims.list_claims() == [third, second, released]
        ended = ClaimQuery(status=[ClaimStatus.RELEASED, ClaimStatus.EXPIRED])
        assert await claims.list_claims(ended) == [released]
        assert await claims.list_claims(ClaimQuery(status=ClaimStatus.ACTIVE, limit=1)) == [third]
        assert await claims.list_claims(ClaimQuery(agent_id="bob")) == [third, second]
        assert await claims.list_claims(ClaimQuery(target_ref=TARGET)) == [third, released]
        with pytest.raises(InvalidInputError):
            await claims.list_claims(ClaimQuery(status="sleeping"))  # type: ignore[arg-type]

    async def test_a_lease_whose_agent_is_not_heard_of_is_stalled(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """It can be seen, and ended on demand, although it has not run out."""
        stalled = await self.claim(claims, lease=9 * HOUR)
        clock.advance(HOUR)
        await self.claim(claims, BOB, "c-2", "bounty:b-2", lease=9 * HOUR)
        assert await claims.detect_stalled(HOUR) == []
        clock.advance(TICK)
        assert await claims.detect_stalled(HOUR) == [stalled]
        assert await claims.expire_stale() == []
        (ended,) = await claims.expire_stale(stalled_for=HOUR)
        assert (ended.claim_id, ended.status) == ("c-1", ClaimStatus.EXPIRED)
        assert [each.claim_id for each in await claims.active_claims()] == ["c-2"]

    async def test_claims_that_ended_long_ago_are_deleted(
        self, claims: ClaimStore, clock: ManualClock
    ) -> None:
        """Neither those that ended lately nor those that go on; their targets can be claimed."""
        if self.own_time:
            pytest.skip(self.own_time)
        for number in range(3):
            await self.claim(claims, claim_id=f"c-{number}", target_ref=f"bounty:b-{number}")
        await claims.release("c-0")
        await claims.complete("c-1")
        clock.advance(25 * HOUR)
        await claims.expire_stale()
        await self.claim(claims, BOB, "c-3", "bounty:b-3", lease=99 * HOUR)
        await self.claim(claims, BOB, "c-4", "bounty:b-4")
        late = await claims.release("c-4")
        clock.advance(25 * HOUR)
        assert await claims.clean_completed(40 * HOUR) == 3
        assert await claims.clean_completed(40 * HOUR) == 0
        kept = {each.claim_id for each in await claims.list_claims()}
        assert kept == {"c-3", "c-4"}
        assert await claims.get("c-4") == late
        assert (await self.claim(claims, BOB, "c-5", "bounty:b-0")).agent == BOB

    async def test_what_a_repeat_may_still_have_to_find_is_not_deleted(
        self, claims: ClaimStore
    ) -> None:
        """A retention of less than a day is refused."""
        with pytest.raises(InvalidInputError):
            await claims.clean_completed(23 * HOUR)
