"""An event loop on which waiting costs no time: sleeps and timeouts only move its clock.

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())

Code that only awaits asyncio (no sockets, no threads) runs on it unchanged, deterministically,
and as fast as it can compute.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeVar

T = TypeVar("T")

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


Idle = Callable[[float | None], bool]


class _SkippingSelector(selectors.SelectSelector):
    """Instead of waiting for a timer, moves the clock to it."""

    def __init__(self, skip: Callable[[float], None], idle: Idle | None) -> None:
        super().__init__()
        self._skip = skip
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout != 0 and self._idle is not None and self._idle(timeout):
            return []
        if timeout is None:
            raise RuntimeError("every task waits for another one: nothing can ever happen again")
        self._skip(timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer whenever all tasks wait.

    Args:
        start: What its clock shows at first, in seconds.
        idle: Asked whenever all tasks wait, with the seconds to the next timer, `None` if there is
            none: whether it has made a task ready, so that the clock is not to move. A scheduler
            decides here which task goes on.
    """

    _clock_resolution: float  # asyncio's: a timer is due that lies no further ahead than this

    def __init__(self, *, start: float = 0.0, idle: Idle | None = None) -> None:
        self._now = start
        super().__init__(_SkippingSelector(self._skip, idle))

    def time(self) -> float:
        """Seconds since the loop was made, waiting included."""
        return self._now

    def _skip(self, seconds: float) -> None:
        self._now += max(seconds, 0.0)
        # after half a year a nanosecond is lost in rounding, and what is due would never be run
        self._clock_resolution = max(self._clock_resolution, math.ulp(self._now))


def wall_clock() -> datetime:
    """The running loop's time as a wall clock that starts at `EPOCH`."""
    return _after(asyncio.get_running_loop().time())


@lru_cache(maxsize=64)
def _after(seconds: float) -> datetime:
    """A moment, made once: the clock of such a loop stands still most of the time."""
    return EPOCH + timedelta(seconds=seconds)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on a loop of its own with virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
