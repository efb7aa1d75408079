"""What the fixtures give to a test: a server, a ledger, and everything on them, without waiting."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from nexus_bounty import (
    BountyOperations,
    Contribution,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.mock import MockNexus, MockTransport, Release
from nexus_bounty.testing.builders import make_agent, make_bounty
from nexus_bounty.testing.faulty_credits import FaultyCredits
from nexus_bounty.testing.steps import StepFaults

ZONE: Final = "test"
COMMIT: Final = "conditional"
URL: Final = "http://nexus"
CREATORS_FUNDS: Final = 1000
SETTINGS: Final = NexusSettings(retry_base=0, request_timeout=1, operation_timeout=10)


def a_mock(faults: StepFaults) -> MockNexus:
    """A server whose preconditions hold, empty."""
    return MockNexus(Release.HYPOTHETICAL, faults=faults)


def line_to(mock: MockNexus) -> MockTransport:
    """A transport into `mock` on which nobody waits for an answer that never comes."""
    return mock.transport(silence=0)


def delivered() -> MemoryContributionStore:
    """Work that `make_agent()` has delivered: the contribution `cid-1`."""
    return MemoryContributionStore([Contribution(cid="cid-1", agent=make_agent())])


async def funded(credits: FaultyCredits) -> FaultyCredits:  # noqa: A002 - the word for it
    """`credits`, in which the creator of `make_bounty()` has 1,000."""
    await credits.fund(make_bounty().creator.agent_id, CREATORS_FUNDS)
    return credits


@asynccontextmanager
async def a_room(faults: StepFaults) -> AsyncIterator[dict[str, Any]]:
    """What the fixtures give, by their names; the bounty of `open_bounty` is not posted yet."""
    mock = a_mock(faults)
    async with NexusClient(URL, settings=SETTINGS, transport=line_to(mock)) as client:
        room: dict[str, Any] = {
            "mock_nexus": mock,
            "nexus_client": client,
            "bounty_store": NexusBountyStore(client, ZONE, commit=COMMIT),
            "claim_store": NexusClaimStore(client, ZONE, commit=COMMIT),
            "contribution_store": delivered(),
            "credits": await funded(FaultyCredits(faults)),
        }
        room["operations"] = BountyOperations(
            room["bounty_store"],
            credits=room["credits"],
            claims=room["claim_store"],
            contributions=room["contribution_store"],
        )
        yield room


def arguments(work: Callable[..., Any], room: dict[str, Any]) -> dict[str, Any]:
    """What `work` takes of a room, by the names of its parameters.

    Raises:
        TypeError: It takes something that no fixture of ours gives.
    """
    asked = inspect.signature(work).parameters
    if unknown := asked.keys() - room.keys():
        raise TypeError(
            f"{work} takes {', '.join(sorted(unknown))}: only {', '.join(room)} is here"
        )
    return {name: room[name] for name in asked}
