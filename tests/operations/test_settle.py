"""Settling: checked work, the pivot, the payment, the reward."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyStateError,
    BountyStatus,
    Contribution,
    IdempotencyMismatchError,
)
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.operations.escrow import record_payee
from nexus_bounty.operations.services import known_bounty
from nexus_bounty.outcomes import CriteriaNotMetError, Outcome
from tests.operations.lives import DOCUMENT, KEY, claimed, outcome, paid, posted, refusal, settled
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CID,
    PRICE,
    LedgerFault,
    a_bounty,
    a_world,
    broken_invariants,
    document,
    statuses_ever,
)


@virtual
async def test_a_settle_pays_the_claimer_records_the_reward_and_ends_the_claim() -> None:
    """The five steps in order."""
    world = await a_world()
    async with world.process() as process:
        result = await settled(process.operations)
        rewards = await process.operations.services.store.list_rewards()
        claim = await process.operations.services.claims.get(result.bounty.claim_id)
    assert result.done == (
        "commit_pending_settlement",
        "capture_payment",
        "commit_settled",
        "record_reward",
        "complete_claim",
    )
    assert result.credits_with == "bob"
    assert result.reservation.captured_to == "bob"
    assert [each.reward_id for each in rewards] == [result.reward.reward_id]
    assert (result.reward.recipient, result.reward.amount) == (BOB, PRICE)
    assert claim is not None
    assert claim.status.value == "completed"
    assert (await world.ledger.balance("bob")).available == PRICE


@pytest.mark.parametrize("agent_id", ["system:mint", "system:mallory", "system:frontier-rewards"])
@virtual
async def test_an_agent_that_the_ledger_cannot_pay_never_gets_past_the_pivot(agent_id: str) -> None:
    """Refused when it claims, or at the latest when it settles; the credits are not stranded."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        await outcome(process.operations.claim(BOUNTY_ID, AgentIdentity(agent_id=agent_id)))
        await outcome(process.operations.settle(BOUNTY_ID, CID))
    await world.later()
    assert not await world.reconcile()
    assert (document(world.mock) or {})["status"] != "pending_settlement"


@virtual
async def test_a_settle_that_is_refused_can_be_repeated_with_better_work() -> None:
    """The bounty is still claimed, and the same key is free for what fulfils it."""
    world = await a_world()
    world.contributions.add(Contribution(cid="slow", tags=["sorted"], scores={"speed": 0.1}))
    async with world.process() as process:
        await claimed(process.operations)
        error = await refusal(process.operations.settle(BOUNTY_ID, "slow", idempotency_key=KEY))
        assert isinstance(error, CriteriaNotMetError)
        assert "speed of at least 1.0" in str(error)
        result = await process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY)
    assert result.bounty.fulfilled_by_cid == CID
    assert not await broken_invariants(world)


@virtual
async def test_a_bounty_past_the_pivot_is_settled_with_its_contribution_or_not_at_all() -> None:
    """A crash left it there; neither the same key nor another one brings in another work."""
    world = await a_world()
    world.contributions.add(Contribution(cid="cid-2", tags=["sorted"], scores={"speed": 9.0}))
    async with world.process() as process:
        await claimed(process.operations)
        services = process.operations.services
        await record_payee(services, await known_bounty(services, BOUNTY_ID), CID, "settle:begin")
        await services.store.begin_settlement(BOUNTY_ID, CID, idempotency_key="settle:begin")
    async with world.process(seed=3) as process:
        other = await refusal(process.operations.settle(BOUNTY_ID, "cid-2", idempotency_key="x"))
        same = await refusal(
            process.operations.settle(BOUNTY_ID, "cid-2", idempotency_key="settle")
        )
        assert isinstance(other, BountyStateError)
        assert isinstance(same, IdempotencyMismatchError)
        for act in (process.operations.cancel(BOUNTY_ID), process.operations.expire(BOUNTY_ID)):
            assert isinstance(await refusal(act), BountyStateError)
        result = await process.operations.settle(BOUNTY_ID, CID, idempotency_key="settle")
    assert result.bounty.status is BountyStatus.SETTLED
    assert not await broken_invariants(world)


@virtual
async def test_a_completed_bounty_is_not_settled_with_another_contribution() -> None:
    """Others have completed it with theirs."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await process.operations.services.store.complete_bounty(BOUNTY_ID, CID)
        error = await outcome(process.operations.settle(BOUNTY_ID, "another"))
    assert error == "pre_commit"
    assert (document(world.mock) or {})["status"] == "completed"


@virtual
async def test_a_settle_owing_its_last_commit_is_finished_by_a_repeat() -> None:
    """Restartable with the same key from any point."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    async with world.process(impatient=True) as process:
        for nth in (2, 3):  # the step and, once it is fenced off, the same under another key
            write = RequestMatch(method="write", path=DOCUMENT, nth=nth)
            world.mock.inject(Fault(FaultKind.RPC_ERROR_BEFORE, match=write))
        act = process.operations.settle
        assert await outcome(act(BOUNTY_ID, CID, idempotency_key=KEY)) == "post_commit"
        assert await outcome(act(BOUNTY_ID, CID, idempotency_key=KEY)) == "committed"


@virtual
async def test_a_reward_that_was_fenced_off_can_be_recorded_later() -> None:
    """One failed try must not keep it out for good."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    async with world.process(impatient=True) as process:
        reward = RequestMatch(method="write", path="*/rewards/*")
        world.mock.inject(Fault(FaultKind.RPC_ERROR_BEFORE, match=reward))
        await outcome(process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY))
    await world.later()
    assert not await world.reconcile()
    assert not await broken_invariants(world)


@virtual
async def test_criteria_are_checked_on_the_bounty_as_it_stands_not_as_it_is_remembered() -> None:
    """It was claimed elsewhere since this process has seen it."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await posted(process.operations)
        await other.operations.claim(BOUNTY_ID, BOB)
        error = await refusal(process.operations.settle(BOUNTY_ID, "no-such-work"))
    assert isinstance(error, CriteriaNotMetError)
    assert (document(world.mock) or {})["status"] == "claimed"


@virtual
async def test_what_nobody_has_claimed_is_not_settled_whoever_claims_it_meanwhile() -> None:
    """Nobody has looked at the work when it is found open; a claim right then changes nothing."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await posted(process.operations)
        store: Any = process.operations.services.store
        begin = store.begin_settlement

        async def claimed_first(*arguments: Any, **named: Any) -> Any:
            await other.operations.claim(BOUNTY_ID, BOB)
            return await begin(*arguments, **named)

        store.begin_settlement = claimed_first
        error = await refusal(process.operations.settle(BOUNTY_ID, "no-such-work"))
    assert isinstance(error, BountyStateError)
    assert error.current_status == "open"
    assert "pending_settlement" not in statuses_ever(world.mock)
    assert not await broken_invariants(world)


@virtual
async def test_operations_with_one_key_at_once_wait_for_each_other() -> None:
    """The one that cannot even look does not call undone what the other is about to do."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        pivot = RequestMatch(method="write", path=DOCUMENT)
        world.mock.inject(Fault(FaultKind.TIMEOUT_BEFORE, match=pivot))
        # the third: the first resolves the pivot, and the look at the claim's marker reads once
        look = RequestMatch(method="read", path=DOCUMENT, nth=3)
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=look, status=403))
        act = process.operations.settle
        twins = [outcome(act(BOUNTY_ID, CID, idempotency_key=KEY)) for _ in range(2)]
        assert await asyncio.gather(*twins) == ["committed", "post_commit"]
    assert not await broken_invariants(world)


@virtual
async def test_a_claimer_whose_lease_has_run_out_is_paid_all_the_same() -> None:
    """The document says whose it is; the lease has ended by itself, and nothing is owed."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await asyncio.sleep(7200)
        result = await process.operations.settle(BOUNTY_ID, CID)
    assert not result.owed
    assert result.credits_with == "bob"


@virtual
async def test_what_is_paid_already_is_not_said_to_be_owed() -> None:
    """Only the step that is left: the reward and the lease do not wait for the document."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        last = RequestMatch(method="write", path=DOCUMENT, nth=2)
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=last, status=403))
        error: Any = await refusal(process.operations.settle(BOUNTY_ID, CID))
    assert error.outcome is Outcome.POST_COMMIT
    assert error.pending == ("commit_settled",)
    assert (await world.ledger.balance("bob")).available == PRICE


@virtual
async def test_a_reward_that_cannot_be_recorded_is_all_that_is_owed() -> None:
    """Neither the document nor the lease waits for it, and a repeat records it."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        reward = RequestMatch(method="write", path="*/rewards/*")
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=reward, status=403))
        error: Any = await refusal(process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY))
        claim = await process.operations.services.claims.get(error.bounty.claim_id)
        assert error.pending == ("record_reward",)
        assert error.bounty.status is BountyStatus.SETTLED
        assert claim is not None
        assert claim.status.value == "completed"
        world.mock.clear_faults()
        again = await process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY)
    assert again.reward is not None
    assert not await broken_invariants(world)


@virtual
async def test_bounties_whose_ids_read_alike_with_their_works_have_a_reward_each() -> None:
    """The colons do not say which is which; none is left without, and none has two."""
    world = await a_world()
    works = {"one": "two:three", "one:two": "three"}
    async with world.process() as process:
        for bounty_id, cid in works.items():
            work = Contribution(cid=cid, tags=["sorted"], scores={"speed": 2.0})
            world.contributions.add(work)
            bounty = msgspec.structs.replace(a_bounty(), bounty_id=bounty_id)
            await process.operations.create(bounty)
            await process.operations.claim(bounty_id, BOB)
            result = await process.operations.settle(bounty_id, cid)
            assert not result.owed
        rewards = await process.operations.services.store.list_rewards()
    assert {each.bounty_id: each.contribution_cid for each in rewards} == works
    assert len(rewards) == len(works)
    assert await paid(world) == 2 * PRICE


@virtual
async def test_what_the_ledger_has_not_paid_is_owed_by_name() -> None:
    """The error attaches the bounty and lists the steps in order; a repeat does them."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    async with world.process(fault=LedgerFault("refused", 1, "capture")) as process:
        error: Any = await refusal(process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY))
        assert error.outcome is Outcome.POST_COMMIT
        assert error.pending[:3] == ("capture_payment", "commit_settled", "record_reward")
        assert error.bounty.status is BountyStatus.PENDING_SETTLEMENT
        assert (error.operation, error.idempotency_key) == ("settle", KEY)
        result = await process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY)
    assert result.credits_with == "bob"
    assert not await broken_invariants(world)
