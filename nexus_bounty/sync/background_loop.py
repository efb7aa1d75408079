"""A private event loop in a background thread, for callers that do not await.

`nexus_bounty.sync` is generated on top of this module; nothing here knows what it runs.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import TIMEOUT_MAX, RLock, Thread, current_thread
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, Self, TypeVar

from nexus_bounty.outcomes import InvalidInputError

P = ParamSpec("P")
T = TypeVar("T")
W = TypeVar("W", covariant=True)
Given = TypeVar("Given")

_limit: Final[ContextVar[float]] = ContextVar("_limit", default=math.inf)
"""Until when calls may take, on the monotonic clock."""


class ClosedError(RuntimeError):
    """The object was closed; its message says whether the call may have done something.

    Its loop may have been ended by what ends a program, such as `sys.exit` in an observer: that is
    the error's cause.
    """


@contextmanager
def timeout(seconds: float | None) -> Iterator[None]:
    """Bound every call in the block together, as `asyncio.timeout` does for tasks.

    `None` and infinity are no bound of their own; that of a surrounding block counts all the same.

    Raises:
        InvalidInputError: That is no time: it is below 0, or no number. Nothing was sent.
        TimeoutError: Time ran out. The call was cancelled and has ended; a mutation may have been
            committed all the same: repeat it with its idempotency key to find out.
    """
    mine = time.monotonic() + _checked(seconds)
    token = _limit.set(min(mine, _limit.get()))
    try:
        yield
    finally:
        _limit.reset(token)


def _checked(seconds: object) -> float:
    if seconds is None:
        return math.inf
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise InvalidInputError("seconds", seconds, "must be a number from 0 on, or None")
    return math.inf if seconds > TIMEOUT_MAX else seconds  # some centuries


@contextmanager
def _unlimited() -> Iterator[None]:
    """Clearing up is not bounded by the time given to what is cleared up."""
    token = _limit.set(math.inf)
    try:
        yield
    finally:
        _limit.reset(token)


_NOTHING_SENT: Final = ": nothing was sent"
_MOST_ENDS: Final = 100
"""How often a loop may be ended again while it clears up."""
_UNDER_WAY: Final = " while the call was under way: it may have done its work, or a part of it"


class _Job(Generic[T]):
    """One coroutine on its way through the loop, and what comes of it.

    `ended` is called with it in the end.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, T], ended: Callable[[_Job[Any]], object]
    ) -> None:
        self.done: Future[T] = Future()
        self._coroutine = coroutine
        self._ended = ended
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        """Begin; called in the loop."""
        _limit.set(math.inf)  # in a context of its own: what it starts may outlive the call
        self._task = asyncio.get_running_loop().create_task(self._coroutine)
        self._task.add_done_callback(self._finish)

    def cancel(self) -> None:
        """Ask it to end; called in the loop, after `start`."""
        if self._task is not None:
            self._task.cancel()

    def give_up(self, closed: Callable[[str], ClosedError]) -> None:
        """Its loop is no more: end as it has, or in the error for how far it had come."""
        if self.done.done():
            return
        if self._task is not None and self._task.done():
            self._finish(self._task)
            return
        self._ended(self)
        if self._task is None:
            self._coroutine.close()
        self.done.set_exception(closed(_NOTHING_SENT if self._task is None else _UNDER_WAY))

    def _finish(self, task: asyncio.Task[T]) -> None:
        self._ended(self)
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            self.done.cancel()
            self.done.set_running_or_notify_cancel()  # wakes whoever waits
        elif error is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(task.result())


class _Life:
    """A loop from its beginning to its end, and the jobs that it sees through."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._began: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._jobs: set[_Job[Any]] = set()
        self._lock = RLock()  # whoever collects garbage in the midst of it may stop it
        self._is_over = False
        self._ended_by: BaseException | None = None

    def live(self) -> None:
        """All of it, in a thread of its own: however it ends, no job is left that never does."""
        try:
            with asyncio.Runner() as runner:
                self._run(runner)
        except BaseException as error:
            if not self._began.done():
                self._began.set_exception(error)
                return
            raise
        finally:
            for job in list(self._jobs):
                job.give_up(self.closed)

    def _run(self, runner: asyncio.Runner) -> None:
        """Until it is stopped; refuse what comes from then on, also while the runner clears up."""
        try:
            runner.run(self._serve())
        except BaseException as error:  # such as a `sys.exit` in what it ran
            self._ended_by = error
            raise
        finally:
            with self._lock:
                self._is_over = True
            _cancel_all(runner.get_loop())

    async def _serve(self) -> None:
        stop = asyncio.Event()
        self._began.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()

    @property
    def is_over(self) -> bool:
        """Whether it takes no more jobs."""
        return self._is_over

    @property
    def ended_by(self) -> BaseException | None:
        """What ended it, if it was not stopped."""
        return self._ended_by

    def closed(self, said: str) -> ClosedError:
        """The error of a call that cannot be, or met the end of the loop."""
        by = f" by {type(self._ended_by).__name__}" if self._ended_by else ""
        error = ClosedError(f"closed{by}{said}")
        error.__cause__ = self._ended_by
        return error

    def begin(self, function: Callable[[], Coroutine[Any, Any, T]]) -> _Job[T]:
        """Begin a job; none that is begun is missed at the end."""
        loop, _ = self._began.result()
        with self._lock:
            if self._is_over:
                raise self.closed(_NOTHING_SENT)
            job = _Job(function(), self._jobs.discard)
            self._jobs.add(job)
            loop.call_soon_threadsafe(self._start, job)
        return job

    def _start(self, job: _Job[Any]) -> None:
        """In the loop: a job that it was given too late is given up, not begun and dropped."""
        if self._ended_by is None:
            job.start()
        else:
            job.give_up(self.closed)

    def tell(self, function: Callable[[], object]) -> None:
        """Call something in the loop, unless that is closed."""
        loop, _ = self._began.result()
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(function)

    def wait_until_begun(self) -> None:
        """Wait for the loop to be there, or raise why there can be none."""
        self._began.result()

    def stop(self) -> None:
        """Take no more jobs and cancel those under way; again is a no-op."""
        if os.getpid() != self.process:
            return  # the loop is the other process's
        with self._lock:
            self._is_over = True
            _, stop = self._began.result()
            self.tell(stop.set)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    """See all tasks end, also where what one does then would end the loop once more."""
    asked: set[asyncio.Task[Any]] = set()
    for _ in range(_MOST_ENDS):
        left = asyncio.all_tasks(loop)
        if not left:
            return
        for task in left - asked:
            task.cancel()
        asked |= left
        with suppress(SystemExit, KeyboardInterrupt):  # the first one is told
            loop.run_until_complete(asyncio.wait(left))


class BackgroundLoop:
    """Runs coroutines on an event loop of its own; any number of threads may call it."""

    def __init__(self) -> None:
        self._life = _Life()
        self._thread = Thread(target=self._life.live, name="nexus-bounty-sync", daemon=True)
        self._thread.start()
        self._life.wait_until_begun()
        # also when it is merely forgotten, or the interpreter ends
        self._stop = weakref.finalize(self, self._life.stop)

    @property
    def is_closed(self) -> bool:
        """Whether calls are refused."""
        return self._life.is_over

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
            wait([job.done], None if limit == math.inf else max(limit - time.monotonic(), 0.0))
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
            raise self._life.closed(_UNDER_WAY) from self._life.ended_by or error

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
        if os.getpid() != self._life.process:
            return  # its thread and its connections are the other process's
        self._stop()
        if current_thread() is not self._thread:
            self._thread.join()

    def _begin(
        self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> _Job[T]:
        if os.getpid() != self._life.process:
            raise ClosedError(
                "made before a fork: make a new one in each process; nothing was sent"
            )
        if current_thread() is self._thread:
            raise RuntimeError("a sync call from inside its own event loop would never return")
        return self._life.begin(lambda: function(*args, **kwargs))

    def _abandon(self, job: _Job[Any]) -> None:
        """Cancel `job` and see it end, so that nothing of it goes on behind the caller's back."""
        self._life.tell(job.cancel)
        wait([job.done])


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
