"""Says by HTTP whether a service is alive, `/healthz`, and whether it can work, `/readyz`.

Whoever serves HTTP anyhow asks `ServiceHealth.answer` on these two paths; whatever else runs for
long opens `health_served`. Both answer without knowing who asks, and tell nothing worth hiding.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from nexus_bounty.operations import BountyOperations
from nexus_bounty.small_server import SmallServer

Answer = tuple[int, dict[str, Any]]
"""An HTTP status and a JSON document."""

ALIVE: Final = "/healthz"
READY: Final = "/readyz"
READY_SECONDS: Final = 5
LOOP_SECONDS: Final = READY_SECONDS + 2
"""How long the event loop may be deaf before it counts as dead."""
READY_LASTS: Final = 1.0
"""For how many seconds an answer is given again, however often somebody asks."""


class ServiceHealth:
    """How a service is.

    Args:
        operations: What it works with: it can work while their server and ledger can be read.
        more: What else to tell of a service that is ready, such as how many runs have failed.
        also: Reads what else it needs to work; whatever it raises says that it cannot.
    """

    def __init__(
        self,
        operations: BountyOperations,
        more: Callable[[], Mapping[str, Any]] = dict,
        also: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._services = operations.services
        self._more = more
        self._also = also
        self._asking = asyncio.Lock()
        self._known: tuple[float, str | None] | None = None

    async def answer(self, path: str) -> Answer:
        """What to answer to a request for `path`; 404 for any other than the two."""
        if path == ALIVE:
            return 200, {"alive": True}
        if path != READY:
            return 404, {"paths": [ALIVE, READY]}
        trouble = await self._trouble()
        if trouble is not None:
            return 503, {"ready": False, "why": trouble}
        return 200, {"ready": True, **self._more()}

    async def _trouble(self) -> str | None:
        """Why it cannot work, found out once for all who ask in the same moment."""
        async with self._asking:
            now = asyncio.get_running_loop().time
            if self._known is None or now() - self._known[0] >= READY_LASTS:
                self._known = now(), await self._found_out()
            return self._known[1]

    async def _found_out(self) -> str | None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._services.store.get_bounty("readyz")
                await self._services.credits.balance("readyz")
                if self._also is not None:
                    await self._also()
        except Exception as error:  # noqa: BLE001 - whatever it is, it cannot work now
            return type(error).__name__
        return None


@asynccontextmanager
async def health_served(at: tuple[str, int] | None, health: ServiceHealth) -> AsyncIterator[None]:
    """Answer at both paths for as long as it is open, if anywhere.

    A thread of its own does it, so that an event loop that is stuck is found: it answers 503 then.

    Args:
        at: Host and port.
        health: What to answer.

    Raises:
        PlainError: The address cannot be listened on.
    """
    if at is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def ask(path: str) -> tuple[int, str, bytes]:
        asked = asyncio.run_coroutine_threadsafe(health.answer(path), loop)
        try:
            status, said = asked.result(LOOP_SECONDS)
        except TimeoutError:
            asked.cancel()
            status, said = 503, {"alive": False, "ready": False, "why": "the event loop is stuck"}
        return status, "application/json", json.dumps(said).encode()

    server = SmallServer(*at, ask)
    try:
        yield
    finally:
        await asyncio.to_thread(server.close)
