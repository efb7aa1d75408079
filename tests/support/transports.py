"""Transports that die, are interrupted, take their time, lose answers or lie about them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import httpx

from nexus_bounty.mock import MockNexus

Action = Callable[[], Awaitable[object]]
Change = Callable[[dict[str, Any]], dict[str, Any]]


class Carrier(httpx.AsyncBaseTransport):
    """Carries requests over another transport, which it closes with itself."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


class Interrupted(Carrier):
    """Lets something happen just before the `at`-th request, or once that has been answered."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, at: int, action: Action, *, after: bool = False
    ) -> None:
        super().__init__(inner)
        self._at = at
        self._action = action
        self._after = after
        self.carried = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.carried += 1
        hit = self.carried == self._at
        if hit and not self._after:
            await self._action()
        response = await super().handle_async_request(request)
        if hit and self._after:
            await response.aread()
            await self._action()
        return response


class Mortal(Interrupted):
    """Carries requests until its client dies, which never hears of the `at`-th."""

    def __init__(self, inner: httpx.AsyncBaseTransport, at: int, *, after: bool) -> None:
        super().__init__(inner, at, self._die, after=after)
        self.died = asyncio.Event()

    async def _die(self) -> None:
        self.died.set()
        await asyncio.Event().wait()


def cancelling(inner: httpx.AsyncBaseTransport, at: int, *, after: bool) -> Interrupted:
    """Cancels the task that sends the `at`-th request, before it is sent or once it is applied."""

    async def cancel() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    return Interrupted(inner, at, cancel, after=after)


class Bounded(Carrier):
    """Tells of the moments before and after each request, at which a process may end."""

    def __init__(self, inner: httpx.AsyncBaseTransport, boundary: Callable[[], None]) -> None:
        super().__init__(inner)
        self._boundary = boundary

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._boundary()
        response = await super().handle_async_request(request)
        self._boundary()
        return response


class Slow(Carrier):
    """Carries each request after a time of its own, `most` seconds at most."""

    def __init__(self, inner: httpx.AsyncBaseTransport, random: Random, most: float) -> None:
        super().__init__(inner)
        self._random = random
        self._most = most

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self._random.uniform(0, self._most))
        return await super().handle_async_request(request)


class LosingAnswers(Carrier):
    """Loses the answer to chosen requests after the server has really applied them."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        super().__init__(inner)
        self._seen = 0
        self._lost: set[int] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._seen += 1
        response = await super().handle_async_request(request)
        if self._seen in self._lost:
            await response.aread()
            await response.aclose()
            raise httpx.ReadError("the connection was lost", request=request)
        return response

    def lose_next(self, *steps: int) -> None:
        """Lose the answers to the requests that are so many steps ahead."""
        self._lost = {self._seen + step for step in steps}


class Lying(Carrier):
    """Passes requests on, and changes the answers of one route.

    Args:
        mock: The server.
        route: The end of the path whose answers are changed.
        change: What is made of an answer's JSON; every one, in order.
    """

    def __init__(self, mock: MockNexus, route: str, change: Change) -> None:
        super().__init__(mock.transport())
        self._route = route
        self._change = change

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.inner.handle_async_request(request)
        if not request.url.path.endswith(self._route):
            return response
        document = json.loads(await response.aread())
        return httpx.Response(response.status_code, json=self._change(document))


class Saying(httpx.AsyncBaseTransport):
    """Answers every request the same, and remembers what was asked."""

    def __init__(self, status: int, document: Any) -> None:
        self._answer = (status, document)
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.raw_path.decode()}")
        status, document = self._answer
        return httpx.Response(status, json=document)
