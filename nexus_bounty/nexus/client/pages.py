"""Walking a directory of any size, holding one page of its paths."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from nexus_bounty.nexus.client import Page, Paths

Ask = Callable[[str], Awaitable[Page]]
"""Asks for the page behind a path."""


async def chunks(ask: Ask, after: str, size: int) -> AsyncIterator[Paths]:
    """The paths behind `after`, `size` at a time, in their order.

    Each page is asked for when the one before is used up, however long that takes.
    """
    goes_on: str | None = after
    while goes_on is not None:
        page = await ask(goes_on)
        for start in range(0, len(page.paths), size):
            yield page.paths[start : start + size]
        goes_on = page.goes_on_after
