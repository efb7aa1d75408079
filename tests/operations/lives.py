"""What brings a bounty to where a test begins, and what is made of how an operation ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from nexus_bounty import AgentIdentity, OutcomeError
from nexus_bounty.operations import BountyOperations
from nexus_bounty.operations.escrow import record_payee
from nexus_bounty.operations.services import known_bounty
from nexus_bounty.testing.virtual_time import EPOCH
from tests.operations.operation_trials import CASES, Case
from tests.support.world import BOB, BOUNTY_ID, CID, World, a_bounty, document

KEY = "the-key"
DOCUMENT = f"/zones/default/bounties/{BOUNTY_ID}.json"
SHORT = timedelta(minutes=1)
Act = Callable[[BountyOperations], Awaitable[Any]]


async def posted(operations: BountyOperations, deadline: timedelta | None = None) -> Any:
    """Alice has posted it; `deadline` from the beginning."""
    bounty = a_bounty(EPOCH + deadline if deadline else None)
    return await operations.create(bounty, idempotency_key="create")


async def claimed(operations: BountyOperations, deadline: timedelta | None = None) -> Any:
    """Bob has claimed it, too."""
    await posted(operations, deadline)
    return await operations.claim(BOUNTY_ID, BOB, idempotency_key="claim")


async def begun(operations: BountyOperations) -> None:
    """Then a settle with the key "first" has died right after its pivot."""
    services, key = operations.services, "first:begin"
    await record_payee(services, await known_bounty(services, BOUNTY_ID), CID, key)
    await services.store.begin_settlement(BOUNTY_ID, CID, idempotency_key=key)


async def paid(world: World, agent: AgentIdentity = BOB) -> int:
    """What a worker has got."""
    return (await world.ledger.balance(agent.agent_id)).available


async def settled(operations: BountyOperations) -> Any:
    """And it was settled."""
    await claimed(operations)
    return await operations.settle(BOUNTY_ID, CID, idempotency_key="settle")


async def refusal(act: Awaitable[object]) -> OutcomeError:
    """The error that `act` ends in."""
    with pytest.raises(OutcomeError) as caught:
        await act
    return caught.value


async def outcome(act: Awaitable[object]) -> str:
    """What `act` says of itself."""
    try:
        await act
    except OutcomeError as error:
        return error.outcome.value
    return "committed"


async def nothing(_operations: BountyOperations) -> None:
    """Where a test begins with nothing."""


def when(world: World, status: str) -> Callable[[Any], bool]:
    """A predicate of requests: the bounty is in this status."""
    return lambda _request: (document(world.mock) or {}).get("status") == status


def case_of(name: str) -> Case:
    """The case of this name."""
    return next(each for each in CASES if each.name == name)
