"""Calls with one key at the same time, in one process: none is told what another one disproves."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

import pytest

from nexus_bounty import Bounty, BountyStatus, NexusBountyStore, NexusClient, OutcomeError
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.testing.virtual_time import run, wall_clock
from tests.support.store_trials import DOCUMENT, KEY, OPERATIONS, Operation, commits, seed


async def twins(operation: Operation) -> list[str]:
    """The commit of the first call arrives late; whatever is sent meanwhile is refused."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    if operation.start is not None:
        await seed(mock, operation.start)

    def is_commit(nth: int) -> RequestMatch:
        return RequestMatch(method="write", path=DOCUMENT, nth=nth)

    mock.inject(Fault(FaultKind.LATE, match=is_commit(1), after_requests=1000))
    mock.inject(Fault(FaultKind.STATUS_BEFORE, match=is_commit(2), status=403))
    async with NexusClient("http://nexus", transport=mock.transport(), random=Random(1)) as client:
        store = NexusBountyStore(client, commit="conditional", clock=wall_clock)
        calls = [asyncio.ensure_future(operation.act(store, KEY)) for _ in range(3)]
        await asyncio.wait(calls)
    await mock.settle()
    assert commits(mock) == 1
    return [_verdict(call) for call in calls]


def _verdict(call: asyncio.Task[Bounty]) -> str:
    error = call.exception()
    return error.outcome.value if isinstance(error, OutcomeError) else repr(error)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_a_refusal_does_not_speak_for_a_call_with_the_same_key_that_is_under_way(
    operation: Operation,
) -> None:
    """They wait for each other: the first finds out, the others find it done."""
    assert run(twins(operation)) == ["None"] * 3


async def cancelled_while_waiting() -> int:
    """Two wait for the first; the second gives up waiting."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    await seed(mock, BountyStatus.OPEN)
    cancel = next(each for each in OPERATIONS if each.name == "cancel")
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store = NexusBountyStore(client, commit="conditional", clock=wall_clock)
        calls = [asyncio.ensure_future(cancel.act(store, KEY)) for _ in range(3)]
        await asyncio.sleep(0)
        calls[1].cancel()
        await asyncio.wait(calls)
    assert calls[1].cancelled()
    assert calls[0].result().status is calls[2].result().status is BountyStatus.CANCELLED
    return commits(mock)


def test_whoever_gives_up_waiting_leaves_the_others_in_their_order() -> None:
    """Nothing of its own was sent."""
    assert run(cancelled_while_waiting()) == 1


TRANSITIONS: Final = [each for each in OPERATIONS if each.start is not None]


async def repeated_by_a_process_that_cannot_look_again(operation: Operation) -> str:
    """It has just seen the bounty, with the operation in its history."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    if operation.start is not None:
        await seed(mock, operation.start)
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        await operation.act(NexusBountyStore(client, commit="conditional", clock=wall_clock), KEY)
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store = NexusBountyStore(client, commit="conditional", clock=wall_clock)
        await store.get_bounty("b-1")
        match = RequestMatch(path=DOCUMENT)
        mock.inject(Fault(FaultKind.STATUS_BEFORE, match=match, status=403, times=None))
        call = asyncio.ensure_future(operation.act(store, KEY))
        await asyncio.wait([call])
    return _verdict(call)


@pytest.mark.parametrize("operation", TRANSITIONS, ids=lambda each: each.name)
def test_what_is_known_to_have_landed_is_not_called_undone_where_it_cannot_be_read_again(
    operation: Operation,
) -> None:
    """Only how the bounty stands now is not known."""
    verdict = run(repeated_by_a_process_that_cannot_look_again(operation))
    assert verdict in ("None", "unknown")
