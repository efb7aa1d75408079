"""A server in this process, and clients of it for several agents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nexus_bounty import (
    AgentIdentity,
    BountyOperations,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusContributionStore,
    NexusSettings,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.models import utc_now
from nexus_bounty.testing import StepFaults
from nexus_bounty.testing.faulty_credits import FaultyCredits
from nexus_bounty.testing.room import a_mock
from nexus_bounty.testing.steps import StepFault, step_fault
from nexus_bounty_mcp.keys import Keys

if TYPE_CHECKING:
    from mcp import Client

ZONE = "default"
QUICK = NexusSettings(retry_base=0, request_timeout=1, operation_timeout=10, retry_attempts=3)
POST = {"title": "Sort it", "amount": 100, "criteria": "it is sorted"}


@dataclass
class Office:
    """What the servers work on."""

    faults: StepFaults
    mock: MockNexus
    credits: FaultyCredits
    operations: BountyOperations
    keys: Keys
    _stack: AsyncExitStack

    async def agent(self, agent_id: str, **options: Any) -> Agent:
        """An agent at a client of the SDK's, connected to a server of its own."""
        # The SDK takes a second to import: only where such a test is run.
        from mcp import Client

        from nexus_bounty_mcp.callers import OneCaller
        from nexus_bounty_mcp.desk import Desk
        from nexus_bounty_mcp.server import make_server

        desk = Desk(self.operations, OneCaller(AgentIdentity(agent_id=agent_id)), self.keys)
        server = make_server(desk, zone_id=ZONE, **options)
        return Agent(await self._stack.enter_async_context(Client(server)))

    async def has(self, account: str) -> tuple[int, int]:
        """What an account has, free and in escrow."""
        balance = await self.credits.balance(account)
        return balance.available, balance.reserved

    def fail(self, step: str, kind: str, times: int | None = 1) -> StepFault:
        """Let a step fail from now on."""
        fault = step_fault(step, kind, times=times)
        self.faults.planned.append(fault)
        self.faults.forget()
        return fault


@dataclass
class Agent:
    """What calls tools, and looks at the structured answers."""

    client: Client

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The answer of a tool.

        Raises:
            AssertionError: It is an error outside of what tools answer.
        """
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        return dict(result.structured_content)

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """What is said of a call that is no proper one."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error
        return str(result.content[0])


@asynccontextmanager
async def an_office(
    *, keys: Keys | None = None, clock: Callable[[], datetime] = utc_now
) -> AsyncIterator[Office]:
    """A server on which alice has 1,000 credits."""
    faults = StepFaults()
    mock = a_mock(faults)
    ledger = FaultyCredits(faults)
    await ledger.fund("alice", 1000)
    with faults.listening():
        async with (
            NexusClient(settings=QUICK, transport=mock.transport(silence=0)) as nexus,
            AsyncExitStack() as stack,
        ):
            operations = BountyOperations(
                NexusBountyStore(nexus, ZONE, commit="conditional"),
                credits=ledger,
                claims=NexusClaimStore(nexus, ZONE, commit="conditional"),
                contributions=NexusContributionStore(nexus, ZONE),
                clock=clock,
            )
            yield Office(faults, mock, ledger, operations, keys or Keys(), stack)


async def posted(alice: Agent) -> str:
    """The id of a bounty that alice has posted."""
    return str((await alice("bounty_create", **POST))["bounty"]["bountyId"])
