"""Answers that drip or are too large, and files that nobody can understand."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Final

import httpx

from nexus_bounty.mock import MockNexus

MOST_BYTES: Final = 1_000_000
"""How large an answer may be that an actor takes."""
SECONDS_A_BYTE: Final = 20.0
_BOMB: Final = gzip.compress(b" " * (2 * MOST_BYTES))
_ZONE: Final = "/zones/default"

POISON: Final = {
    f"{_ZONE}/bounties/poison-1.json": b'{"bountyId":"poison-1","context":' + b"[" * 5000,
    f"{_ZONE}/bounties/poison-2.json": (
        b'{"bountyId":"poison-2","status":"open","deadline":"9999-12-31T23:59:59-14:00"}'
    ),
    f"{_ZONE}/indexes/bounties/status/open/poison-1": b"",
    f"{_ZONE}/indexes/bounties/status/draft/poison-2": b"",
    f"{_ZONE}/indexes/bounties/status/claimed/poison-%00": b"\xff",
    f"{_ZONE}/indexes/bounties/probe.json": b"[" * 5000,
}
"""What another program may leave in a zone, by path."""


class _Dripping(httpx.AsyncByteStream):
    """A body that comes byte by byte, each of them in time."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for byte in self._content:
            await asyncio.sleep(SECONDS_A_BYTE)
            yield bytes([byte])


class _Whole(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


async def dripping(answer: httpx.Response) -> httpx.Response:
    """The same answer, whose body takes longer than anybody waits."""
    return httpx.Response(answer.status_code, stream=_Dripping(await answer.aread()))


async def oversized(answer: httpx.Response) -> httpx.Response:
    """A small body that unpacks to more than anybody takes, in place of the answer's."""
    await answer.aread()
    headers = {"Content-Encoding": "gzip"}
    return httpx.Response(answer.status_code, headers=headers, stream=_Whole(_BOMB))


def poison(mock: MockNexus) -> None:
    """Have another program leave its files."""
    for path, content in POISON.items():
        mock.core.table.write(path, content)
