"""A process that lives a bounty's life and kills itself at one of its steps, as `kill -9` does.

A step is what lies before or after a request to the server or a change of the ledger.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from nexus_bounty import AgentIdentity, BountyOperations, NexusBountyStore, NexusClaimStore
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.models import Contribution
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty_sqlite import SqliteCredits
from tests.live.servers import LiveServer
from tests.support.transports import Bounded

CREATOR: Final = AgentIdentity(agent_id="creator")
WORKER: Final = AgentIdentity(agent_id="worker")
BOUNTY_ID: Final = "b-1"
CID: Final = "cid-1"
PRICE: Final = 100
MOVES_OR_RECORDS: Final = frozenset(
    {"reserve", "assign", "unassign", "capture", "void", "begin_operation", "end_operation"}
)
"""What a ledger is asked to change."""

Boundary = Callable[[], None]


def at_no_step() -> None:
    """Go on."""


class StepByStep(SqliteCredits):
    """A ledger that tells of the moments before and after each change."""

    boundary: Boundary = staticmethod(at_no_step)

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in MOVES_OR_RECORDS:
            return found

        async def step(*arguments: Any, **named: Any) -> Any:
            self.boundary()
            result = await found(*arguments, **named)
            self.boundary()
            return result

        return step


@dataclass(frozen=True)
class Place:
    """Where the life is lived: what outlives the process."""

    server: LiveServer
    zone: str
    ledger: Path

    @asynccontextmanager
    async def process(self, boundary: Boundary = at_no_step) -> AsyncIterator[BountyOperations]:
        """The operations of one process, with a client and a connection of its own."""
        transport = Bounded(httpx.AsyncHTTPTransport(), boundary)
        async with (
            self.server.client(transport=transport, zone_id=self.zone) as client,
            StepByStep(self.ledger) as credit,
        ):
            credit.boundary = boundary
            commit = self.server.commit(client)
            yield BountyOperations(
                NexusBountyStore(client, commit=commit),
                credits=credit,
                claims=NexusClaimStore(client, commit=commit),
                contributions=MemoryContributionStore([Contribution(cid=CID)]),
            )


async def live(operations: BountyOperations) -> None:
    """Create, claim and settle, under keys that another process knows, too."""
    bounty = make_bounty(bounty_id=BOUNTY_ID, creator=CREATOR, amount=PRICE)
    await operations.create(bounty, idempotency_key="create")
    await operations.claim(BOUNTY_ID, WORKER, idempotency_key="claim")
    await operations.settle(BOUNTY_ID, CID, idempotency_key="settle")


def live_until(place: Place, step: int) -> None:
    """Live in a process that is there for it, and die at that step."""
    reached = 0

    def boundary() -> None:
        nonlocal reached
        reached += 1
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(_live_until(place, boundary))


async def _live_until(place: Place, boundary: Boundary) -> None:
    async with place.process(boundary) as operations:
        await live(operations)
