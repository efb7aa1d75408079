"""How many calls a server answers in a minute, by method, before it says 429."""

from __future__ import annotations

import asyncio

from nexus_bounty.mock.wire import Answer, json_answer

MINUTE = 60


class RateLimit:
    """Counts calls by method, anew each minute.

    Args:
        most: How many are answered; None answers all.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._counts: dict[str, tuple[float, int]] = {}

    def refusal(self, method: str) -> Answer | None:
        """Count a call of `method`; the answer to it if it is one too many."""
        if self._most is None:
            return None
        now = asyncio.get_running_loop().time()
        began, count = self._counts.get(method, (now, 0))
        if now - began >= MINUTE:
            began, count = now, 0
        self._counts[method] = began, count + 1
        if count < self._most:
            return None
        said = {"error": "Rate limit exceeded", "detail": f"{self._most} per 1 minute"}
        return json_answer(429, said | {"retry_after": MINUTE})
