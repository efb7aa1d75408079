"""The states that runs start from, each made once by the real operations and then copied."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

import msgspec
from pydantic import SecretStr

from nexus_bounty import ConditionalCommit, Contribution
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.memory.credits import MemoryBook
from nexus_bounty.mock import MockNexus
from nexus_bounty.mock.core import CoreState
from nexus_bounty.operations import BountyOperations
from nexus_bounty.operations.drafts import Try
from nexus_bounty.operations.escrow import record_payee, terms_of
from nexus_bounty.testing.virtual_time import EPOCH, VirtualTimeLoop, wall_clock
from tests.simulation.scenario import ATOMIC, SERVERS
from tests.support.racing import by_rename_on
from tests.support.world import ALICE, BOB, BOUNTY_ID, CID, Strategy, World, a_bounty

OTHER_CID: Final = "cid-2"
SOON: Final = timedelta(hours=1)
POOR_CID: Final = "cid-poor"
"""A contribution that does not fulfil the bounty."""
CONTRIBUTIONS: Final = (
    Contribution(cid=CID, tags=["sorted"], scores={"speed": 2.0}),
    Contribution(cid=OTHER_CID, tags=["sorted"], scores={"speed": 2.0}),
    Contribution(cid=POOR_CID, tags=["sorted"], scores={"speed": 0.5}),
)

Step = Callable[[BountyOperations], Awaitable[object]]


async def _create(operations: BountyOperations) -> None:
    await operations.create(a_bounty(), idempotency_key="past-create")


async def _create_short(operations: BountyOperations) -> None:
    await operations.create(a_bounty(EPOCH + SOON), idempotency_key="past-create")


async def _claim(operations: BountyOperations) -> None:
    await operations.claim(BOUNTY_ID, BOB, idempotency_key="past-claim")


async def _draft(operations: BountyOperations) -> None:
    """What a create leaves that died once its credits were held."""
    services = operations.services
    draft = msgspec.structs.replace(
        Try("past-create", BOUNTY_ID).draft_of(a_bounty()),
        ledger_id=await services.credits.identity(),
    )
    await services.store.create_bounty(draft, idempotency_key="past-create:draft")
    await services.credits.reserve(
        draft.reservation_id or "",
        account=ALICE.agent_id,
        amount=draft.amount,
        reference=terms_of(services, draft).reference,
    )


async def _pivot(operations: BountyOperations) -> None:
    """What a settle leaves that died right after the pivot."""
    bounty = await operations.services.store.get_bounty(BOUNTY_ID)
    assert bounty is not None
    await record_payee(operations.services, bounty, CID, "past-settle:begin")
    await operations.services.store.begin_settlement(
        BOUNTY_ID, CID, idempotency_key="past-settle:begin"
    )


_STEPS: Final[dict[str, tuple[Step, ...]]] = {
    "nothing": (),
    "draft": (_draft,),
    "open": (_create,),
    "claimed": (_create, _claim),
    "claimed for long": (_create, _claim),
    "pending": (_create, _claim, _pivot),
    "overdue": (_create_short,),
    "overdue claimed": (_create_short, _claim),
}


@dataclass(frozen=True)
class Start:
    """A state of the world, and the time it is there."""

    files: CoreState
    ledger: MemoryBook
    at: float


@cache
def start(name: str, server: str, etag: str, signing_keys: tuple[SecretStr, ...] = ()) -> Start:
    """The state called `name`, on a server of one kind."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(_made(name, server, etag, signing_keys))
    finally:
        loop.close()


async def _made(name: str, server: str, etag: str, signing_keys: tuple[SecretStr, ...]) -> Start:
    world = World(strategy=STRATEGIES[server], signing_keys=signing_keys)
    world.mock = a_server(server, etag)
    await world.found()
    async with world.process(seed=7) as process:
        for step in _STEPS[name]:
            await step(process.operations)
    if name.startswith("overdue"):
        await asyncio.sleep(2 * SOON.total_seconds())
    if name == "claimed for long":
        await asyncio.sleep(SOON.total_seconds() / 4)
    return Start(
        files=world.mock.snapshot(),
        ledger=MemoryBook(world.ledger._book),
        at=asyncio.get_running_loop().time(),
    )


STRATEGIES: Final[dict[str, Strategy]] = {
    name: ConditionalCommit if name == ATOMIC else by_rename_on(name) for name in SERVERS
}
"""How documents are committed on each server: by preconditions where they are atomic."""


def a_server(name: str, etag: Any) -> MockNexus:
    """A server that answers as that release does, but for the etags of one."""
    return MockNexus(name, etag=etag if name == ATOMIC else None, clock=wall_clock)


def a_world(begin: Start, mock: MockNexus) -> World:
    """A world in a start's state, with `mock` as its server."""
    world = World.__new__(World)
    world.mock = mock
    mock.restore(begin.files)
    world.ledger = MemoryCredits(clock=wall_clock, identity="ledger")
    world.ledger._book = MemoryBook(begin.ledger)
    world.contributions = MemoryContributionStore(CONTRIBUTIONS)
    return world
