"""When to try again: full-jitter back-off, never sooner than asked, under one deadline.

The one place that computes how long to wait. Nothing here decides *whether* a repeat is harmless;
callers say so by what they persist in. Tenacity carries the repeats; it is imported, and set up,
only after a first attempt has failed.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events import Retried
from nexus_bounty.events.stream import Observers, publish
from nexus_bounty.events.types import told_as

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

T = TypeVar("T")

_FOR_EVER: Final = 2.0**31
"""Seconds: nobody waits as long."""

WorthIt = Callable[[Exception], bool]
"""Whether after this error the same call does no harm and may well come through."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how fast to try again; times are in seconds. `observers` are told of it."""

    attempts: int = 8
    base: float = 0.05
    cap: float = 2.0
    random: Random = field(default_factory=SystemRandom, repr=False, compare=False)
    observers: Observers = field(default=(), repr=False, compare=False)

    def longest_pause(self, attempt: int) -> float:
        """The back-off after the `attempt`-th try (from 1), without jitter."""
        return min(self.cap, self.base * 2.0 ** min(attempt - 1, 32))

    def pause(self, attempt: int, retry_after: float | None = None) -> float:
        """How long to wait after the `attempt`-th try (from 1): never less than was asked."""
        return max(self.random.uniform(0, self.longest_pause(attempt)), retry_after or 0.0)

    async def rest(
        self,
        attempt: int,
        deadline: Deadline,
        retry_after: float | None = None,
        why: str = "no proof yet",
    ) -> bool:
        """Wait before the next round of a loop that is no retry, such as one that resolves.

        Returns `False`, at once, if the pause would outlast the deadline.
        """
        pause = self.pause(attempt, retry_after)
        if retry_after:
            deadline.excuse(retry_after)
        if pause >= deadline.remaining:
            return False
        publish(self.observers, Retried, why, attempt, pause)
        await asyncio.sleep(pause)
        return True

    async def persist(
        self,
        call: Callable[[], Awaitable[T]],
        worth_it: WorthIt,
        deadline: Deadline | None = None,
    ) -> T:
        """What `call` returns, tried again under `deadline` while its errors are `worth_it`.

        Raises:
            Exception: That of the last attempt.
        """
        failed: list[Exception] = []
        try:
            return await call()
        except Exception as error:
            if not worth_it(error):
                raise
            failed.append(error)
        return await self.persist_after(failed, call, worth_it, deadline)

    async def persist_after(
        self,
        failed: list[Exception],
        call: Callable[[], Awaitable[T]],
        worth_it: WorthIt,
        deadline: Deadline | None = None,
    ) -> T:
        """As `persist`, for a caller whose own first attempt has `failed`, with that one error.

        Raises:
            Exception: That of the last attempt.
        """

        async def attempt() -> T:
            if failed:
                raise failed.pop()
            return await call()

        return await self.retrying(worth_it, deadline)(attempt)

    def persist_blocking(self, call: Callable[[], T], worth_it: WorthIt, seconds: float) -> T:
        """As `persist`, for code that may block its thread, for so many `seconds` at most.

        Raises:
            Exception: That of the last attempt.
        """
        failures: list[Exception] = []
        try:
            return call()
        except Exception as error:
            if not worth_it(error):
                raise
            failures.append(error)
        from tenacity import Retrying

        def attempt() -> T:
            if failures:
                raise failures.pop()
            return call()

        ends = time.monotonic() + seconds
        terms = _Terms(self, worth_it, lambda _: ends - time.monotonic())
        return Retrying(sleep=time.sleep, **terms.as_arguments())(attempt)

    def retrying(self, worth_it: WorthIt, deadline: Deadline | None = None) -> AsyncRetrying:
        """Tenacity's object for one persistence; its `statistics` count attempts and waits."""
        from tenacity import AsyncRetrying

        def remaining(asked: float) -> float:
            if deadline and asked:
                deadline.excuse(asked)
            return deadline.remaining if deadline else math.inf

        terms = _Terms(self, worth_it, remaining)
        return AsyncRetrying(sleep=asyncio.sleep, **terms.as_arguments())


@dataclass(frozen=True, slots=True)
class _Terms:
    """What tenacity asks: whether to go on after a failure, how long to wait, when to stop."""

    policy: RetryPolicy
    worth_it: WorthIt
    remaining: Callable[[float], float]
    """The time that is left, from how long the server has just asked to be left alone."""

    def as_arguments(self) -> dict[str, Any]:
        return {
            "retry": self.is_worth_it,
            "wait": self.wait,
            "stop": self.is_over,
            "before_sleep": self.tell,
            "reraise": True,
        }

    def is_worth_it(self, state: RetryCallState) -> bool:
        error = _error_of(state)  # or a cancellation, or nothing
        return isinstance(error, Exception) and self.worth_it(error)

    def wait(self, state: RetryCallState) -> float:
        return self.policy.pause(state.attempt_number, _asked_by(state))

    def is_over(self, state: RetryCallState) -> bool:
        """Whether that was the last attempt, or the pause would outlast the time."""
        last = state.attempt_number >= self.policy.attempts
        return last or state.upcoming_sleep >= self.remaining(_asked_by(state))

    def tell(self, state: RetryCallState) -> None:
        why = _reason_of(_error_of(state))
        pause = state.upcoming_sleep
        publish(self.policy.observers, Retried, why, state.attempt_number, pause)


def _asked_by(state: RetryCallState) -> float:
    """For how long the server has asked to be left alone, in seconds; what is no time is none."""
    asked = getattr(_error_of(state), "retry_after", None)
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not asked > 0:
        return 0.0
    return asked if asked < _FOR_EVER else math.inf


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _reason_of(error: BaseException | None) -> str:
    """What an error proves, if it says so, and what it is otherwise."""
    proven: str | None = getattr(error, "proven", None)
    return proven or (told_as(error) if error else "")
