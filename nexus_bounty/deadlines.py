"""The time that a whole operation may take, on the clock of the event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import Self

_numbers = count()


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
