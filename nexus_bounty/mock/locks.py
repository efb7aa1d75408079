"""Advisory locks with a time to live, as 0.9 and 0.10 have them."""

from __future__ import annotations

import asyncio
import random
import uuid


class LockTable:
    """Exclusive locks by path.

    Args:
        rng: Makes the lock ids.
    """

    def __init__(self, rng: random.Random) -> None:
        self._random = rng
        self._held: dict[str, tuple[str, float]] = {}

    def acquire(self, path: str, ttl: float, lock_id: str | None) -> str | None:
        """Take a lock, or extend it when its id is given; None when another holds it."""
        now = asyncio.get_running_loop().time()
        holder = self._holder(path, now)
        if holder != lock_id:
            return None
        held = lock_id or str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        self._held[path] = (held, now + ttl)
        return held

    def release(self, path: str, lock_id: str | None, *, force: bool) -> bool:
        """Let a lock go; whether there was such a lock."""
        holder = self._holder(path, asyncio.get_running_loop().time())
        if holder is None or (holder != lock_id and not force):
            return False
        del self._held[path]
        return True

    def forget(self) -> None:
        """Let all locks go."""
        self._held.clear()

    def _holder(self, path: str, now: float) -> str | None:
        lock_id, expires = self._held.get(path, (None, 0.0))
        return lock_id if expires > now else None
