"""A mutation cancelled at any moment leaves no wrong belief: its key finds out."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from nexus_bounty import (
    BountyStatus,
    CommitUnknownError,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
    OutcomeError,
)
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.testing.virtual_time import run, wall_clock
from tests.support.store_trials import (
    BOUNTY_ID,
    KEY,
    OPERATIONS,
    WORKER,
    Operation,
    commits,
    seed,
)
from tests.support.transports import cancelling

CLAIM = next(each for each in OPERATIONS if each.name == "claim")


async def cancelled_then_repeated(operation: Operation, at: int, applied: bool) -> list[str]:
    """Cancel at request `at`, repeat with the same key on the same store, compare with the log."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    if operation.start is not None:
        await seed(mock, operation.start)
    transport = cancelling(mock.transport(), at, after=applied)
    async with NexusClient("http://nexus", transport=transport, random=Random(1)) as client:
        store = NexusBountyStore(client, commit="conditional", clock=wall_clock)
        task = asyncio.ensure_future(operation.act(store, KEY))
        await asyncio.wait([task])
        if not task.cancelled():
            too_late = transport.carried >= at
            return ["the operation was over before it could be cancelled"] * too_late
        try:
            await operation.act(store, KEY)
        except OutcomeError as error:
            return [f"{error.outcome} on a healthy network"]
    await mock.settle()
    return [] if commits(mock) == 1 else [f"landed {commits(mock)} times"]


@pytest.mark.parametrize("applied", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_a_repeat_with_the_same_key_finishes_what_was_cancelled(
    operation: Operation, applied: bool
) -> None:
    """Whether the cancelled request was applied or not, the operation lands exactly once."""
    for at in range(1, 6):
        assert not run(cancelled_then_repeated(operation, at, applied))


async def timed_out_then_refused() -> None:
    """The commit is under way when the caller gives up; the next call cannot even be sent."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    await seed(mock, BountyStatus.OPEN)
    settings = NexusSettings(retry_attempts=2, operation_timeout=5)
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        store = NexusBountyStore(client, commit="conditional", clock=wall_clock)
        await store.get_bounty(BOUNTY_ID)
        marker, commit = 1, 2
        before = mock.oracle.received_total
        mock.inject(Fault(FaultKind.LATE, at=before + commit, after_requests=1000))
        assert marker < commit
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await CLAIM.act(store, KEY)
        mock.inject(Fault(FaultKind.REFUSE, times=None))
        with pytest.raises(CommitUnknownError):
            await CLAIM.act(store, KEY)
        mock.clear_faults()
        await mock.settle()
        bounty = await store.claim_bounty(BOUNTY_ID, WORKER, "c", idempotency_key=KEY)
        assert bounty.status is BountyStatus.CLAIMED
    assert commits(mock) == 1


def test_a_key_that_may_be_under_way_is_never_called_pre_commit_for_want_of_a_connection() -> None:
    """Never sent speaks for the new request alone; the old one may still land."""
    run(timed_out_then_refused())
