"""A private event loop in a background thread, for callers that do not await.

`nexus_bounty.sync` is generated on top of this module; nothing here knows what it runs.
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Lock, Thread, current_thread
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
W = TypeVar("W", covariant=True)
Given = TypeVar("Given")

_limit: ContextVar[float | None] = ContextVar("_limit", default=None)


class ClosedError(RuntimeError):
    """The object was closed; its message says whether the call may have done something."""


@contextmanager
def timeout(seconds: float) -> Iterator[None]:
    """Bound every call in the block together, as `asyncio.timeout` does for tasks.

    Raises:
        TimeoutError: Time ran out. The call was cancelled and has ended; a mutation may have been
            committed all the same: repeat it with its idempotency key to find out.
    """
    outer = _limit.get()
    mine = time.monotonic() + seconds
    token = _limit.set(mine if outer is None else min(mine, outer))
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def _unlimited() -> Iterator[None]:
    """Clearing up is not bounded by the time given to what is cleared up."""
    token = _limit.set(None)
    try:
        yield
    finally:
        _limit.reset(token)


class _Job(Generic[T]):
    """One coroutine on its way through the loop, and what comes of it."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.done: Future[T] = Future()
        self._coroutine = coroutine
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        """Begin; called in the loop."""
        self._task = asyncio.get_running_loop().create_task(self._coroutine)
        self._task.add_done_callback(self._finish)

    def cancel(self) -> None:
        """Ask it to end; called in the loop, after `start`."""
        if self._task is not None:
            self._task.cancel()

    def _finish(self, task: asyncio.Task[T]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            self.done.cancel()
            self.done.set_running_or_notify_cancel()  # wakes whoever waits
        elif error is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(task.result())


class BackgroundLoop:
    """Runs coroutines on an event loop of its own; any number of threads may call it."""

    def __init__(self) -> None:
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = Thread(
            target=lambda: asyncio.run(_serve(started)), name="nexus-bounty-sync", daemon=True
        )
        self._thread.start()
        self._loop, stop = started.result()
        self._lock = Lock()
        self._process = os.getpid()
        # also when it is merely forgotten, or the interpreter ends
        self._stop = weakref.finalize(self, self._loop.call_soon_threadsafe, stop.set)

    @property
    def is_closed(self) -> bool:
        """Whether calls are refused."""
        return not self._stop.alive

    def run(
        self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `function` in the loop and wait for its result.

        Whatever interrupts the wait (Ctrl-C, `timeout`) first cancels the call and sees it end.

        Raises:
            ClosedError: The loop is closed, or was while the call was under way.
            TimeoutError: The time of a surrounding `timeout` ran out.
        """
        limit = _limit.get()
        job = self._begin(function, *args, **kwargs)
        try:
            wait([job.done], None if limit is None else max(limit - time.monotonic(), 0.0))
        except BaseException:
            self._abandon(job)
            raise
        if not job.done.done():
            self._abandon(job)
            if job.done.cancelled():
                raise TimeoutError("cancelled: the time given by timeout() ran out")
        try:
            return job.done.result()
        except CancelledError as error:
            raise ClosedError(
                "closed while the call was under way: it may have done its work, or a part of it"
            ) from error

    def iterate(
        self, function: Callable[P, AsyncIterator[T]], *args: P.args, **kwargs: P.kwargs
    ) -> Iterator[T]:
        """What the async iterator that `function` gives yields, fetched only as it is asked for."""
        stream = function(*args, **kwargs)

        async def following() -> list[T]:
            async for each in stream:
                return [each]
            return []

        try:
            while found := self.run(following):
                yield from found
        finally:
            aclose = getattr(stream, "aclose", None)
            if aclose is not None:
                with suppress(ClosedError), _unlimited():
                    self.run(aclose)

    def close(self) -> None:
        """Cancel what still runs, end the loop and its thread; again is a no-op."""
        if os.getpid() != self._process:
            return  # its thread and its connections are the other process's
        with self._lock:
            self._stop()
        if current_thread() is not self._thread:
            self._thread.join()

    def _begin(
        self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> _Job[T]:
        if os.getpid() != self._process:
            raise ClosedError(
                "made before a fork: make a new one in each process; nothing was sent"
            )
        if current_thread() is self._thread:
            raise RuntimeError("a sync call from inside its own event loop would never return")
        with self._lock:  # so that the loop sees every job before its own end
            if self.is_closed:
                raise ClosedError("closed: nothing was sent")
            job = _Job(function(*args, **kwargs))
            self._loop.call_soon_threadsafe(job.start)
        return job

    def _abandon(self, job: _Job[Any]) -> None:
        """Cancel `job` and see it end, so that nothing of it goes on behind the caller's back."""
        with suppress(RuntimeError):  # the loop is closed: then the job has ended
            self._loop.call_soon_threadsafe(job.cancel)
        wait([job.done])


async def _serve(started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    stop = asyncio.Event()
    started.set_result((asyncio.get_running_loop(), stop))
    await stop.wait()


class Face(Generic[W]):
    """A sync face: holds an async object and the loop on which it lives.

    Args:
        owner: Whose loop to share; it gets one of its own if not given.
        make: Makes the async object, in the loop, from the other arguments.
    """

    def __init__(
        self,
        owner: Face[Any] | None,
        make: Callable[P, W],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        self._closed = False
        self._owns_loop = owner is None
        self.background: BackgroundLoop = BackgroundLoop() if owner is None else owner.background
        try:
            self._wrapped = self._ask(make, *args, **kwargs)
        except BaseException:
            self._release()
            raise

    @property
    def wrapped(self) -> W:
        """The async object, for whatever asks for one; await it only on this loop's loop."""
        return self._wrapped

    def __repr__(self) -> str:
        """What it is a face of."""
        return f"{type(self).__name__}({self._wrapped!r})"

    def __enter__(self) -> Self:
        """The object itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of everything it opened; again is a no-op. Later calls raise `ClosedError`."""
        if self._closed:
            return
        self._closed = True
        try:
            with suppress(ClosedError), _unlimited():
                if aclose := getattr(self._wrapped, "close", None):
                    self.background.run(aclose)
        finally:
            self._release()

    def _release(self) -> None:
        if self._owns_loop:
            self.background.close()

    def _run(
        self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self._check_open()
        return self.background.run(function, *args, **kwargs)

    def _iterate(
        self, function: Callable[P, AsyncIterator[T]], *args: P.args, **kwargs: P.kwargs
    ) -> Iterator[T]:
        self._check_open()
        return self.background.iterate(function, *args, **kwargs)

    def _ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a plain function that wants to run in the loop."""
        self._check_open()

        async def call() -> T:
            return function(*args, **kwargs)

        return self.background.run(call)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{type(self).__name__} is closed: nothing was sent")


def unwrapped(given: Face[Given] | Given) -> Given:
    """The async object that was given, with or without a face."""
    return given.wrapped if isinstance(given, Face) else given
