"""One key, one operation: repeats finish it, and other parameters are refused."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from nexus_bounty import BountyCriteria, Contribution, IdempotencyMismatchError
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.ports import ReservationStatus, referred_to
from nexus_bounty.testing.virtual_time import run
from tests.operations import operation_trials
from tests.operations.lives import DOCUMENT, KEY, Act, claimed, outcome, posted, refusal, settled
from tests.operations.operation_trials import CASES, Case
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CAROL,
    PRICE,
    Crash,
    CrashPlan,
    a_bounty,
    a_world,
    broken_invariants,
)


@virtual
async def test_an_operation_without_a_key_makes_one_and_its_error_says_which() -> None:
    """Repeating the call with it finds out, or finishes."""
    world = await a_world()
    async with world.process() as process:
        world.mock.inject(
            Fault(FaultKind.DROP_BEFORE, match=RequestMatch(path=DOCUMENT), times=None)
        )
        world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=RequestMatch(), times=None))
        error = await refusal(process.operations.create(a_bounty()))
        assert error.idempotency_key
        world.mock.clear_faults()
        again = await process.operations.create(a_bounty(), idempotency_key=error.idempotency_key)
    assert again.idempotency_key == error.idempotency_key
    assert not await broken_invariants(world)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_repeat_finishes_what_a_crash_left_at_any_boundary(case: Case) -> None:
    """At once, in another process, without the reconciler: all is done and all invariants hold."""

    async def crashed_at(boundary: int | None) -> tuple[int, list[str]]:
        world = await a_world()
        await operation_trials.prepare(world, case)
        plan = CrashPlan(at=boundary)
        async with world.process(plan) as process:
            with suppress(Crash):
                await case.act(process.operations)
        await world.mock.settle()
        async with world.process(seed=5) as process:
            said = await outcome(case.act(process.operations))
        wrong = [] if said == "committed" else [f"{boundary}: its repeat said {said}"]
        return plan.seen, wrong + [f"{boundary}: {each}" for each in await broken_invariants(world)]

    boundaries, wrong = run(crashed_at(None))
    for boundary in range(1, boundaries + 1):
        wrong += run(crashed_at(boundary))[1]
    assert not wrong


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@virtual
async def test_a_repeat_in_the_same_process_or_another_returns_the_same_and_writes_nothing(
    case: Case,
) -> None:
    """However often, and the documents, the money and the result stay as they are."""
    world = await a_world()
    await operation_trials.prepare(world, case)
    async with world.process() as process, world.process(seed=4) as other:
        first: Any = await case.act(process.operations)
        await asyncio.sleep(1)  # it cleans up
        files = {path: world.mock.read_file(path) for path in world.mock.files}
        for each in (process, other, other):
            again: Any = await case.act(each.operations)
            assert again.bounty == first.bounty
            assert again.done == first.done
            assert again.credits_with == first.credits_with
            assert again.idempotency_key == first.idempotency_key
    assert {path: world.mock.read_file(path) for path in world.mock.files} == files
    assert not await broken_invariants(world)


MISMATCHES: dict[str, tuple[Act, Act]] = {
    "create with another amount": (
        posted,
        lambda o: o.create(
            msgspec.structs.replace(a_bounty(), amount=PRICE + 1), idempotency_key="create"
        ),
    ),
    "create with other criteria": (
        posted,
        lambda o: o.create(
            msgspec.structs.replace(a_bounty(), criteria=BountyCriteria(description="any")),
            idempotency_key="create",
        ),
    ),
    "create by another": (
        posted,
        lambda o: o.create(
            msgspec.structs.replace(a_bounty(), creator=BOB), idempotency_key="create"
        ),
    ),
    "claim for another": (claimed, lambda o: o.claim(BOUNTY_ID, CAROL, idempotency_key="claim")),
    "claim for longer": (
        claimed,
        lambda o: o.claim(BOUNTY_ID, BOB, lease=timedelta(hours=9), idempotency_key="claim"),
    ),
    "settle with another": (
        settled,
        lambda o: o.settle(BOUNTY_ID, "cid-2", idempotency_key="settle"),
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
@virtual
async def test_the_same_key_with_other_parameters_is_refused(name: str) -> None:
    """In the same process and in another; what it stands for is left as it is."""
    before, ask = MISMATCHES[name]
    world = await a_world()
    world.contributions.add(Contribution(cid="cid-2", tags=["sorted"], scores={"speed": 9.0}))
    async with world.process() as process, world.process(seed=3) as other:
        await before(process.operations)
        standing = world.mock.read_file(DOCUMENT)
        for each in (process, other):
            error = await refusal(ask(each.operations))
            assert isinstance(error, IdempotencyMismatchError)
            assert error.idempotency_key == name.split()[0]
    assert world.mock.read_file(DOCUMENT) == standing
    assert not await broken_invariants(world)


@virtual
async def test_a_key_reused_for_another_bounty_never_touches_the_escrow_of_the_first() -> None:
    """Refused, and the first bounty keeps its credits."""
    world = await a_world()
    other = msgspec.structs.replace(a_bounty(), bounty_id="b-2")
    async with world.process() as process:
        await process.operations.create(a_bounty(), idempotency_key=KEY)
        await outcome(process.operations.create(other, idempotency_key=KEY))
    reservations = [each async for each in world.ledger.reservations()]
    of_the_first = [each for each in reservations if referred_to(each.reference)[1] == BOUNTY_ID]
    assert [each.status for each in of_the_first] == [ReservationStatus.HELD]


@pytest.mark.parametrize(("key", "again"), [("create", posted), ("claim", claimed)])
@virtual
async def test_a_repeat_says_where_the_credits_are_now(key: str, again: Act) -> None:
    """They have been paid since."""
    world = await a_world()
    async with world.process() as process:
        await settled(process.operations)
        assert (await again(process.operations)).credits_with == "bob", key
