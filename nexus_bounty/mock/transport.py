"""The in-process transport: httpx straight into a mock, with the exceptions that faults cause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Literal

import httpx

from nexus_bounty.mock.exchange import Delivery, Fate
from nexus_bounty.mock.wire import Answer

if TYPE_CHECKING:
    from nexus_bounty.mock.nexus import MockNexus
    from nexus_bounty.mock.oracle import ReceivedRequest

Pause = Callable[[Literal["request", "response"]], Awaitable[None]]


async def one_tick(_stage: str) -> None:
    """Let every other task run once, as a network would."""
    await asyncio.sleep(0)


class MockTransport(httpx.AsyncBaseTransport):
    """Carries requests to a mock in the same process.

    Args:
        mock: The server.
        pause: What a request waits for on its way there and back.
        silence: Seconds after which a request that is never answered times out; None is when
            the client has had enough.
    """

    def __init__(
        self, mock: MockNexus, pause: Pause = one_tick, silence: float | None = None
    ) -> None:
        self._mock = mock
        self._pause = pause
        self._silence = silence

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request there and its answer back.

        Raises:
            httpx.TransportError: What httpx raises when the same happens on a socket.
        """
        body = await request.aread()
        await self._pause("request")
        received = self._receive(request, body)
        delivery = await self._deliver(request, received)
        await self._pause("response")
        return await _heard(request, delivery, self._silence)

    def _receive(self, request: httpx.Request, body: bytes) -> ReceivedRequest:
        target, _, query = request.url.raw_path.partition(b"?")
        path = request.url.path if b"%" in target else target.decode("ascii")
        headers = request.headers.raw
        return self._mock.receive(request.method, path, query.decode("ascii"), headers, body)

    async def _deliver(self, request: httpx.Request, received: ReceivedRequest) -> Delivery:
        if not self._mock.may_wait(received):
            return await self._mock.handle(received)
        try:
            async with asyncio.timeout(_read_timeout(request)):
                return await self._mock.handle(received)
        except TimeoutError as exc:
            raise _never_answered(request) from exc


async def _heard(
    request: httpx.Request, delivery: Delivery, silence: float | None
) -> httpx.Response:
    answer = delivery.answer
    match delivery.fate:
        case Fate.REFUSED:
            raise httpx.ConnectError("All connection attempts failed", request=request)
        case Fate.SILENT:
            # Without a limit a client would wait for ever; nobody wants that of a test.
            await asyncio.sleep((_read_timeout(request) or 0.0) if silence is None else silence)
            raise _never_answered(request)
        case Fate.ANSWERED | Fate.TRUNCATED if answer is not None:
            return _response(request, answer, truncated=delivery.fate is Fate.TRUNCATED)
    raise httpx.RemoteProtocolError(
        "Server disconnected without sending a response.", request=request
    )


def _response(request: httpx.Request, answer: Answer, *, truncated: bool) -> httpx.Response:
    headers = [
        (b"content-length", b"%d" % len(answer.body)),
        (b"content-type", answer.content_type),
        *answer.headers,
    ]
    # a stream is read by who wants to; httpx reads and decodes given content at once
    whole = httpx.ByteStream(answer.body)
    stream = _BrokenStream(request, answer.body) if truncated else whole
    return httpx.Response(answer.status, headers=headers, stream=stream, request=request)


class _BrokenStream(httpx.AsyncByteStream):
    """A response body that ends in the middle."""

    def __init__(self, request: httpx.Request, body: bytes) -> None:
        self._request = request
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body[: len(self._body) // 2]
        raise httpx.RemoteProtocolError(
            "peer closed connection without sending complete message body", request=self._request
        )


def _read_timeout(request: httpx.Request) -> float | None:
    timeouts = request.extensions.get("timeout") or {}
    limit = timeouts.get("read")
    return None if limit is None else float(limit)


def _never_answered(request: httpx.Request) -> httpx.ReadTimeout:
    return httpx.ReadTimeout("The read operation timed out", request=request)
