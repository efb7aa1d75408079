"""The server: tools on a desk, reached on stdio or by HTTP."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import redirect_stdout
from functools import partial
from types import FrameType
from typing import Any, Final

import uvicorn
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import nexus_bounty
from nexus_bounty_mcp.callers import TokenCallers
from nexus_bounty_mcp.desk import Desk
from nexus_bounty_mcp.grove import GroveTools
from nexus_bounty_mcp.tools import BountyTools

PATH: Final = "/mcp"
GRACE_SECONDS: Final = 10
READY_SECONDS: Final = 5
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
    server: MCPServer[Any] = MCPServer(
        "nexus-bounty",
        title="Bounties",
        instructions=INSTRUCTIONS,
        version=nexus_bounty.__version__,
        log_level="WARNING",
        token_verifier=by_token,
        auth=_auth(url) if by_token else None,
    )
    BountyTools(desk).add_to(server)
    _add_health(server, desk)
    if grove_names:
        GroveTools(desk, zone_id).add_to(server)
    return server


def _add_health(server: MCPServer[Any], desk: Desk) -> None:
    """Say by HTTP whether it is alive, and whether it can work; nobody has to be known for that."""
    server.custom_route("/healthz", methods=["GET"])(_healthz)
    server.custom_route("/readyz", methods=["GET"])(partial(_readyz, desk))


async def _healthz(_request: Request) -> Response:
    return JSONResponse({"alive": True})


async def _readyz(desk: Desk, _request: Request) -> Response:
    services = desk.operations.services
    try:
        async with asyncio.timeout(READY_SECONDS):
            await services.store.get_bounty("readyz")
            await services.credits.balance("readyz")
    except Exception as error:  # noqa: BLE001 - whatever it is, it cannot work now
        return JSONResponse({"ready": False, "why": type(error).__name__}, 503)
    return JSONResponse({"ready": True})


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
    """Serve one client on stdio, until it closes.

    Raises:
        OSError: There is no standard output.
    """
    if sys.__stdout__ is None:
        raise OSError("there is no standard output to answer on")
    with redirect_stdout(sys.__stdout__):  # whatever a program has put in its place
        await server.run_stdio_async()


async def serve_http(app: Starlette, host: str, port: int) -> None:
    """Serve HTTP until SIGTERM or SIGINT; what is under way is given time to finish first."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    before = {number: signal.signal(number, _ended_by) for number in _ENDING}
    try:
        await uvicorn.Server(config).serve()  # raises again what ended it, once it has ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


def _ended_by(_number: int, _frame: FrameType | None) -> None:
    """Whoever serves closes what it has opened, and ends by itself."""
