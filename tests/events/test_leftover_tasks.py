"""Tasks that outlast what they were started in: what they do then is of nothing that is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager

import httpx
import pytest

from nexus_bounty import CommitUnknownError, NexusBountyStore, events
from nexus_bounty.events import stream, tracking
from nexus_bounty.mock import FaultKind, MockNexus
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty.together import both, moment
from tests.events.support import IMPATIENT, Heard, a_mock, a_store, commit_of, read_of
from tests.support.virtual import virtual

BEGINNINGS = [
    events.OperationBegan,
    events.RequestSent,
    events.RequestEnded,
    events.OperationEnded,
]
PLACE = events.Place("", "default")


class Starting:
    """An observer that starts a worker on the first event of a type that it is told of."""

    def __init__(self, kind: type[events.Event], work: Callable[[], Awaitable[None]]) -> None:
        self.wants = kind
        self.work = work
        self.worker: asyncio.Future[None] | None = None

    def __call__(self, _event: events.Event) -> None:
        if self.worker is None:
            self.worker = asyncio.ensure_future(self.work())


class StartingTransport(httpx.AsyncBaseTransport):
    """A transport that starts a task with its first request, as a pool of connections may."""

    def __init__(self, mock: MockNexus, work: Callable[[], Awaitable[None]]) -> None:
        self._inner = mock.transport()
        self.work = work
        self.worker: asyncio.Future[None] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.worker is None:
            self.worker = asyncio.ensure_future(self.work())
        return await self._inner.handle_async_request(request)


def lose_answers(mock: MockNexus) -> None:
    mock.inject(
        commit_of(FaultKind.TIMEOUT_AFTER, times=None),
        read_of(FaultKind.TIMEOUT_BEFORE, times=None),
    )


async def be_in_doubt(store: NexusBountyStore) -> None:
    with pytest.raises(CommitUnknownError):
        await store.create_bounty(make_bounty(), idempotency_key="k-late")


def assert_told_of_a_doubt_of_its_own(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    assert told(heard) == [("k-late", None)]
    assert sum("may have happened" in each.getMessage() for each in caplog.records) == 1


async def when_told(go_on: asyncio.Event, mock: MockNexus, store: NexusBountyStore) -> None:
    """Work that ends in a doubt, whatever it was started in."""
    await go_on.wait()
    lose_answers(mock)
    await be_in_doubt(store)


def told(heard: Heard) -> Sequence[tuple[str, object]]:
    doubts = [each.operation for each in heard.of(events.OutcomeUnknown)]
    return [(each.key, each.parent) for each in doubts if each]


@pytest.mark.parametrize("kind", BEGINNINGS)
@pytest.mark.parametrize("is_over", [True, False], ids=["after it", "meanwhile"])
@virtual
async def test_what_a_worker_of_an_observer_does_is_no_step_of_what_it_was_started_in(
    kind: type[events.Event], is_over: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The documentation says to put what takes time into a queue: its worker may be begun then."""
    mock, heard, go_on = a_mock(), Heard(), asyncio.Event()

    starting = Starting(kind, lambda: when_told(go_on, mock, store))
    async with a_store(mock, IMPATIENT) as store:
        with events.register(heard), events.register(starting):
            if is_over:
                await store.create_bounty(make_bounty(bounty_id="b-0"))
                assert starting.worker
                go_on.set()
                await starting.worker
            else:
                with tracked_operation():
                    stream.publish((), events.OperationBegan)
                    await store._client.exists("/x")
                    stream.publish((), events.OperationEnded, None, None, 0.0, 0, (), None)
                    assert starting.worker
                    go_on.set()
                    await starting.worker
    assert_told_of_a_doubt_of_its_own(heard, caplog)


def tracked_operation() -> AbstractContextManager[object]:
    return tracking.tracked("operations", "settle", "b-0", "k-0", place=PLACE)


@virtual
async def test_what_a_task_of_the_program_does_after_an_operation_is_no_step_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever started it: here, a transport."""
    mock, heard, go_on = a_mock(), Heard(), asyncio.Event()

    transport = StartingTransport(mock, lambda: when_told(go_on, mock, store))
    async with a_store(mock, IMPATIENT, transport=transport) as store:
        with events.register(heard):
            with tracked_operation():
                await store.create_bounty(make_bounty(bounty_id="b-0"))
            go_on.set()
            assert transport.worker
            await transport.worker
    assert_told_of_a_doubt_of_its_own(heard, caplog)


@virtual
async def test_a_step_that_outlasts_its_operation_is_in_doubt_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody does it anew with what was around it."""
    mock, heard = a_mock(), Heard()
    lose_answers(mock)
    async with a_store(mock, IMPATIENT) as store:
        with events.register(heard):
            with tracked_operation():
                step = asyncio.ensure_future(be_in_doubt(store))
                await asyncio.sleep(0.5)
            await step
    assert [key for key, _ in told(heard)] == ["k-late"]
    assert sum("may have happened" in each.getMessage() for each in caplog.records) == 1


@virtual
async def test_a_task_that_outlasts_a_look_at_how_things_stand_has_doubts() -> None:
    """What is done by looking is in no doubt; what a task of it does later is."""
    mock, heard, go_on = a_mock(), Heard(), asyncio.Event()
    lose_answers(mock)

    async def work() -> None:
        await go_on.wait()
        await be_in_doubt(store)

    async with a_store(mock, IMPATIENT) as store:
        with events.register(heard):
            with tracking.level_triggered():
                late = asyncio.ensure_future(work())
            go_on.set()
            await late
    assert told(heard) == [("k-late", None)]


@virtual
async def test_a_worker_of_an_observer_is_neither_counted_nor_of_one_moment_with_others() -> None:
    """Its requests are no sweep's, and go along with nobody's."""
    seen: list[tuple[object, ...]] = []

    async def work() -> None:
        tracking.count_request()
        seen.append((stream.around.get(), moment()))

    starting = Starting(events.FenceWritten, work)

    async def happen() -> None:
        assert moment() is not None
        stream.publish((), events.FenceWritten, "/a")
        assert moment() is not None

    with events.register(starting), tracking.RequestCounter() as counter, tracked_operation():
        before = stream.around.get()
        await both(happen(), asyncio.sleep(0))
        assert stream.around.get() is before
        assert starting.worker
        await starting.worker
        tracking.count_request()
    assert seen == [(None, None)]
    assert counter.number == 1


@virtual
async def test_what_is_left_of_a_moment_is_of_none() -> None:
    left: list[asyncio.Task[object]] = []
    go_on = asyncio.Event()

    async def look() -> object:
        await go_on.wait()
        return moment()

    async def leave() -> object:
        left.append(asyncio.create_task(look()))
        return moment()

    one, other = await both(leave(), leave())
    assert one is other is not None
    go_on.set()
    assert [await each for each in left] == [None, None]


@virtual
async def test_what_is_around_is_there_again_after_an_observer_that_fails() -> None:
    def fail(_event: events.Event) -> None:
        raise ValueError("no")

    with events.register(fail), tracked_operation():
        before = stream.around.get()
        assert before is not None
        stream.publish((), events.FenceWritten, "/a")
        assert stream.around.get() is before
