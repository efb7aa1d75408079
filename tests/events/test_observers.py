"""Who is told, of what, how often, and what becomes of an observer that misbehaves."""

from __future__ import annotations

import asyncio
import gc
import logging
import pydoc
import threading
import weakref
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest

from nexus_bounty import BountyOperations, NexusBountyStore, NexusClaimStore, events
from nexus_bounty.events import stream
from nexus_bounty.events.tracking import tracked
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.testing.builders import make_bounty
from tests.events.support import Heard, a_mock, a_store
from tests.support.virtual import virtual


@virtual
async def test_the_observers_of_a_client_are_told_of_its_requests_and_stores() -> None:
    heard, other = Heard(), Heard()
    async with a_store(a_mock(), observers=[heard]) as store, a_store(a_mock(), observers=[other]):
        await store.create_bounty(make_bounty())
    assert heard.the(events.OperationEnded).operation
    assert heard.of(events.RequestSent)
    assert other == []


@virtual
async def test_the_observers_of_a_store_are_told_of_its_mutations_and_their_requests() -> None:
    heard = Heard()
    async with a_store(a_mock()) as quiet:
        store = NexusBountyStore(quiet._client, commit="conditional", observers=[heard])
        await quiet.create_bounty(make_bounty(bounty_id="b-2"))
        assert heard == []
        await store.create_bounty(make_bounty())
    ended = heard.the(events.OperationEnded)
    assert ended.requests == len(heard.of(events.RequestSent)) > 0


@virtual
async def test_the_observers_of_the_operations_are_told_of_everything_inside() -> None:
    heard = Heard()
    async with a_store(a_mock()) as store:
        operations = _operations(store, [heard])
        await operations.services.credits.top_up("t", account="creator", amount=100)
        await operations.create(make_bounty())
    names = [each.operation.name for each in heard.of(events.OperationEnded) if each.operation]
    assert names == ["create_bounty", "fund_bounty", "create"]
    assert heard.of(events.RequestSent)


@virtual
async def test_whoever_listens_everywhere_is_told_once_of_each() -> None:
    heard = Heard()
    async with a_store(a_mock(), observers=[heard]) as quiet:
        store = NexusBountyStore(quiet._client, commit="conditional", observers=[heard])
        with events.register(heard):
            await store.create_bounty(make_bounty())
    assert len(heard.of(events.OperationBegan)) == 1
    sent = [each.path for each in heard.of(events.RequestSent)]
    assert len(sent) == len(set(sent))


class Collector:
    """An observer by one of its methods, and by itself; equal to whatever it is compared to."""

    def __init__(self) -> None:
        self.heard = Heard()

    def __eq__(self, _other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def note(self, event: events.Event) -> None:
        self.heard.append(event)

    def __call__(self, event: events.Event) -> None:
        self.note(event)


METHODS: dict[str, Callable[[Collector], events.Observer]] = {
    "bound": lambda each: each.note,
    "built in": lambda each: each.heard.append,
    "wrapper": lambda each: each.heard.__call__,
    "special": lambda each: each.__call__,
    "itself": lambda each: each,
}


@pytest.mark.parametrize("look_up", METHODS.values(), ids=METHODS)
@virtual
async def test_a_method_is_one_observer_however_often_it_is_looked_up(
    look_up: Callable[[Collector], events.Observer],
) -> None:
    """Another object each time; that of an equal object is another observer all the same."""
    one, other = Collector(), Collector()
    async with a_store(a_mock(), observers=[look_up(one), look_up(other)]) as quiet:
        again = [look_up(one)]
        store = NexusBountyStore(quiet._client, commit="conditional", observers=again)
        with events.register(look_up(one)), events.register(look_up(one)):
            await store.create_bounty(make_bounty())
            await quiet.get_bounty("b-1")
    for each in (one, other):
        assert len(each.heard.of(events.OperationBegan)) == 1
        sent = [(event.method, event.path) for event in each.heard.of(events.RequestSent)]
        assert len(sent) == len(set(sent)) > 0


def test_a_method_that_raises_is_complained_of_once(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def note(self, _event: events.Event) -> None:
            raise RuntimeError("no disk")

    broken = Broken()
    for _ in range(2):
        with events.register(broken.note):
            stream.publish((), events.FenceWritten, "/a")
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 1


@virtual
async def test_an_observer_that_is_registered_twice_is_told_once_of_each() -> None:
    heard = Heard()
    with events.register(heard), events.register(heard):
        stream.publish((), events.FenceWritten, "/a")
    assert len(heard) == 1


@virtual
async def test_a_registered_observer_is_told_of_all_until_it_is_unregistered() -> None:
    heard, others = Heard(), Heard()
    async with a_store(a_mock()) as store:
        other = events.register(others)
        with events.register(heard) as registration:
            await store.create_bounty(make_bounty())
            before = len(heard)
        await store.cancel_bounty("b-1")
        registration.unregister()
        registration.unregister()  # does nothing
        other.unregister()
        await store.get_bounty("b-1")
    assert len(heard) == before > 0
    assert [each.operation.name for each in others.of(events.OperationEnded) if each.operation] == [
        "create_bounty",
        "cancel_bounty",
    ]


@virtual
async def test_an_observer_that_is_registered_twice_is_told_until_both_are_ended() -> None:
    heard = Heard()
    async with a_store(a_mock()) as store:
        with events.register(heard):
            with events.register(heard):
                pass
            await store.create_bounty(make_bounty())
    assert len(heard.of(events.OperationBegan)) == 1


@virtual
async def test_who_is_told_of_an_event_is_settled_when_it_happens() -> None:
    """One that another unregisters is still told of that; one that it registers, of the next."""
    early, late = Heard(), Heard()
    come: list[events.Registration] = []

    def change(_event: events.Event) -> None:
        gone.unregister()
        come.append(events.register(late))

    async with a_store(a_mock()) as store:
        with events.register(events.only(change, events.RequestSent)):
            gone = events.register(early)
            await store.get_bounty("b-1")
        for each in come:
            each.unregister()
    assert [type(each) for each in early] == [events.RequestSent]
    assert [type(each) for each in late] == [events.RequestEnded]


@virtual
async def test_an_observer_that_wants_some_types_is_told_of_these_alone() -> None:
    heard = Heard()
    with events.register(events.only(heard, events.OperationEnded, events.RequestSent)):
        async with a_store(a_mock()) as store:
            await store.create_bounty(make_bounty())
    assert {type(each) for each in heard} == {events.OperationEnded, events.RequestSent}


@virtual
async def test_an_observer_that_raises_breaks_nothing_and_is_complained_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard()

    def broken(_event: events.Event) -> None:
        raise RuntimeError("no disk")

    async with a_store(a_mock()) as store:
        with events.register(broken), events.register(heard):
            await store.create_bounty(make_bounty())
            await store.cancel_bounty("b-1")
    assert len(heard.of(events.OperationEnded)) == 2
    (complaint,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "broken" in complaint.getMessage()
    assert complaint.exc_info
    assert complaint.name == "nexus_bounty"


def test_observers_come_and_go_in_many_threads_without_getting_lost() -> None:
    kept = Heard()

    def come_and_go() -> None:
        for _ in range(200):
            with events.register(Heard()):
                pass

    before = len(stream._stream.observers)
    with events.register(kept):
        threads = [threading.Thread(target=come_and_go) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(stream._stream.observers) == before + 1
        stream.publish((), events.FenceWritten, "/a")
    assert kept == [events.FenceWritten(None, "/a")]
    assert len(stream._stream.observers) == before


def test_events_cannot_be_changed() -> None:
    event = events.FenceWritten(None, "/a")
    with pytest.raises(AttributeError):
        event.path = "/b"  # type: ignore[misc]
    assert not hasattr(event, "__dict__")


@virtual
async def test_a_task_that_an_operation_starts_belongs_to_it_and_a_detached_one_does_not() -> None:
    seen = {}

    async def look(name: str) -> None:
        around = stream.around.get()
        seen[name] = around.operation.name if around and around.operation else None

    with tracked("store", "claim_bounty", "b-1", "k", place=events.Place("", "default")):
        await asyncio.create_task(look("started"))
        await asyncio.create_task(look("detached"), context=stream.detached())
    await look("after")
    assert seen == {"started": "claim_bounty", "detached": None, "after": None}


def _operations(store: Any, observers: list[events.Observer]) -> BountyOperations:
    return BountyOperations(
        store,
        credits=MemoryCredits(),
        claims=NexusClaimStore(store._client, commit="conditional"),
        contributions=MemoryContributionStore([]),
        observers=observers,
    )


class Wanting:
    """An observer that wants what it is told to want; what raises is raised by the question."""

    def __init__(self, *answers: object) -> None:
        self.heard = Heard()
        self.answers = list(answers)

    @property
    def wants(self) -> object:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __call__(self, event: events.Event) -> None:
        self.heard(event)


class Awaited:
    """An observer that would have to be awaited, and so never hears of anything."""

    async def __call__(self, event: events.Event) -> None:
        raise AssertionError


NO_OBSERVERS = {
    "a stand-in": Mock(),
    "a stand-in for everything": MagicMock(),
    "a number": Wanting(5),
    "a name": Wanting("OperationEnded"),
    "names": Wanting(["OperationEnded"]),
    "another type": Wanting((int,)),
    "all, by their base": Wanting(events.Event),
    "what fails": Wanting(TypeError("no configuration")),
    "what cannot be called": "print",
    "what is to be awaited": asyncio.sleep,
    "what is to be awaited when it is called": Awaited(),
}


@pytest.mark.parametrize("observer", NO_OBSERVERS.values(), ids=NO_OBSERVERS)
@virtual
async def test_what_can_be_told_of_nothing_is_refused_and_leaves_no_trace(observer: Any) -> None:
    """What goes on in the process is neither broken by it nor told to it."""
    before = stream._stream.observers, stream._stream._wanted_by_given
    async with a_store(a_mock()) as store:
        for refuse in (
            lambda: events.register(observer),
            lambda: NexusBountyStore(store._client, observers=[Heard(), observer]),
        ):
            with pytest.raises(TypeError) as refused:
                refuse()
            assert str(refused.value)
        assert (stream._stream.observers, stream._stream._wanted_by_given) == before
        with events.register(Heard()):
            await store.create_bounty(make_bounty())


@pytest.mark.parametrize(
    "wants",
    [
        events.OperationEnded,
        [events.OperationEnded],
        {events.OperationEnded},
        {events.OperationEnded: "by a handler"},
        {events.OperationEnded: "by a handler"}.keys(),
    ],
    ids=lambda wants: type(wants).__name__,
)
@virtual
async def test_an_observer_wants_one_type_or_a_collection_of_them(wants: object) -> None:
    observer = Wanting(wants)
    async with a_store(a_mock()) as store:
        with events.register(observer):
            await store.create_bounty(make_bounty())
    assert {type(each) for each in observer.heard} == {events.OperationEnded}


@pytest.mark.parametrize("later", [RuntimeError("gone"), 5], ids=["raises", "is nonsense"])
@virtual
async def test_an_observer_that_no_longer_says_what_it_wants_is_told_and_complained_of_once(
    later: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where others come and go meanwhile; it can be unregistered as any other."""
    observer = Wanting((events.OperationEnded,), later)
    async with a_store(a_mock()) as store:
        with events.register(observer):
            with events.register(Heard()):
                await store.create_bounty(make_bounty())
            assert observer.heard.the(events.OperationEnded)
        observer.heard.clear()
        await store.cancel_bounty("b-1")
    assert observer.heard == []
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 1


@pytest.mark.parametrize("observer", ["print", None, 5, asyncio.sleep, Awaited()])
def test_what_could_be_told_of_nothing_is_told_of_no_types_either(observer: Any) -> None:
    with pytest.raises(TypeError, match="an observer is called"):
        events.only(observer, events.OperationEnded)


@pytest.mark.parametrize("kinds", [(), (int,), (events.Event,), (events.Retried, "Retried")])
def test_only_is_of_types_that_are_told(kinds: Any) -> None:
    """One that was told of nothing was taken, in silence."""
    with pytest.raises(TypeError, match="type of event"):
        events.only(Heard(), *kinds)


def test_a_handler_may_take_the_types_alone_that_it_is_told_of() -> None:
    """Which `mypy --strict` looks into here, and in the programs of others."""
    pauses: list[float] = []
    ways: list[str | float] = []

    def pause(event: events.Retried) -> None:
        pauses.append(event.pause)

    def way(event: events.Retried | events.FenceWritten) -> None:
        ways.append(event.pause if isinstance(event, events.Retried) else event.path)

    def of_three(event: events.Retried | events.FenceWritten | events.FenceLanded) -> None:
        way(event) if not isinstance(event, events.FenceLanded) else None

    observers: list[events.Observer] = [
        events.only(pause, events.Retried),
        events.only(lambda event: pauses.append(event.pause), events.Retried),
        events.only(way, events.Retried, events.FenceWritten),
        events.only(of_three, events.Retried, events.FenceWritten, events.FenceLanded),
    ]
    stream.publish(events_given := stream.given(observers), events.Retried, "why", 1, 0.5)
    stream.publish(events_given, events.FenceWritten, "/a")
    assert (pauses, ways) == ([0.5, 0.5], [0.5, 0.5, "/a", "/a"])


def test_help_says_what_an_observer_is() -> None:
    assert "must not wait" in pydoc.render_doc(events.Observer)


class Failing:
    """An observer that fails, and may be looked at for whether it is still there."""

    def __call__(self, event: events.Event) -> None:
        raise ValueError("no")

    def method(self, event: events.Event) -> None:
        raise ValueError("no")


FAILING: dict[str, Callable[[Failing], events.Observer]] = {
    "the object": lambda failing: failing,
    "a method": lambda failing: failing.method,
    "another method": lambda failing: failing.__call__,
    "some types": lambda failing: events.only(failing, events.FenceWritten),
    "a function": lambda failing: lambda event: failing(event),
}


@pytest.mark.parametrize("made_of", FAILING.values(), ids=FAILING)
def test_an_observer_that_failed_is_complained_of_once_and_not_kept_alive(
    made_of: Callable[[Failing], events.Observer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that makes a client for each request gives each its own."""
    complaints: list[str] = []
    monkeypatch.setattr(stream.logger, "error", lambda said, *_, **__: complaints.append(said))
    before = len(stream._stream._faulty)
    left = []
    for number in range(1, 4):
        failing = Failing()
        left.append(weakref.ref(failing))
        with events.register(made_of(failing)):
            for _ in range(3):
                stream.publish((), events.FenceWritten, "/a")
        assert len(complaints) == number
        del failing
    gc.collect()
    assert [each() for each in left] == [None] * 3
    assert len(stream._stream._faulty) == before


def test_two_methods_of_one_observer_are_complained_of_one_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing = Failing()
    for _ in range(2):
        for each in (failing.method, failing.__call__):
            stream.publish((each,), events.FenceWritten, "/a")
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 2
