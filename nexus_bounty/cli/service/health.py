"""Says by HTTP whether a service is alive, `/healthz`, and whether it can work, `/readyz`.

Whoever serves HTTP anyhow asks `ServiceHealth.answer` on these two paths; whatever else runs for
long opens `health_served`. Both answer without knowing who asks, and tell nothing worth hiding.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

from nexus_bounty.operations import BountyOperations
from nexus_bounty.outcomes import PlainError

Answer = tuple[int, dict[str, Any]]
"""An HTTP status and a JSON document."""

ALIVE: Final = "/healthz"
READY: Final = "/readyz"
READY_SECONDS: Final = 5
LOOP_SECONDS: Final = READY_SECONDS + 2
"""How long the event loop may be deaf before it counts as dead."""


class ServiceHealth:
    """How a service is.

    Args:
        operations: What it works with: it can work while their server and ledger can be read.
        more: What else to tell of a service that is ready, such as how many runs have failed.
    """

    def __init__(
        self, operations: BountyOperations, more: Callable[[], Mapping[str, Any]] = dict
    ) -> None:
        self._services = operations.services
        self._more = more

    async def answer(self, path: str) -> Answer:
        """What to answer to a request for `path`; 404 for any other than the two."""
        if path == ALIVE:
            return 200, {"alive": True}
        if path != READY:
            return 404, {"paths": [ALIVE, READY]}
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._services.store.get_bounty("readyz")
                await self._services.credits.balance("readyz")
        except Exception as error:  # noqa: BLE001 - whatever it is, it cannot work now
            return 503, {"ready": False, "why": type(error).__name__}
        return 200, {"ready": True, **self._more()}


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

    def ask(path: str) -> Answer:
        asked = asyncio.run_coroutine_threadsafe(health.answer(path), loop)
        try:
            return asked.result(LOOP_SECONDS)
        except TimeoutError:
            asked.cancel()
            return 503, {"alive": False, "ready": False, "why": "the event loop is stuck"}

    try:
        server = _Server(at, partial(_Handler, ask))
    except OSError as error:
        where = f"{at[0]}:{at[1]}"
        raise PlainError(f"{where} cannot be listened on: {error.strerror}") from error
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


class _Server(ThreadingHTTPServer):
    def __init__(
        self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind, without the look at the name service that the base takes."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()


class _Handler(BaseHTTPRequestHandler):
    timeout = 5.0

    def __init__(self, ask: Callable[[str], Answer], *given: Any) -> None:
        self._ask = ask
        super().__init__(*given)  # which answers the request

    def do_GET(self) -> None:
        status, document = self._ask(self.path.partition("?")[0])
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name for it
        """Say nothing of each request: there is one every few seconds, for ever."""
