"""One fault at one request of one operation, and the verdict held against the truth."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

from nexus_bounty import NexusSettings
from nexus_bounty.mock import ALL_FAULTS, Fault, FaultKind, MockNexus
from nexus_bounty.outcomes import Outcome, OutcomeError, Proof
from nexus_bounty_nexuspay import NexusPayCredits
from tests.adapters.nexuspay.truth import KEY, Truth, credits_on

FUNDS = 100
EVERY_FAULT = (
    *ALL_FAULTS,
    Fault(FaultKind.LATE, after_requests=8),
    Fault(FaultKind.LATE, after_requests=1000),
    Fault(FaultKind.DUPLICATE_LATE, after_requests=1000),
)
"""Of the last ones nobody thinks any more when they arrive."""

Call = Callable[[NexusPayCredits], Awaitable[Any]]


@dataclass(frozen=True)
class Operation:
    """A mutation, the movement that it makes, and the units that it brings in."""

    name: str
    call: Call
    moves: tuple[str, str]
    brings: int = 0

    def __str__(self) -> str:
        return self.name


OPERATIONS = (
    Operation("reserve", lambda c: c.reserve("r", account="alice", amount=10), ("reserve", "r")),
    Operation("capture", lambda c: c.capture("held", to_account="bob"), ("capture", "held")),
    Operation("void", lambda c: c.void("held"), ("void", "held")),
    Operation(
        "transfer",
        lambda c: c.transfer("t", from_account="alice", to_account="bob", amount=5),
        ("transfer", "t"),
    ),
    Operation("top_up", lambda c: c.top_up("u", account="bob", amount=29), ("top_up", "u"), 29),
)


@dataclass(frozen=True)
class World:
    """What an operation is tried on.

    Attributes:
        release: The release of the server.
        settings: How long the caller waits.
        knows: Whether the service has seen the ledger before, or is a new process's.
        service: What is tried.
    """

    release: str
    settings: NexusSettings
    knows: bool = True
    service: type[NexusPayCredits] = NexusPayCredits

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[MockNexus, NexusPayCredits]]:
        """A server with funds and a reservation, and the service that is about to be called."""
        mock = MockNexus(self.release, api_key=KEY)
        async with self.on(mock) as first, self.on(mock) as second:
            await first.top_up("funds", account="alice", amount=FUNDS)
            await first.reserve("held", account="alice", amount=20)
            if self.knows:
                await second.balance("alice")
            yield mock, second

    def on(self, mock: MockNexus) -> NexusPayCredits:
        """A service on the mock, as another process has it."""
        return credits_on(mock, self.settings, service=self.service)


async def requests_of(operation: Operation, world: World) -> int:
    """How many requests the operation makes when nothing goes wrong."""
    async with world.opened() as (mock, service):
        before = service.requests_sent
        await operation.call(service)
        assert Truth(mock).count(*operation.moves) == 1
        return service.requests_sent - before


async def try_once(operation: Operation, world: World, fault: Fault, nth: int) -> Outcome:
    """Hit the nth request with the fault, then ask again as another process would.

    Returns:
        What the operation said of itself; that it was right has been asserted.
    """
    async with world.opened() as (mock, service):
        mock.inject(fault.on(at=mock.requests[-1].number + nth))
        said = await outcome_of(operation.call(service))
        if said is Outcome.COMMITTED:
            assert Truth(mock).count(*operation.moves) == 1, "committed, and not there"
        await mock.settle()
        if said is Outcome.PRE_COMMIT:
            assert Truth(mock).count(*operation.moves) == 0, "pre-commit, and there"
        again = await outcome_of(operation.call(service))
        assert said is not Outcome.COMMITTED or again is Outcome.COMMITTED
        async with world.on(mock) as another:
            await operation.call(another)
            await mock.settle()
            truth = Truth(mock)
            truth.assert_sound()
            assert truth.count(*operation.moves) == 1
            assert truth.issued == FUNDS + operation.brings
            assert truth.taken == truth.deposited == truth.issued + await another.unassigned()
            assert truth.unassigned <= strays(operation, fault), "paid again without need"
            assert (await another.verify()).ok
        return said


async def try_all(
    operation: Operation, world: World, faults: Sequence[Fault]
) -> dict[tuple[str, int], Outcome]:
    """What was said of each fault at each request; that it was right has been asserted."""
    requests = await requests_of(operation, world)
    assert requests >= 3
    return {
        (str(fault), nth): await try_once(operation, world, fault, nth)
        for fault, nth in product(faults, range(1, requests + 1))
    }


def strays(operation: Operation, fault: Fault) -> int:
    """The units that a single fault can make the server take without a top-up for them."""
    may_arrive_late = fault.kind is FaultKind.LATE
    repeated = fault.kind.deliveries == 2
    return operation.brings if may_arrive_late or repeated else 0


async def outcome_of(call: Awaitable[Any]) -> Outcome:
    """What a call says of itself; any other error fails."""
    try:
        await call
    except OutcomeError as error:
        said = error
    else:
        return Outcome.COMMITTED
    assert said.evidence.observations or said.evidence.proof is Proof.LOCAL_CHECK
    assert said.idempotency_key is not None
    return said.outcome
