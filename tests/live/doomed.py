"""A client that claims a bounty and kills itself at one of its requests, as `kill -9` does.

python -m tests.live.doomed URL ZONE 3 after
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import httpx

from nexus_bounty import AgentIdentity, NexusBountyStore, NexusClient


class Doomed(httpx.AsyncHTTPTransport):
    """Kills this process before its `at`-th request, or after that was answered."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__()
        self._left = at
        self._after = after

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._left -= 1
        if not self._left and not self._after:
            _die()
        response = await super().handle_async_request(request)
        await response.aread()
        if not self._left:
            _die()
        return response


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def claim(url: str, zone: str, at: int, *, after: bool) -> None:
    """Claim, as far as this gets; the end is 0 if it lived."""
    transport = Doomed(at, after=after)
    async with NexusClient(url, api_key="sk-test", transport=transport) as client:
        store = NexusBountyStore(client, zone)
        await store.claim_bounty("b-1", AgentIdentity(agent_id="worker"), "c")


if __name__ == "__main__":
    asyncio.run(claim(sys.argv[1], sys.argv[2], int(sys.argv[3]), after=sys.argv[4] == "after"))
