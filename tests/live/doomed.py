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
from tests.support.transports import Interrupted


async def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def claim(url: str, zone: str, at: int, *, after: bool) -> None:
    """Claim, as far as this gets; the end is 0 if it lived."""
    transport = Interrupted(httpx.AsyncHTTPTransport(), at, _die, after=after)
    async with NexusClient(url, api_key="sk-test", transport=transport) as client:
        store = NexusBountyStore(client, zone)
        await store.claim_bounty("b-1", AgentIdentity(agent_id="worker"), "c")


if __name__ == "__main__":
    asyncio.run(claim(sys.argv[1], sys.argv[2], int(sys.argv[3]), after=sys.argv[4] == "after"))
