"""A mock on a port of its own, for programs that run beside the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nexus_bounty.mock import MockNexus, running


@contextmanager
def served(mock: MockNexus) -> Iterator[str]:
    """`mock` on a port of its own, in a thread of its own; gives its URL."""
    ready: threading.Event = threading.Event()
    stopped: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    urls: list[str] = []

    async def serve() -> None:
        async with running(mock) as url:
            urls.append(url)
            stopped.append((asyncio.get_running_loop(), asyncio.Event()))
            ready.set()
            await stopped[0][1].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield urls[0]
    finally:
        loop, event = stopped[0]
        loop.call_soon_threadsafe(event.set)
        thread.join()
