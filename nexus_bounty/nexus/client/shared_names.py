"""The names of a directory, listed once for all who look at it about the same time.

Where a server lists all names, however few are wanted, each sweep of the reconciler would list as
many, and each range, too. They share a listing: what was written a moment ago is left to the next
run anyway.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from typing import Final

from nexus_bounty.home import HomeLoop
from nexus_bounty.nexus.client import classification
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.files import Page, Paths
from nexus_bounty.nexus.client.pages import Ask

KEPT_FOR: Final = 60.0
"""How many seconds after it began a listing is let go of."""


class SharedNames:
    """The last listing of a directory, kept as long as somebody may want it."""

    def __init__(self) -> None:
        self._paths: Paths = []
        self._began: float | None = None
        self._listing = asyncio.Lock()
        self._home = HomeLoop()  # that of the client which lists

    async def page(self, ask: Ask, after: str, since: float) -> Page:
        """The paths after `after`, of a listing by `ask` that began `since` then.

        That is a time of the event loop's clock. Where it turns out that a listing comes in pages,
        nothing is shared.

        Raises:
            NexusError: They could not be listed; whoever asks next lists them anew.
        """
        if why := self._home.why_not():
            detail = f"this client {why}"
            raise NexusError(classification.OTHER_LOOP, method="list", path=after, detail=detail)
        async with self._listing:
            is_known = self._began is not None and self._began >= since
            if not is_known and not await self._list(ask):
                return await ask(after)
            paths = self._paths
        return Page(paths[bisect_right(paths, after) :], None)

    async def _list(self, ask: Ask) -> bool:
        """List the directory; whether that was all of it."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        page = await ask("")
        if page.goes_on_after is not None:
            return False
        self._paths, self._began = page.paths, began
        loop.call_at(began + KEPT_FOR, self._forget, began)
        return True

    def _forget(self, began: float) -> None:
        """Let go of the listing that began then, unless there is a later one."""
        if self._began == began:
            self._paths, self._began = [], None
