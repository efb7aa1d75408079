"""Tells browsers that what they show has changed, so that they ask for it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

KEEP_ALIVE_SECONDS: Final = 15

BOUNTIES: Final = "bounties"
"""The topic of whoever shows any number of them, or counts them."""
WORK: Final = "work"
"""The topic of what runs in the background: dry runs, repairs, audits."""


def about(bounty_id: str) -> str:
    """The topic of one bounty."""
    return f"bounty:{bounty_id}"


class Changes:
    """Who listens to which topics."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Event, frozenset[str]] = {}

    @property
    def are_awaited(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def tell(self, topics: Iterable[str]) -> None:
        """Say that these have changed; whoever has not heard yet hears of it once."""
        told = set(topics)
        for event, wanted in self._listeners.items():
            if told & wanted:
                event.set()

    async def stream(self, wanted: frozenset[str], stopping: asyncio.Event) -> AsyncIterator[str]:
        """Server-sent events for one browser, until it has gone or the service is `stopping`."""
        event = asyncio.Event()
        self._listeners[event] = wanted
        try:
            yield "retry: 2000\n\n"
            while not stopping.is_set():
                await _any_of(event, stopping)
                news = event.is_set()
                event.clear()  # before it is told, so that what comes meanwhile is told, too
                # or a proxy on the way takes it for dead
                yield "event: changed\ndata:\n\n" if news else ": still here\n\n"
        finally:
            del self._listeners[event]


async def _any_of(*events: asyncio.Event) -> None:
    """Wait until one of them is set, but not for ever."""
    waiting = {asyncio.ensure_future(each.wait()) for each in events}
    try:
        await asyncio.wait(waiting, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
