"""When to try again: full-jitter back-off under one deadline, `Retry-After` honoured.

Nothing here decides *whether* a repeat is harmless; callers say so by choosing what to retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Self

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from nexus_bounty.models import utc_now
from nexus_bounty.nexus.errors import NexusError


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the event loop's clock by which a whole operation is to be over."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The deadline `seconds` from now."""
        return cls(asyncio.get_running_loop().time() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left; never negative."""
        return max(self.at - asyncio.get_running_loop().time(), 0.0)

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and one `seconds` from now."""
        return min(self, Deadline.after(seconds), key=lambda deadline: deadline.at)

    def keeping(self, seconds: float) -> Deadline:
        """This deadline less `seconds`, kept for what must still be done then."""
        return Deadline(self.at - seconds)


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how fast to try again; times are in seconds."""

    attempts: int = 8
    base: float = 0.05
    cap: float = 2.0
    random: Random = field(default_factory=Random, repr=False, compare=False)

    def pause(self, attempt: int, retry_after: float | None = None) -> float:
        """How long to wait after the `attempt`-th try (from 1): never less than was asked."""
        jittered = self.random.uniform(0, min(self.cap, self.base * 2 ** min(attempt - 1, 32)))
        return max(jittered, retry_after or 0.0)

    def retrying(self, deadline: Deadline, worth_it: Callable[[NexusError], bool]) -> AsyncRetrying:
        """A tenacity retrier for the `NexusError`s that are `worth_it`, under `deadline`."""

        def stop(state: RetryCallState) -> bool:
            return (
                state.attempt_number >= self.attempts or state.upcoming_sleep >= deadline.remaining
            )

        return AsyncRetrying(
            sleep=asyncio.sleep,
            stop=stop,
            wait=lambda state: self.pause(state.attempt_number, _retry_after(state)),
            retry=retry_if_exception(lambda e: isinstance(e, NexusError) and worth_it(e)),
            reraise=True,
        )


def _retry_after(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, NexusError) else None


def parse_retry_after(value: str | None, now: Callable[[], datetime] = utc_now) -> float | None:
    """Seconds to wait by a `Retry-After` header, which has two forms (RFC 9110, 10.2.3).

    An absent or unreadable header is `None`; a date in the past is 0.
    """
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now()).total_seconds(), 0.0)
