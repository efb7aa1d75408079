"""The names of a directory, listed once for all who look at ranges of it about the same time.

Where documents are known by their slots, which are in no order, a range of them costs as much to
list as all. Ranges that are gone through one after another then share one listing, if what was
written since is left to the next round anyway.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from datetime import timedelta

from nexus_bounty.nexus.client import Page, Paths
from nexus_bounty.nexus.client.pages import Ask


class SharedNames:
    """The last listing of a directory, kept as long as somebody may want it."""

    def __init__(self) -> None:
        self._paths: Paths = []
        self._began: float | None = None
        self._listing = asyncio.Lock()

    async def page(self, ask: Ask, after: str, age: timedelta) -> Page:
        """The paths after `after`, of a listing by `ask` that began no longer than `age` ago.

        Where it turns out that a listing comes in pages, nothing is shared.

        Raises:
            NexusError: They could not be listed; whoever asks next lists them anew.
        """
        async with self._listing:
            now = asyncio.get_running_loop().time()
            is_young = self._began is not None and now - self._began <= age.total_seconds()
            if not is_young and not await self._list(ask, now, age):
                return await ask(after)
            paths = self._paths
        return Page(paths[bisect_right(paths, after) :], None)

    async def _list(self, ask: Ask, now: float, age: timedelta) -> bool:
        """List the directory; whether that was all of it."""
        page = await ask("")
        if page.goes_on_after is not None:
            return False
        self._paths, self._began = page.paths, now
        asyncio.get_running_loop().call_later(age.total_seconds(), self._forget, now)
        return True

    def _forget(self, began: float) -> None:
        """Let go of the listing that began then: nobody wants one of that age any more."""
        if self._began == began:
            self._paths, self._began = [], None
