"""Transports that change what a mock hears or says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from nexus_bounty.mock import MockNexus

Change = Callable[[dict[str, Any]], dict[str, Any]]


class Lying(httpx.AsyncBaseTransport):
    """Passes requests on, and changes the answers of one route.

    Args:
        mock: The server.
        route: The end of the path whose answers are changed.
        change: What is made of an answer's JSON; every one, in order.
    """

    def __init__(self, mock: MockNexus, route: str, change: Change) -> None:
        self._inner = mock.transport()
        self._route = route
        self._change = change

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
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
