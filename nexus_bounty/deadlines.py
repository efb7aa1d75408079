"""The time that a whole operation may take, on the clock of the event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final, Self

TIMES_ITS_OWN: Final = 2
"""How often its own time an operation lets itself be asked to wait, besides.

That is two minutes by default; a server that limits requests a minute asks for one at a time.
"""

_numbers = count()


@dataclass(slots=True)
class Turn:
    """Which operation it is, in the order in which they came, and when it was first served.

    That is on the event loop's clock.
    """

    began_at: float | None
    number: int = field(default_factory=_numbers.__next__)
    waited: float = 0.0
    """Seconds for which the server has asked to be left alone."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time by which a whole operation is to be over: so many `seconds` after it began.

    An operation that has to queue for its first request has not begun: with many at once, those
    that come last wait, rather than run out of time. Nor does it count, within bounds, for how long
    the server has asked to be left alone; unless it `is_strict`.
    """

    seconds: float
    turn: Turn
    is_strict: bool = False

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
        waited = 0.0 if self.is_strict else self.turn.waited
        now = asyncio.get_running_loop().time
        return self.seconds + waited + (now() if began_at is None else began_at)

    @property
    def remaining(self) -> float:
        """Seconds left; never negative."""
        return max(self.at - asyncio.get_running_loop().time(), 0.0)

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and one `seconds` from now, whoever asks for what."""
        now = asyncio.get_running_loop().time()
        passed = 0.0 if self.turn.began_at is None else now - self.turn.began_at
        return Deadline(passed + min(self.remaining, seconds), self.turn, is_strict=True)

    def keeping(self, seconds: float) -> Deadline:
        """This deadline less `seconds`, kept for what must still be done then."""
        return replace(self, seconds=self.seconds - seconds)

    def put_off(self, seconds: float) -> Deadline:
        """This deadline, later by the `seconds` that something else has taken."""
        return replace(self, seconds=self.seconds + seconds)

    def excuse(self, seconds: float) -> None:
        """Do not count the `seconds` for which the server asks to be left alone, within bounds."""
        waited = self.turn.waited + max(seconds, 0.0)
        if not self.is_strict and waited <= TIMES_ITS_OWN * self.seconds:
            self.turn.waited = waited
