"""Clients with quick settings, and transports that answer what a test tells them to."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import httpx

from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.settings import NexusSettings

URL = "http://nexus.test"


class LongestPause(Random):
    """Jitter at its upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


def quick(**given: Any) -> NexusSettings:
    """Settings that give up soon and never wait long."""
    return NexusSettings(
        **{"retry_attempts": 3, "retry_base": 0.001, "operation_timeout": 20.0, **given}
    )


def client_of(
    mock: MockNexus, *, random: Random | None = None, api_key: str | None = None, **given: Any
) -> NexusClient:
    return NexusClient(
        URL, settings=quick(**given), transport=mock.transport(), random=random, api_key=api_key
    )


_ID = re.compile(rb'"id":\d+')


def answer_to(request: bytes, body: bytes) -> bytes:
    """`body`, repeating the id of `request` if it holds a result, as every release does."""
    asked = _ID.search(request)
    if asked is None or not body.startswith((b'{"jsonrpc"', b'{"result"')):
        return body
    named = _ID.sub(asked.group(), body, count=1)
    return named if _ID.search(body) else body.replace(b"{", b"{" + asked.group() + b",", 1)


def answering(*answers: httpx.Response | Exception) -> httpx.MockTransport:
    """A transport that gives these answers in turn, and the last one for ever."""
    left = list(answers)

    async def answer(request: httpx.Request) -> httpx.Response:
        given = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(given, Exception):
            raise given
        content = answer_to(request.content, given.content)
        return httpx.Response(given.status_code, headers=given.headers, content=content)

    return httpx.MockTransport(answer)


def hearing(body: bytes | str, status: int = 200, **given: Any) -> NexusClient:
    """A client that gets the same answer to everything, once."""
    reply = httpx.Response(status, content=body)
    return NexusClient(
        URL, settings=quick(**{"retry_attempts": 1, **given}), transport=answering(reply)
    )


def result_for(request: httpx.Request, result: Any) -> httpx.Response:
    """The answer to `request`, as every release gives it."""
    number = json.loads(request.content)["id"]
    return httpx.Response(200, json={"jsonrpc": "2.0", "id": number, "result": result})
