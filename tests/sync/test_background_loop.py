"""A loop runs async calls for several threads, ends what is interrupted, and closes for good."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.sync.background_loop import BackgroundLoop, ClosedError, Face, timeout

marker: ContextVar[str] = ContextVar("marker", default="")


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop()
    yield loop
    loop.close()


class Recorder:
    """An async object that remembers how its calls ended."""

    def __init__(self, fail: bool = False) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended: list[str] = []
        self.closings = 0
        if fail:
            raise ValueError("not made")

    async def sleep(self, seconds: float, ending: float = 0.0) -> str:
        """Sleep; when cancelled, take a while to end."""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(ending)
            self.ended.append("cancelled")
            raise
        self.ended.append("slept")
        return "slept"

    async def insist(self, seconds: float, error: Exception | None = None) -> str:
        """End well, or in an error, when cancelled."""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if error is not None:
                raise error from None
        return "done after all"

    async def count(self, to: int) -> AsyncIterator[int]:
        """Count, and remember whether it came to its end."""
        try:
            for number in range(to):
                yield number
        finally:
            self.ended.append("counted")

    async def close(self) -> None:
        """Remember that it was closed."""
        await asyncio.sleep(0)
        self.closings += 1


class SyncRecorder(Face[Recorder]):
    """The face of a recorder, as the generator would write it."""

    def __init__(self, fail: bool = False) -> None:
        super().__init__(None, Recorder, fail)

    def sleep(self, seconds: float, ending: float = 0.0) -> str:
        return self._run(self.wrapped.sleep, seconds, ending)

    def insist(self, seconds: float, error: Exception | None = None) -> str:
        return self._run(self.wrapped.insist, seconds, error)

    def count(self, to: int) -> Iterator[int]:
        return self._iterate(self.wrapped.count, to)


@pytest.fixture
def recorder() -> Iterator[SyncRecorder]:
    with SyncRecorder() as recorder:
        yield recorder


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Press Ctrl-C in a while, and expect to hear of it."""
    press = threading.Timer(seconds, os.kill, [os.getpid(), signal.SIGINT])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    try:
        press.start()
        with pytest.raises(KeyboardInterrupt):
            yield
        press.join()
    finally:
        signal.signal(signal.SIGINT, before)


def loop_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "nexus-bounty-sync"]


async def answer(value: str) -> str:
    return value


async def fail(error: BaseException) -> None:
    raise error


def test_a_call_gives_its_result_or_raises_its_error(loop: BackgroundLoop) -> None:
    """The very same error, TimeoutError included."""
    assert loop.run(answer, "yes") == "yes"
    for error in (ValueError("no"), TimeoutError("its own"), ClosedError("its own")):
        with pytest.raises(type(error)) as caught:
            loop.run(fail, error)
        assert caught.value is error


def test_a_call_sees_the_context_of_its_caller(loop: BackgroundLoop) -> None:
    """Trace ids and the like, of each thread its own."""

    async def look() -> str:
        return marker.get()

    def call(value: str) -> str:
        marker.set(value)
        return loop.run(look)

    with ThreadPoolExecutor(4) as threads:
        values = [str(number) for number in range(20)]
        assert list(threads.map(call, values)) == values


def test_calls_of_several_threads_run_at_once(loop: BackgroundLoop) -> None:
    """They meet in the loop, where each waits for all the others."""
    barrier = asyncio.Barrier(8)

    async def meet() -> int:
        async with asyncio.timeout(5.0):
            return await barrier.wait()

    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(loop.run, meet) for _ in range(8)]
        assert sorted(each.result() for each in waiting) == list(range(8))


def test_a_timeout_cancels_the_call_and_sees_it_end(recorder: SyncRecorder) -> None:
    """When TimeoutError is raised, nothing goes on any more."""
    began = time.monotonic()
    with pytest.raises(TimeoutError), timeout(0.2):
        recorder.sleep(30.0, ending=0.05)
    assert recorder.wrapped.ended == ["cancelled"]
    assert time.monotonic() - began < 5.0
    assert recorder.sleep(0.0) == "slept"


def test_a_timeout_is_for_the_whole_block(recorder: SyncRecorder) -> None:
    """And the tighter of two counts."""
    with pytest.raises(TimeoutError), timeout(0.8):
        [recorder.sleep(0.1) for _ in range(100)]
    assert 1 <= recorder.wrapped.ended.count("slept") < 10
    with pytest.raises(TimeoutError), timeout(0.02), timeout(60.0):
        recorder.sleep(30.0)
    with timeout(60.0):
        with pytest.raises(TimeoutError), timeout(0.02):
            recorder.sleep(30.0)
        assert recorder.sleep(0.0) == "slept"


@pytest.mark.parametrize("none", [None, math.inf, 1e300, 1e12, 2**70, 10**400], ids=str)
def test_no_timeout_is_none(recorder: SyncRecorder, none: float | None) -> None:
    """As with `asyncio.timeout`; one around it counts all the same."""
    with timeout(none):
        assert recorder.sleep(0.0) == "slept"
    with pytest.raises(TimeoutError), timeout(0.02), timeout(none):
        recorder.sleep(30.0)


@pytest.mark.parametrize("wrong", [math.nan, -math.inf, -1, -0.001, "5", True, [], 1j], ids=str)
def test_what_is_no_time_is_refused_before_anything_begins(
    recorder: SyncRecorder, wrong: Any
) -> None:
    refused = pytest.raises(InvalidInputError, match="seconds must be a number from 0 on")
    with refused, timeout(wrong):
        recorder.sleep(0.0)
    assert recorder.wrapped.ended == []
    assert recorder.sleep(0.0) == "slept"


def test_what_a_call_leaves_running_is_not_bounded_by_its_time(loop: BackgroundLoop) -> None:
    """A worker that is begun in the course of a call has no deadline of a caller's."""

    async def end(worker: asyncio.Task[str]) -> str:
        return await worker

    other = BackgroundLoop()
    go_on = threading.Event()

    async def wait_and_call() -> str:
        await asyncio.to_thread(go_on.wait)
        return await asyncio.to_thread(other.run, answer, "yes")

    async def leave() -> asyncio.Task[str]:
        return asyncio.create_task(wait_and_call())

    with timeout(0.5):
        worker = loop.run(leave)
    time.sleep(0.6)
    go_on.set()
    assert loop.run(end, worker) == "yes"
    other.close()


def test_a_call_that_ends_in_spite_of_a_timeout_has_its_say(recorder: SyncRecorder) -> None:
    """A commit that came through is not reported as a timeout; an error is the call's own."""
    with timeout(0.2):
        assert recorder.insist(30.0) == "done after all"
    with pytest.raises(LookupError), timeout(0.2):
        recorder.insist(30.0, LookupError())


@pytest.mark.parametrize("ending", ["cancelled", "done", "failed"])
def test_ctrl_c_ends_the_call_before_it_is_raised(recorder: SyncRecorder, ending: str) -> None:
    """However the call takes it."""
    began = time.monotonic()
    with interrupted_after(0.2):
        if ending == "cancelled":
            recorder.sleep(30.0, ending=0.05)
        recorder.insist(30.0, LookupError() if ending == "failed" else None)
    assert time.monotonic() - began < 5.0
    assert recorder.wrapped.ended == (["cancelled"] if ending == "cancelled" else [])
    assert recorder.sleep(0.0) == "slept"


def test_a_second_ctrl_c_does_not_wait_for_the_end(recorder: SyncRecorder) -> None:
    """A call that will not end cannot hold its caller."""
    began = time.monotonic()
    threading.Timer(0.8, os.kill, [os.getpid(), signal.SIGINT]).start()
    with interrupted_after(0.2):
        try:
            recorder.sleep(30.0, ending=30.0)
        except KeyboardInterrupt:
            assert time.monotonic() - began >= 0.7
            raise
    assert time.monotonic() - began < 5.0


def test_an_iterator_yields_as_it_goes_and_ends_its_source(recorder: SyncRecorder) -> None:
    """Also when it is left half way."""
    assert list(recorder.count(3)) == [0, 1, 2]
    assert recorder.wrapped.ended == ["counted"]
    for number in recorder.count(10**9):
        if number == 2:
            break
    gc.collect()
    assert recorder.wrapped.ended == ["counted", "counted"]
    assert list(recorder.count(0)) == []


def test_an_iterator_is_bounded_by_the_timeout_of_its_block(recorder: SyncRecorder) -> None:
    """And its source is ended all the same."""

    def crawl() -> None:
        for _ in recorder.count(10**9):
            time.sleep(0.02)

    with pytest.raises(TimeoutError), timeout(0.1):
        crawl()
    assert recorder.wrapped.ended == ["counted"]


def test_closing_again_is_a_no_op_and_using_after_it_says_that_nothing_was_sent() -> None:
    """For every kind of call."""
    recorder = SyncRecorder()
    recorder.close()
    recorder.close()
    assert recorder.wrapped.closings == 1
    for call in (lambda: recorder.sleep(0.0), lambda: recorder.count(3)):
        with pytest.raises(ClosedError, match="SyncRecorder is closed: nothing was sent"):
            call()
    assert recorder.wrapped.ended == []


def test_closing_ends_the_thread_and_the_loop() -> None:
    """Nothing is left behind."""
    before = len(loop_threads())
    with SyncRecorder() as recorder:
        assert len(loop_threads()) == before + 1
        loop = recorder.wrapped.loop
    assert len(loop_threads()) == before
    assert loop.is_closed()


def test_closing_is_not_bounded_by_the_time_of_what_is_closed() -> None:
    """A block that ran out of time is still cleared up."""
    recorder = SyncRecorder()
    with pytest.raises(TimeoutError), timeout(0.5), recorder:
        recorder.sleep(30.0)
    assert recorder.wrapped.closings == 1


def test_a_call_under_way_while_the_loop_closes_says_so(loop: BackgroundLoop) -> None:
    """It may have done its work: no claim that nothing was sent."""
    started = threading.Event()

    async def wait() -> None:
        started.set()
        await asyncio.sleep(30.0)

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(loop.run, wait)
        started.wait()
        loop.close()
        with pytest.raises(ClosedError, match="may have done its work"):
            waiting.result(5.0)
    with pytest.raises(ClosedError, match="nothing was sent"):
        loop.run(wait)
    assert loop.is_closed


def test_threads_that_race_a_close_all_come_to_an_end() -> None:
    """With a result or a ClosedError, never waiting for ever."""
    for delay in (0.0, 0.0005, 0.002):
        with ThreadPoolExecutor(8) as threads:
            recorder = SyncRecorder()

            def call(_number: int, recorder: SyncRecorder = recorder) -> str:
                try:
                    return recorder.sleep(0.0005)
                except ClosedError:
                    return "closed"

            calls = [threads.submit(call, number) for number in range(40)]
            time.sleep(delay)
            closings = [threads.submit(recorder.close) for _ in range(2)]
            assert {each.result(10.0) for each in calls} <= {"slept", "closed"}
            for closing in closings:
                closing.result(10.0)


def test_a_call_from_inside_the_loop_is_refused(loop: BackgroundLoop) -> None:
    """It would wait for itself."""

    async def inside() -> None:
        loop.run(answer, "never")

    with pytest.raises(RuntimeError, match="never return"):
        loop.run(inside)


def test_a_call_from_another_event_loop_works(loop: BackgroundLoop) -> None:
    """It blocks that loop, as any sync call does."""

    async def elsewhere() -> str:
        return loop.run(answer, "yes")

    assert asyncio.run(elsewhere()) == "yes"


def test_an_object_that_cannot_be_made_leaves_nothing_behind() -> None:
    """Its constructor's error is the caller's."""
    before = len(loop_threads())
    with pytest.raises(ValueError, match="not made"):
        SyncRecorder(fail=True)
    assert len(loop_threads()) == before


def test_a_forgotten_loop_ends_its_thread() -> None:
    """When it is collected."""
    loop = BackgroundLoop()
    thread = loop._thread
    del loop
    gc.collect()
    thread.join(30.0)
    assert not thread.is_alive()


@pytest.mark.parametrize("ending", ["", "os._exit(0)"])
def test_a_program_that_never_closes_ends_in_silence(ending: str) -> None:
    """Nothing hangs, nothing is printed."""
    program = (
        "import os\n"
        "from nexus_bounty.mock import MockNexus\n"
        "from nexus_bounty.sync import SyncNexusClient\n"
        "client = SyncNexusClient('http://x', transport=MockNexus().transport())\n"
        "client.write('/a', b'1')\n"
        f"{ending}\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
