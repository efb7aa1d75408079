"""An upper bound on how many requests leave in a second."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Turns(Protocol):
    """Says when each request may leave."""

    async def turn(self) -> None:
        """Wait for the next turn, after all who asked before."""
        ...


class Pace:
    """Lets one through at a time, evenly spaced, however many want to.

    Args:
        per_second: How many at most; `None` for any number.
    """

    def __init__(self, per_second: float | None) -> None:
        self._apart = 0.0 if per_second is None else 1 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next turn, after all who asked before."""
        if not self._apart:
            return
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next)
        self._next = mine + self._apart
        if mine > now:
            await asyncio.sleep(mine - now)
