"""A bounded number of places, for which operations queue in the order in which they came."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count


class PriorityLimiter:
    """Lets at most `places` through at once.

    The operation with the lowest number goes first, not the one that asked first: one that is
    under way does not queue anew, after all who came later, for each of its requests.
    """

    def __init__(self, places: int) -> None:
        self._free = places  # only while nobody waits
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    def enter_at_once(self) -> bool:
        """Take a place if one is free."""
        if self._free:
            self._free -= 1
            return True
        return False

    async def enter(self, number: int) -> None:
        """Take a place as soon as there is one for the operation of that `number`."""
        if self.enter_at_once():
            return
        place = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (number, next(self._arrivals), place))
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # it had just been given
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to the next in the queue."""
        while self._waiting:
            _, _, place = heappop(self._waiting)
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
