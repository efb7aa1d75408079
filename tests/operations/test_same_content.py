"""Creates without keys where equal contents are one: while that goes on, and once it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

import msgspec
import pytest

from nexus_bounty import (
    FROM_IDEMPOTENCY_KEY,
    BountyOperations,
    BountyStatus,
    CommitUnknownError,
    IdempotencyMismatchError,
)
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.operations.create import _check_posted_since
from nexus_bounty.outcomes import Outcome
from nexus_bounty.testing.virtual_time import EPOCH
from tests.operations.lives import SHORT, refusal
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    CID,
    FUNDS,
    PRICE,
    Process,
    World,
    a_bounty,
    a_world,
    with_other,
)

DAY: Final = timedelta(days=1)
End = Callable[[BountyOperations, str], Awaitable[object]]


async def _expired(operations: BountyOperations, bounty_id: str) -> None:
    await asyncio.sleep(3 * DAY.total_seconds())
    await operations.expire(bounty_id)


async def _settled(operations: BountyOperations, bounty_id: str) -> None:
    await operations.claim(bounty_id, BOB)
    await operations.settle(bounty_id, CID)


ENDS: Final[dict[BountyStatus, End]] = {
    BountyStatus.CANCELLED: lambda operations, bounty_id: operations.cancel(bounty_id),
    BountyStatus.EXPIRED: _expired,
    BountyStatus.SETTLED: _settled,
}


async def post(process: Process, *, due: timedelta = DAY, **options: Any) -> Any:
    """What everybody offers here, with whatever key, due so long after the beginning."""
    operations = with_other(
        process.operations,
        same_content_once=True,
        random=process.operations.services.random,
        **{name: options.pop(name) for name in ("credits",) if name in options},
    )
    offer = msgspec.structs.replace(
        a_bounty(), bounty_id=FROM_IDEMPOTENCY_KEY, deadline=EPOCH + due
    )
    return await operations.create(offer, **options)


async def held(world: World) -> int:
    """What the creator has in escrow."""
    return (await world.ledger.balance("alice")).reserved


@pytest.mark.parametrize("status", ENDS)
@virtual
async def test_what_has_ended_is_named_and_not_passed_off_as_posted(status: BountyStatus) -> None:
    """Whoever asks, from whichever process; nothing is set aside, and a key posts it once more."""
    world = await a_world()
    async with world.process() as process:
        first = (await post(process)).bounty
        await ENDS[status](process.operations, first.bounty_id)
        await asyncio.sleep(1)
        before = await held(world)
        due = 9 * DAY
        async with world.process(seed=2) as other:
            for asking in (process, other):
                error = await refusal(post(asking, due=due))
                assert isinstance(error, IdempotencyMismatchError)
                assert f"{first.bounty_id!r}, which is {status.value}" in error.message
                assert error.other is not None
                assert error.other.record_id == first.bounty_id
                assert error.other.outcome is Outcome.COMMITTED
        assert await held(world) == before
        again = await post(process, due=due, idempotency_key="once-more")
        assert (again.bounty.status, again.bounty.bounty_id != first.bounty_id) == ("open", True)
        assert await held(world) == before + PRICE


@pytest.mark.parametrize("status", ENDS)
@virtual
async def test_without_a_ledger_it_is_the_same(status: BountyStatus) -> None:
    """Nor does it take one to tell what has ended."""
    world = World()
    async with world.process() as process:
        first = (await post(process, credits=None)).bounty
        own = with_other(process.operations, credits=None)
        await ENDS[status](own, first.bounty_id)
        await asyncio.sleep(1)
        error = await refusal(post(process, due=9 * DAY, credits=None))
        assert isinstance(error, IdempotencyMismatchError)


@virtual
async def test_many_at_once_post_one_and_none_once_it_has_ended() -> None:
    """From processes of their own."""
    world = await a_world()
    async with world.process() as one, world.process(seed=2) as two, world.process(seed=3) as three:
        asking = (one, two, three)
        posted = await asyncio.gather(*(post(each) for each in asking))
        assert len({each.bounty.bounty_id for each in posted}) == 1
        assert await held(world) == PRICE
        await one.operations.cancel(posted[0].bounty.bounty_id)
        await asyncio.sleep(1)
        ended = await asyncio.gather(*(refusal(post(each)) for each in asking))
        assert all(isinstance(each, IdempotencyMismatchError) for each in ended)
        assert (await world.ledger.balance("alice")).available == FUNDS


@virtual
async def test_a_lost_answer_is_found_out_by_a_repeat_without_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it goes on, as posted; once it has ended, as what has ended: never a second one."""
    world = await a_world()
    reserve = world.ledger.reserve

    async def then_nexus_is_deaf(*args: Any, **named: Any) -> Any:
        world.mock.inject(Fault(FaultKind.DROP_AFTER, times=None))
        return await reserve(*args, **named)

    monkeypatch.setattr(world.ledger, "reserve", then_nexus_is_deaf)
    async with world.process(impatient=True) as process:
        assert isinstance(await refusal(post(process)), CommitUnknownError)
    monkeypatch.undo()
    world.mock.clear_faults()
    async with world.process(seed=2) as other:
        found = (await post(other)).bounty
        assert found.status is BountyStatus.OPEN
        await other.operations.cancel(found.bounty_id)
        await asyncio.sleep(SHORT.total_seconds())
        error = await refusal(post(other))
        assert isinstance(error, IdempotencyMismatchError)
        assert found.bounty_id in error.message
    assert await held(world) == 0


@virtual
async def test_one_that_this_call_has_posted_is_its_own_however_soon_it_ends() -> None:
    """Somebody may end it before its creator has the answer."""
    world = await a_world()
    async with world.process() as process:
        services = process.operations.services
        began = services.clock()
        await asyncio.sleep(1)
        result = await post(process)
        await process.operations.cancel(result.bounty.bounty_id)
        await _check_posted_since(services, result, began)
        with pytest.raises(IdempotencyMismatchError):
            await _check_posted_since(services, result, services.clock() + SHORT)
        world.mock.inject(Fault(FaultKind.REFUSE, times=None))
        with pytest.raises(CommitUnknownError):
            await _check_posted_since(services, result, began)
