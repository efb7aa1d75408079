"""Locks by name, each there for as long as somebody holds it or waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from weakref import WeakValueDictionary


class KeyedLocks:
    """Lets whatever is done under the same key wait for each other, in the order of asking.

    In one event loop at a time, see `nexus_bounty.home`: whoever asks in another has seen that the
    one before is gone, and what was still held there with it.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def of(self, key: Hashable) -> asyncio.Lock:
        """The lock of `key`."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._locks = loop, WeakValueDictionary()
        return self._locks.setdefault(key, asyncio.Lock())
