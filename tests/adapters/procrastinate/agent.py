"""An agent on a host of its own: claims and settles what it can, and says how each call ended.

It repeats what is unknown with the same key until it is definite, as an agent should.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any

from nexus_bounty import (
    AgentIdentity,
    BountyOperations,
    Contribution,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
    PostCommitError,
    PreCommitError,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty_postgres import PostgresCredits

SOON = timedelta(seconds=2)
AGAIN = 0.3


async def ended(call: Callable[[], Awaitable[object]]) -> str:
    """How a call ended once that is definite."""
    while True:
        try:
            await call()
        except PreCommitError:
            return "refused"
        except PostCommitError:
            return "done"
        except Exception:  # noqa: BLE001 - unknown, or the ledger cannot be read: ask again
            await asyncio.sleep(AGAIN)
        else:
            return "done"


async def work(agent_id: str, server: str, ledger: str, zone: str, bounties: list[str]) -> None:
    """Try to win each bounty, in an order of its own."""
    agent = AgentIdentity(agent_id=agent_id)
    settings = NexusSettings(
        url=server, request_timeout=1.0, operation_timeout=3.0, connect_timeout=1.0
    )
    works = [
        Contribution(cid=f"{each}-by-{agent_id}", agent=agent, tags=[], scores={})
        for each in bounties
    ]
    within: dict[str, Any] = {"wait": SOON, "answer_within": SOON, "resolve_within": SOON}
    async with (
        NexusClient(settings=settings) as client,
        PostgresCredits(ledger, **within) as credit,
    ):
        operations = BountyOperations(
            NexusBountyStore(client, zone, commit="conditional"),
            credits=credit,
            claims=NexusClaimStore(client, zone, commit="conditional"),
            contributions=MemoryContributionStore(works),
        )
        Random(agent_id).shuffle(bounties)
        for bounty_id in bounties:
            key = f"{agent_id}-{bounty_id}"

            async def claim(bounty_id: str = bounty_id, key: str = key) -> object:
                return await operations.claim(bounty_id, agent, idempotency_key=f"{key}-claim")

            async def settle(bounty_id: str = bounty_id, key: str = key) -> object:
                cid = f"{bounty_id}-by-{agent_id}"
                return await operations.settle(bounty_id, cid, idempotency_key=f"{key}-settle")

            claimed = await ended(claim)
            settled = await ended(settle) if claimed == "done" else "refused"
            sys.stdout.write(json.dumps([bounty_id, claimed, settled]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    me, there, money, where, wanted = sys.argv[1:]
    asyncio.run(work(me, there, money, where, json.loads(wanted)))
