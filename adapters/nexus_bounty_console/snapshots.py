"""What was read of something, kept for a while and shared by all who look at it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from nexus_bounty.models import utc_now

T = TypeVar("T")

PATIENCE: Final = timedelta(seconds=2)
"""How long a page waits for what is newer than what it could show at once."""


class SharedReading(Generic[T]):
    """Reads once for all who ask meanwhile, and shows what was read last if it cannot read.

    Args:
        read: Reads it, given what was read last.
        lasts: For how long nobody reads again.
        patience: How long to wait for what is newer.
        clock: The current time, aware.

    Attributes:
        at: When what is shown was read; `None` before the first time.
        trouble: Why it could not be read again, if the last attempt failed.
    """

    def __init__(
        self,
        read: Callable[[T | None], Awaitable[T]],
        *,
        lasts: timedelta,
        patience: timedelta = PATIENCE,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._read = read
        self._lasts = lasts
        self._patience = patience.total_seconds()
        self._clock = clock
        self._value: T | None = None
        self._tried: datetime | None = None
        self._reading: asyncio.Task[T] | None = None
        self.at: datetime | None = None
        self.trouble: Exception | None = None

    @property
    def known(self) -> T | None:
        """What was read last, without another look; `None` before the first time."""
        return self._value

    async def current(self) -> T:
        """What was read last; read again first if it is old and that does not take long.

        Raises:
            Exception: It has never been read, and cannot be.
        """
        value = self._value
        if value is None:
            return await asyncio.shield(self._begin())
        if self._is_old():
            await asyncio.wait({self._begin()}, timeout=self._patience)
        return value if self._value is None else self._value

    async def refresh(self) -> T:
        """What is read from now on, whatever was read before.

        Raises:
            Exception: It could not be read.
        """
        while self._reading is not None:  # it may have missed what has just happened
            await asyncio.wait({self._reading})
        return await asyncio.shield(self._begin())

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._reading

    def _is_old(self) -> bool:
        return self._tried is None or self._clock() - self._tried >= self._lasts

    def _begin(self) -> asyncio.Task[T]:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read_now())
            self._reading.add_done_callback(self._ended)
        return self._reading

    async def _read_now(self) -> T:
        began = self._clock()
        value = await self._read(self._value)
        self._value, self.at = value, began
        return value

    def _ended(self, reading: asyncio.Task[T]) -> None:
        self._reading, self._tried = None, self._clock()
        if not reading.cancelled():
            error = reading.exception()
            self.trouble = error if isinstance(error, Exception) else None
