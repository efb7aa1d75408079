"""When to try again: full-jitter back-off under one deadline, `Retry-After` honoured.

Nothing here decides *whether* a repeat is harmless; callers say so by choosing what to retry.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count
from random import Random
from typing import Self, TypeVar

from nexus_bounty.events import Retried
from nexus_bounty.events.stream import Observers, publish
from nexus_bounty.models import utc_now
from nexus_bounty.nexus.client.errors import NexusError

T = TypeVar("T")


_numbers = count()
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?")


@dataclass(slots=True)
class Turn:
    """Which operation it is, in the order in which they came, and when it was first served.

    That is on the event loop's clock.
    """

    began_at: float | None
    number: int = field(default_factory=_numbers.__next__)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time by which a whole operation is to be over: so many `seconds` after it began.

    An operation that has to queue for its first request has not begun: with many at once, those
    that come last wait, rather than run out of time.
    """

    seconds: float
    turn: Turn

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The deadline of an operation that begins now."""
        return cls(seconds, Turn(asyncio.get_running_loop().time()))

    @classmethod
    def once_served(cls, seconds: float) -> Self:
        """The deadline of an operation that begins with its first request."""
        return cls(seconds, Turn(None))

    @property
    def has_begun(self) -> bool:
        """Whether the time is running."""
        return self.turn.began_at is not None

    def begin(self) -> None:
        """Let the time run from now on, unless it does."""
        if self.turn.began_at is None:
            self.turn.began_at = asyncio.get_running_loop().time()

    @property
    def at(self) -> float:
        """The moment on the event loop's clock, if the operation has begun or begins now."""
        began_at = self.turn.began_at
        return self.seconds + (asyncio.get_running_loop().time() if began_at is None else began_at)

    @property
    def remaining(self) -> float:
        """Seconds left; never negative."""
        return max(self.at - asyncio.get_running_loop().time(), 0.0)

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and one `seconds` from now."""
        passed = self.seconds - self.remaining
        return Deadline(min(self.seconds, passed + seconds), self.turn)

    def keeping(self, seconds: float) -> Deadline:
        """This deadline less `seconds`, kept for what must still be done then."""
        return Deadline(self.seconds - seconds, self.turn)

    def put_off(self, seconds: float) -> Deadline:
        """This deadline, later by the `seconds` that something else has taken."""
        return Deadline(self.seconds + seconds, self.turn)


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how fast to try again; times are in seconds. `observers` are told of it."""

    attempts: int = 8
    base: float = 0.05
    cap: float = 2.0
    random: Random = field(default_factory=Random, repr=False, compare=False)
    observers: Observers = field(default=(), repr=False, compare=False)

    def pause(self, attempt: int, retry_after: float | None = None) -> float:
        """How long to wait after the `attempt`-th try (from 1): never less than was asked."""
        jittered = self.random.uniform(0, min(self.cap, self.base * 2 ** min(attempt - 1, 32)))
        return max(jittered, retry_after or 0.0)

    async def persist(
        self,
        call: Callable[[], Awaitable[T]],
        deadline: Deadline,
        worth_it: Callable[[NexusError], bool],
    ) -> T:
        """What `call` returns, tried again under `deadline` while its errors are `worth_it`.

        Raises:
            NexusError: That of the last attempt.
        """
        attempt = 1
        while True:
            try:
                return await call()
            except NexusError as error:
                pause = self.pause(attempt, error.retry_after)
                if not worth_it(error) or attempt >= self.attempts or pause >= deadline.remaining:
                    raise
                publish(self.observers, Retried, error.proven, attempt, pause)
            await asyncio.sleep(pause)
            attempt += 1


def parse_retry_after(value: str | None, now: Callable[[], datetime] = utc_now) -> float | None:
    """Seconds to wait by a `Retry-After` header, which has two forms (RFC 9110, 10.2.3).

    Some servers give fractions of a second. An absent or unreadable header is `None`; a date in
    the past is 0.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now()).total_seconds(), 0.0)
