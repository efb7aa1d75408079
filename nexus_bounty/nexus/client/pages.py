"""Walking a directory of any size, holding one page of its paths."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable

from nexus_bounty.nexus.client import Page, Paths, classification
from nexus_bounty.nexus.client.errors import NexusError

Ask = Callable[[str], Awaitable[Page]]
"""Asks for the page after a path."""


async def chunks(
    ask: Ask,
    after: str,
    size: int,
    within: float,
    until: str | None = None,
    *,
    filled: bool = False,
) -> AsyncIterator[Paths]:
    """The paths after `after`, up to and including `until`, `size` at a time, in their order.

    Each page is asked for when the one before is used up, however long that takes; the server may
    take `within` seconds for all of them together. To be `filled`, what is less than `size` waits
    for the next page.

    Raises:
        NexusError: A page could not be read, or they took too long.
    """
    clock = asyncio.get_running_loop().time
    goes_on: str | None = after
    found: Paths = []
    while goes_on is not None:
        asked = clock()
        page = _cut(await ask(goes_on), until)
        within -= clock() - asked
        if within <= 0 and page.goes_on_after is not None:
            detail = "its pages took too long (NEXUS_LISTING_TIMEOUT)"
            raise NexusError(classification.OUT_OF_TIME, method="list", path=goes_on, detail=detail)
        found, goes_on = [*found, *page.paths], page.goes_on_after
        waiting = len(found) % size if filled and goes_on is not None else 0
        ready, found = found[: len(found) - waiting], found[len(found) - waiting :]
        for start in range(0, len(ready), size):
            yield ready[start : start + size]


def _cut(page: Page, until: str | None) -> Page:
    """What is on the page up to and including `until`; the last page if that is reached."""
    if until is None:
        return page
    ended = page.goes_on_after is None or page.goes_on_after >= until
    return Page(
        page.paths[: bisect_right(page.paths, until)], None if ended else page.goes_on_after
    )
