"""With more operations than connections: nobody runs out of time by waiting, first come first."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from nexus_bounty.deadlines import Deadline
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.priority_limiter import PriorityLimiter
from tests.support.clients import client_of
from tests.support.virtual import elapsed, virtual


def slow_server(seconds: float = 1.0) -> MockNexus:
    return MockNexus("0.10", faults=[Fault(FaultKind.DELAY, seconds=seconds, times=None)])


async def two_requests(client: NexusClient, name: str) -> None:
    """An operation: two requests, one after the other, under one deadline."""
    deadline = client.deadline()
    await client.write(f"/{name}/1", b"", deadline=deadline)
    await client.write(f"/{name}/2", b"", deadline=deadline)


@virtual
async def test_a_hundred_operations_on_two_connections_all_have_their_time() -> None:
    """They take a hundred seconds together, and five are allowed to each: none fails."""
    mock = slow_server()
    client = client_of(mock, max_connections=2, operation_timeout=5.0)
    await asyncio.gather(*(two_requests(client, str(number)) for number in range(100)))
    assert 100.0 <= elapsed() <= 102.0


@virtual
async def test_operations_that_came_first_are_done_first() -> None:
    """One under way does not queue for its next request after all that came later."""
    mock = slow_server()
    client = client_of(mock, max_connections=2)
    await asyncio.gather(*(two_requests(client, str(number)) for number in range(10)))
    order = [request.path for request in mock.requests]
    for number in range(4, 10):
        assert order.index(f"/{number}/1") > order.index(f"/{number - 4}/2")


@virtual
async def test_the_time_of_an_operation_runs_from_its_first_request() -> None:
    """And then it ends, whatever the server does."""
    mock = MockNexus("0.10", faults=[Fault(FaultKind.TIMEOUT_BEFORE, times=None)])
    client = client_of(mock, max_connections=1, operation_timeout=5.0, request_timeout=60.0)
    tasks = [asyncio.create_task(client.write(f"/{number}", b"")) for number in range(3)]
    await asyncio.wait(tasks)
    assert elapsed() == pytest.approx(15.0)
    for task in tasks:
        error = task.exception()
        assert isinstance(error, NexusError)
        assert (error.disposition, error.reason) == (Disposition.AMBIGUOUS, Reason.TIMEOUT)


@virtual
async def test_parts_of_a_deadline_begin_with_it() -> None:
    """A deadline that keeps some time back is served, and ends, with the one it is part of."""
    whole = Deadline.once_served(60.0)
    part = whole.keeping(20.0)
    await asyncio.sleep(100.0)
    assert (whole.remaining, part.remaining, part.within(5.0).remaining) == (60.0, 40.0, 5.0)
    assert not part.has_begun
    whole.begin()
    await asyncio.sleep(15.0)
    part.begin()
    assert (whole.remaining, part.remaining, part.within(5.0).remaining) == (45.0, 25.0, 5.0)
    assert part.within(500.0).remaining == 25.0


@virtual
async def test_whoever_stops_waiting_takes_no_place_with_them() -> None:
    """Cancelled in the queue, or in the very moment in which a place is given."""
    random = Random(5)
    limiter = PriorityLimiter(3)
    inside = most = 0

    async def pass_through() -> None:
        nonlocal inside, most
        await limiter.enter(random.randrange(100))
        try:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(random.choice([0.0, 0.0, 0.1]))
        finally:
            inside -= 1
            limiter.leave()

    for _ in range(50):
        tasks = [asyncio.create_task(pass_through()) for _ in range(20)]
        for _ in range(random.randrange(4)):
            await asyncio.sleep(0)
        for task in random.sample(tasks, 10):
            task.cancel()
        await asyncio.wait(tasks)
    assert most == 3
    assert [limiter.enter_at_once() for _ in range(4)] == [True, True, True, False]
