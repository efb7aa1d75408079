"""Serves an ASGI app until it is stopped; needs uvicorn, which the extras of web services bring."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any, Final

import uvicorn

from nexus_bounty.cli.service.stopping import Ending, Steps, until_stopped
from nexus_bounty.listening import listening

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

STREAMS_SECONDS: Final = 1
"""How long a stop waits for requests that only read, such as streams of news."""
BODY_SECONDS: Final = 10
"""How long a request may take to arrive, once it has begun to."""
MOST_BYTES: Final = 4_000_000
"""How large a request may be: more than any document that is stored."""
_READING: Final = ("GET", "HEAD", "OPTIONS")

Refusal = tuple[int, str, str]
"""An HTTP status, and what to say, for programs and for people."""
_STOPPING: Final = 503, "stopping", "the service is stopping"
_TOO_LARGE: Final = 413, "too_large", f"a request may have {MOST_BYTES:,} bytes"
_TOO_SLOW: Final = 408, "too_slow", f"a request may take {BODY_SECONDS} seconds to arrive"


async def serve_until_stopped(app: App, host: str, port: int, *, within: timedelta) -> Ending:
    """Serve `app`; what may change something and is under way when it is stopped is answered first.

    Such requests that come later are refused with 503, and have done nothing. A stream of news
    ends by itself when `request.state.stopping`, an `asyncio.Event`, is set.

    Args:
        app: An ASGI app, its lifespan included.
        host: Where to listen.
        port: Where to listen.
        within: How long requests that are under way may take when it is stopped.

    Raises:
        PlainError: The address cannot be listened on.
    """
    server = _Server(RequestSteps(app), listening(host, port))
    return await until_stopped(server.serve_to_the_end(), server.at_rest, within=within)


class RequestSteps:
    """ASGI middleware: a request that may change something is a step that a stop waits for.

    It is one once it has arrived as a whole: nobody keeps a service from stopping, or its memory
    busy, by sending half of one.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.steps = Steps()
        self.stopping = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["stopping"] = self.stopping
        if scope["method"] in _READING:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._arrived(receive)
        except _RefusedError as refused:
            await _refuse(refused.why, send)
            return
        if body is not None:  # somebody waits for the answer
            async with self.steps.step():
                await self._app(scope, _after(body, receive), send)

    async def _arrived(self, receive: Receive) -> bytes | None:
        """The body of a request; `None` if its client has gone.

        Raises:
            _RefusedError: It is too large, or takes too long, or the service is being stopped.
        """
        arriving = asyncio.ensure_future(_body(receive))
        stopped = asyncio.ensure_future(self.stopping.wait())
        both: set[asyncio.Future[Any]] = {arriving, stopped}
        try:
            await asyncio.wait(both, timeout=BODY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if self.stopping.is_set():
                raise _RefusedError(_STOPPING)
            if not arriving.done():
                raise _RefusedError(_TOO_SLOW)
            return arriving.result()
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)


class _RefusedError(Exception):
    """A request that gets no further."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why)
        self.why = why


async def _body(receive: Receive) -> bytes | None:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            raise _RefusedError(_TOO_LARGE)
        more = message.get("more_body", False)
    return bytes(body)


def _after(body: bytes, receive: Receive) -> Receive:
    """What is received of a request whose body has been received already."""
    first = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receiving() -> MutableMapping[str, Any]:
        return next(first, None) or await receive()

    return receiving


async def _refuse(why: Refusal, send: Send) -> None:
    status, error, because = why
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if why is _STOPPING:
        headers.append((b"retry-after", b"5"))
    said = json.dumps({"error": error, "message": f"Nothing was done: {because}."}).encode()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": said})


class _Server(uvicorn.Server):
    def __init__(self, app: RequestSteps, listening: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,  # it goes where all of the log goes
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=STREAMS_SECONDS,
        )
        super().__init__(config)
        self._requests = app
        self._listening = listening

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Leave signals to whoever serves."""
        return nullcontext()

    async def serve_to_the_end(self) -> None:
        """Serve; when it is cancelled, requests are cancelled and the app is told to close."""
        serving = asyncio.ensure_future(self.serve([self._listening]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self.should_exit = True
            await serving
            raise

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Refuse what comes now, and wait until what came before is answered."""
        self._requests.stopping.set()
        async with self._requests.steps.at_rest():
            self.handle_exit(signal.SIGTERM, None)  # which libraries of streams listen to
            yield
