"""The mock as an ASGI app, with faults that really happen to the connection.

A server that puts its transport into the scope under `WIRE` (see `server.py`) lets the mock close
and abort connections. Elsewhere, as under `httpx.ASGITransport`, the mock raises what httpx would
raise on a socket.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import httpx

from nexus_bounty.mock.exchange import Delivery, Fate
from nexus_bounty.mock.wire import Answer

if TYPE_CHECKING:
    from nexus_bounty.mock.nexus import MockNexus

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

WIRE = "nexus_bounty.mock.wire"
"""The scope extension that holds the connection's asyncio transport."""

CONTROL_PREFIX = "/_mock"


async def serve(mock: MockNexus, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one scope: a request, or the lifespan of the server."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["path"].startswith(CONTROL_PREFIX):
        from nexus_bounty.mock.control import control_app

        await control_app(mock)(scope, receive, send)
    elif scope["type"] == "http":
        await _serve_http(mock, scope, receive, send)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _serve_http(mock: MockNexus, scope: Scope, receive: Receive, send: Send) -> None:
    body = await _read_body(receive)
    request = mock.receive(
        scope["method"],
        scope["path"],
        scope["query_string"].decode("ascii"),
        scope["headers"],
        body,
    )
    delivery = await mock.handle(request)
    if delivery.fate is Fate.ANSWERED and delivery.answer is not None:
        await _send_answer(send, delivery.answer, delivery.answer.body)
        return
    extension = (scope.get("extensions") or {}).get(WIRE)
    if extension is None:
        raise _as_exception(delivery.fate)
    await _break(extension["transport"], delivery, receive, send)


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _send_answer(send: Send, answer: Answer, body: bytes) -> None:
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    unfinished = len(body) < len(answer.body)
    await send({"type": "http.response.body", "body": body, "more_body": unfinished})


async def _break(wire: asyncio.Transport, delivery: Delivery, receive: Receive, send: Send) -> None:
    """Do to the connection what the fault says, and stay until the client is gone."""
    answer = delivery.answer
    if delivery.fate is Fate.TRUNCATED and answer is not None:
        await _send_answer(send, answer, answer.body[: len(answer.body) // 2])
    if delivery.fate is Fate.REFUSED:
        _reset(wire)
    elif delivery.fate is not Fate.SILENT:
        wire.close()
    while (await receive())["type"] != "http.disconnect":
        pass


def _reset(wire: asyncio.Transport) -> None:
    """Send a reset: the nearest thing to a refusal once a connection is accepted."""
    sock = wire.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.abort()


def _as_exception(fate: Fate) -> httpx.TransportError:
    match fate:
        case Fate.REFUSED:
            return httpx.ConnectError("All connection attempts failed")
        case Fate.SILENT:
            return httpx.ReadTimeout("The read operation timed out")
    return httpx.RemoteProtocolError("Server disconnected without sending a response.")
