"""Serving a mock over real sockets with uvicorn, faults included."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from nexus_bounty.mock.asgi import WIRE
from nexus_bounty.mock.nexus import MockNexus, utc_now
from nexus_bounty.mock.plan import FaultPlan
from nexus_bounty.outcomes import PlainError

if TYPE_CHECKING:
    import uvicorn

_GRACE_SECONDS = 1
"""How long requests that are never to be answered may hold up a shutdown."""

SERVED_LOG_LIMIT = 100_000
SERVED_RACE_WINDOW = 0.002


class ServerExtraMissingError(PlainError, ImportError):
    """uvicorn is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "serving MockNexus needs uvicorn: install it with `pip install 'nexus-bounty[mock]'`"
        )


def _server(mock: MockNexus, host: str, port: int, log_level: str) -> uvicorn.Server:
    try:
        import uvicorn
    except ImportError as exc:
        raise ServerExtraMissingError from exc
    config = uvicorn.Config(
        mock,
        host=host,
        port=port,
        http=_protocol(),
        lifespan="off",
        access_log=False,
        log_level=log_level,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        server_header=False,
        date_header=False,
    )
    return uvicorn.Server(config)


def _protocol() -> type[asyncio.Protocol]:
    """Uvicorn's HTTP protocol, with the connection's transport added to the scope."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Base
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol

        return H11Protocol  # without the extension, a lost connection shows as HTTP 500

    class WireProtocol(Base):
        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.scope["extensions"] = {WIRE: {"transport": self.transport}}

    return WireProtocol


async def serve(
    mock: MockNexus, host: str = "127.0.0.1", port: int = 2026, *, log_level: str = "info"
) -> None:
    """Serve a mock until interrupted.

    Raises:
        ServerExtraMissingError: uvicorn is not installed.
    """
    await _server(mock, host, port, log_level).serve()


@asynccontextmanager
async def running(mock: MockNexus, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve a mock in this process on a free port; gives the base URL.

    Raises:
        ServerExtraMissingError: uvicorn is not installed.
    """
    server = _server(mock, host, 0, "critical")
    with _listener(host) as listener:
        task = asyncio.ensure_future(_serve_on(server, listener))
        try:
            while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.001)
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def _listener(host: str) -> socket.socket:
    # With the protocol named, asyncio turns Nagle's algorithm off; it costs 40 ms a request.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((host, 0))
    listener.listen(1024)
    return listener


async def _serve_on(server: Any, listener: socket.socket) -> None:
    # Not `serve`, which would take over the signal handlers of the surrounding process.
    await server._serve([listener])  # noqa: SLF001


def run_server(
    port: int = 2026,
    personality: str = "0.10",
    seed: int = 0,
    fault_rate: float = 0.0,
    api_key: str | None = None,
    *,
    host: str = "127.0.0.1",
    atomic: bool | None = None,
    log_level: str = "info",
) -> None:
    """Serve a new mock until interrupted; what the command line calls.

    Args:
        port: TCP port to listen on.
        personality: The release to imitate.
        seed: Seeds everything random, the faults included.
        fault_rate: Share of requests that fail in some way, 0 to 1.
        api_key: The key that requests must carry; None runs open.
        host: Address to listen on.
        atomic: As for `MockNexus`.
        log_level: What uvicorn logs.

    Raises:
        ValueError: No such personality, or a rate outside 0 to 1.
        ServerExtraMissingError: uvicorn is not installed.
    """
    if not 0 <= fault_rate <= 1:
        raise ValueError(f"fault rate must be between 0 and 1, not {fault_rate}")
    mock = MockNexus(
        personality,
        seed=seed,
        atomic=atomic,
        api_key=api_key,
        faults=FaultPlan.seeded(seed, fault_rate),
        race_window=SERVED_RACE_WINDOW,
        log_limit=SERVED_LOG_LIMIT,
        date=utc_now,
    )
    _server(mock, host, port, log_level).run()
