"""A loop that something ends which ends programs: no caller waits for good, and each is told."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from nexus_bounty import events
from nexus_bounty.mock import MockNexus
from nexus_bounty.sync import ClosedError, SyncNexusBountyStore, SyncNexusClient, timeout
from nexus_bounty.sync.background_loop import BackgroundLoop
from nexus_bounty.testing import make_bounty

T = TypeVar("T")

SOON = 20.0
"""Seconds: nothing here takes as long, unless it never ends."""

ENDS = [SystemExit, KeyboardInterrupt]
ending = pytest.mark.parametrize("end", ENDS)
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"  # what ended the thread is its end
)


def called(call: Callable[[], T]) -> Future[T]:
    """A call in a thread that keeps no test from ending if it never does itself."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised by the future
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result


def in_time(call: Callable[[], T]) -> T:
    return called(call).result(SOON)


async def answer() -> str:
    return "yes"


async def end_by(error: type[BaseException]) -> None:
    raise error(3)


async def end_by_callback(error: type[BaseException]) -> None:
    def end() -> None:
        raise error(3)

    asyncio.get_running_loop().call_soon(end)
    await asyncio.sleep(SOON)


def wait_until_under_way(loop: BackgroundLoop, work: Callable[[], Any]) -> Future[Any]:
    began = threading.Event()

    async def run() -> None:
        began.set()
        await work()

    result = called(lambda: loop.run(run))
    assert began.wait(SOON)
    return result


def assert_refuses(loop: BackgroundLoop, end: type[BaseException]) -> None:
    said = f"closed by {end.__name__}: nothing was sent"
    for _ in range(3):
        with pytest.raises(ClosedError, match=said) as refused:
            in_time(lambda: loop.run(answer))
        assert isinstance(refused.value.__cause__, end)
    with pytest.raises(ClosedError, match=said):
        in_time(lambda: _bounded(loop))
    assert loop.is_closed
    for _ in range(2):
        in_time(loop.close)


def _bounded(loop: BackgroundLoop) -> str:
    with timeout(0.5):
        return loop.run(answer)


@ending
def test_who_ends_the_loop_is_told_so_and_later_calls_are_refused(
    end: type[BaseException],
) -> None:
    """As in a program that awaits, what ends it is raised where it was called."""
    for _ in range(20):
        loop = BackgroundLoop()
        with pytest.raises(end):
            in_time(lambda loop=loop: loop.run(end_by, end))  # type: ignore[misc]
        assert_refuses(loop, end)


@ending
def test_calls_under_way_say_that_they_may_have_done_something(end: type[BaseException]) -> None:
    """Those of other threads, and the one in whose course nobody's task has ended the loop."""
    loop = BackgroundLoop()
    others = [wait_until_under_way(loop, lambda: asyncio.sleep(SOON)) for _ in range(3)]
    for each in (called(lambda: loop.run(end_by_callback, end)), *others):
        with pytest.raises(ClosedError, match=f"closed by {end.__name__} while .* may have done"):
            each.result(SOON)
    assert_refuses(loop, end)


@ending
def test_calls_clear_up_though_others_end_the_loop_once_more_meanwhile(
    end: type[BaseException],
) -> None:
    """All of them, and each once: what it does to clear up is not cancelled again."""
    loop = BackgroundLoop()
    cleared_up: list[str] = []

    async def end_again() -> None:
        try:
            await asyncio.sleep(SOON)
        finally:
            raise end(4)

    async def clear_up() -> None:
        try:
            await asyncio.sleep(SOON)
        finally:
            for _ in range(3):
                await asyncio.sleep(0.01)
            cleared_up.append("yes")

    calls = [wait_until_under_way(loop, work) for work in (clear_up, end_again) * 2]
    with pytest.raises(end):
        in_time(lambda: loop.run(end_by, end))
    for each in calls:
        with pytest.raises((end, ClosedError)):
            each.result(SOON)
    assert cleared_up == ["yes", "yes"]
    assert_refuses(loop, end)


@ending
def test_a_loop_that_is_ended_for_ever_leaves_nobody_waiting(end: type[BaseException]) -> None:
    """It is closed over the heads of those who are still clearing up then."""
    loop = BackgroundLoop()

    async def never_end() -> None:
        try:
            await asyncio.sleep(SOON)
        finally:
            await asyncio.get_running_loop().create_future()

    async def end_for_ever() -> None:
        running = asyncio.get_running_loop()

        def again() -> None:
            running.call_soon(again)
            raise end(5)

        running.call_soon(again)

    under_way = wait_until_under_way(loop, never_end)
    with suppress(ClosedError):
        in_time(lambda: loop.run(end_for_ever))
    with pytest.raises(ClosedError, match="may have done its work"):
        under_way.result(SOON)
    assert_refuses(loop, end)


def test_a_call_that_comes_while_the_loop_ends_is_never_begun() -> None:
    """It was taken, and not begun yet, when the loop ended: nothing of it is sent."""
    loop, held, ended = BackgroundLoop(), threading.Event(), threading.Event()
    begun: list[str] = []

    async def hold() -> None:
        held.set()
        ended.wait(SOON)
        raise SystemExit

    async def late() -> None:
        begun.append("late")

    holding = called(lambda: loop.run(hold))
    assert held.wait(SOON)
    coming = [called(lambda: loop.run(late)) for _ in range(5)]
    while len(loop._life._jobs) < 6:  # all wait in the loop
        pass
    ended.set()
    with pytest.raises(SystemExit):
        holding.result(SOON)
    for each in coming:
        with pytest.raises(ClosedError, match="nothing was sent"):
            each.result(SOON)
    assert begun == []


def test_threads_that_race_the_end_of_a_loop_all_come_to_theirs() -> None:
    for _ in range(20):
        loop = BackgroundLoop()

        def call(loop: BackgroundLoop = loop) -> str:
            try:
                while True:
                    loop.run(answer)
            except ClosedError as error:
                return str(error)

        calls = [called(call) for _ in range(6)]
        with pytest.raises(SystemExit):
            in_time(lambda loop=loop: loop.run(end_by, SystemExit))  # type: ignore[misc]
        assert all(each.result(SOON).startswith("closed by SystemExit") for each in calls)
        in_time(loop.close)


def test_a_loop_that_cannot_begin_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as for want of file descriptors."""

    def none() -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(asyncio, "new_event_loop", none)
    monkeypatch.setattr("asyncio.runners.events.new_event_loop", none)
    with pytest.raises(OSError, match="too many open files"):
        in_time(BackgroundLoop)


def test_an_observer_that_ends_the_program_ends_no_caller_in_a_wait_for_good() -> None:
    """The whole face: the client is closed from then on, and closing it again does no harm."""
    armed = [True]

    def end(event: events.Event) -> None:
        if armed and isinstance(event, events.RequestEnded):
            armed.clear()
            sys.exit(3)

    client = SyncNexusClient(transport=MockNexus().transport(), observers=[end])
    store = SyncNexusBountyStore(client)

    def create() -> object:
        with timeout(SOON):
            return store.create_bounty(make_bounty(), idempotency_key="k")

    with pytest.raises(SystemExit):
        in_time(create)
    for _ in range(3):
        with pytest.raises(ClosedError, match="nothing was sent"):
            in_time(create)
    in_time(client.close)
