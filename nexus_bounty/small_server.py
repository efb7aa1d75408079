"""Answers by HTTP in a thread of its own: to probes, and to whoever collects metrics.

For answers that are small and given to anybody: nobody who takes long to ask, asks often, or holds
many connections keeps it from answering others, or writes into the log.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import monotonic
from typing import Any, Final

from nexus_bounty.events.log import logger_of
from nexus_bounty.listening import listening

logger = logger_of(__name__)

CONNECTION_SECONDS: Final = 10
"""How long a connection may take in all."""
MOST_CONNECTIONS: Final = 64
"""How many there may be at once: the oldest makes room for a new one."""

Answer = tuple[int, str, bytes]
"""An HTTP status, the type of the content, and the content."""


class SmallServer:
    """Answers GET and HEAD from when it is made until it is closed.

    Args:
        host: Where to listen.
        port: Where to listen.
        answer: What to answer to a request for a path; called in any thread.

    Raises:
        PlainError: It cannot be listened on.
    """

    def __init__(self, host: str, port: int, answer: Callable[[str], Answer]) -> None:
        self._server = _Server(listening(host, port), partial(_Handler, answer))
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Answer nothing any more; blocks for a moment."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def __init__(
        self, listens: socket.socket, handler: Callable[..., BaseHTTPRequestHandler]
    ) -> None:
        self._open: dict[socket.socket, float] = {}
        super().__init__(listens.getsockname(), handler, bind_and_activate=False)
        self.socket.close()  # the base makes one of its own, and looks its name up
        self.socket = listens

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the base's
        """Take every connection, and let go of the oldest if there are too many."""
        self._open[request] = monotonic()
        for oldest in [*self._open][:-MOST_CONNECTIONS]:
            self._let_go(oldest)
        return True

    def service_actions(self) -> None:
        """Let go of those that take too long."""
        since = monotonic() - CONNECTION_SECONDS
        for request in [each for each, began in [*self._open.items()] if began < since]:
            self._let_go(request)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that is through."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's
        """Log what went wrong, unless it is that whoever asked has gone."""
        error = sys.exception()
        if not isinstance(error, OSError):
            logger.error("a request could not be answered", exc_info=error)

    def _let_go(self, request: socket.socket) -> None:
        self._open.pop(request, None)
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)  # which ends the thread that reads it


class _Handler(BaseHTTPRequestHandler):
    timeout = 5.0
    server_version, sys_version = "nexus-bounty", ""

    def __init__(self, answer: Callable[[str], Answer], *given: Any) -> None:
        self._answer = answer
        super().__init__(*given)  # which answers the request

    def do_GET(self) -> None:
        self.wfile.write(self._begin())

    def do_HEAD(self) -> None:
        self._begin()

    def _begin(self) -> bytes:
        """Send all but the content, which is returned."""
        status, kind, content = self._answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name for it
        """Say nothing of each request: there is one every few seconds, for ever."""
