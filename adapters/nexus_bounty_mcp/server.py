"""The server: tools on a desk, reached on stdio or by HTTP."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import partial
from io import FileIO
from threading import Thread
from typing import Any, Final

from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import nexus_bounty
from nexus_bounty.cli.service.health import ALIVE, READY, ServiceHealth
from nexus_bounty_mcp.callers import TokenCallers
from nexus_bounty_mcp.desk import Desk
from nexus_bounty_mcp.grove import GroveTools
from nexus_bounty_mcp.tools import BountyTools

PATH: Final = "/mcp"
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
INSTRUCTIONS: Final = """\
Bounties pay credits for work. Whoever creates one puts its credits into escrow; one agent claims
it, does the work and delivers it; its creator settles it with the delivered contribution, which
pays the claimer.

Every call that changes something answers with an outcome and with what to do next:
- committed: it happened.
- did_not_happen: it did not, and can no longer happen. You may try again, or something else.
- happened_still_owed: it happened. Never undo it.
- unknown: it may have happened, or may yet. Repeat the very same call to find out, and do nothing
  else about it before that.
- other_operation: the idempotency key that you gave stands for something else.
Repeating a call with the same arguments is safe: it is the same operation, and is not done twice.
If a call gives no answer at all, repeat it.
"""


def make_server(
    desk: Desk, *, grove_names: bool = False, zone_id: str = "default", url: str | None = None
) -> MCPServer[Any]:
    """A server with the tools on `desk`.

    Args:
        desk: Where calls arrive; with `TokenCallers` it is for HTTP alone.
        grove_names: Offer Grove's tools as well.
        zone_id: The zone that they work on.
        url: Where an HTTP server is reached; told to clients that lack a token.
    """
    by_token = desk.callers if isinstance(desk.callers, TokenCallers) else None
    tools = BountyTools(desk).tools()
    if grove_names:
        tools += GroveTools(desk, zone_id).tools()
    server: MCPServer[Any] = MCPServer(
        "nexus-bounty",
        title="Bounties",
        instructions=INSTRUCTIONS,
        version=nexus_bounty.__version__,
        tools=tools,
        log_level="WARNING",
        token_verifier=by_token,
        auth=_auth(url) if by_token else None,
    )
    _add_health(server, desk)
    return server


def _add_health(server: MCPServer[Any], desk: Desk) -> None:
    """Say by HTTP whether it is alive, and whether it can work; nobody has to be known for that."""
    for path in (ALIVE, READY):
        server.custom_route(path, methods=["GET"])(partial(_answer, ServiceHealth(desk.operations)))


async def _answer(health: ServiceHealth, request: Request) -> Response:
    status, document = await health.answer(request.scope["path"])
    return JSONResponse(document, status)


def _auth(url: str | None) -> AuthSettings:
    # tokens are handed out by whoever runs the server: there is no other one that issues any
    return AuthSettings(issuer_url=AnyHttpUrl(url or "http://127.0.0.1"), resource_server_url=None)


def http_app(server: MCPServer[Any], host: str = "127.0.0.1", *names: str) -> Starlette:
    """The server as an ASGI app at `/mcp`.

    Args:
        server: Made for `TokenCallers`.
        host: Where it listens.
        names: By what other hosts and ports it is reached, such as `bounties.example.org:443`;
            requests to any other are refused, as DNS rebinding sends them.
    """
    security = None
    if host not in LOOPBACK or names:
        allowed = [*names, "127.0.0.1:*", "localhost:*", "[::1]:*"]
        security = TransportSecuritySettings(
            allowed_hosts=allowed, allowed_origins=[f"https://{name}" for name in names]
        )
    return server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        host=host,
        transport_security=security,
    )


async def serve_stdio(server: MCPServer[Any]) -> None:
    """Serve one client on stdio, until it closes or this is cancelled.

    Raises:
        OSError: There is no standard input or output.
    """
    if sys.__stdout__ is None or sys.__stdin__ is None:
        raise OSError("there is no standard input and output to talk on")
    with _ending_input(sys.__stdin__.fileno()) as end, redirect_stdout(sys.__stdout__):
        serving = asyncio.ensure_future(server.run_stdio_async())
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            end()
            await serving
            raise


@contextmanager
def _ending_input(source: int) -> Iterator[Callable[[], None]]:
    """Make `sys.stdin` a copy of `source` that can be ended, which it gives the means for.

    The SDK waits for a line in a thread, and does not end before there is one.
    """
    read_end, write_end = os.pipe()
    copy = os.fdopen(write_end, "wb", buffering=0)
    Thread(target=_copy, args=(source, copy), daemon=True).start()
    before = sys.stdin
    with os.fdopen(read_end, encoding="utf-8") as read:
        sys.stdin = read
        try:
            yield copy.close
        finally:
            copy.close()
            sys.stdin = before


def _copy(source: int, target: FileIO) -> None:
    with suppress(OSError, ValueError):  # ValueError: it is closed, and nobody reads it any more
        while read := os.read(source, 65_536):
            target.write(read)
    target.close()
