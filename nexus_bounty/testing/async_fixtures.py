"""The fixtures of the pytest plugin that live on a test's event loop: they need pytest-asyncio."""
# ruff: noqa: A002 - the word for credits

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from nexus_bounty import (
        Bounty,
        BountyOperations,
        NexusBountyStore,
        NexusClaimStore,
        NexusClient,
    )
    from nexus_bounty.memory import MemoryContributionStore
    from nexus_bounty.mock import MockNexus
    from nexus_bounty.testing.faulty_credits import FaultyCredits
    from nexus_bounty.testing.steps import StepFaults


@pytest_asyncio.fixture
async def nexus_client(mock_nexus: MockNexus) -> AsyncIterator[NexusClient]:
    """A client of `mock_nexus` that waits for nothing."""
    from nexus_bounty import NexusClient
    from nexus_bounty.testing.room import SETTINGS, URL, line_to

    async with NexusClient(URL, settings=SETTINGS, transport=line_to(mock_nexus)) as client:
        yield client


@pytest_asyncio.fixture
async def bounty_store(nexus_client: NexusClient) -> AsyncIterator[NexusBountyStore]:
    """An empty store on `mock_nexus`."""
    from nexus_bounty import NexusBountyStore
    from nexus_bounty.testing.room import COMMIT, ZONE

    store = NexusBountyStore(nexus_client, ZONE, commit=COMMIT)
    yield store
    await store.close()


@pytest_asyncio.fixture
async def claim_store(nexus_client: NexusClient) -> AsyncIterator[NexusClaimStore]:
    """Leases on `mock_nexus`, in the zone of `bounty_store`."""
    from nexus_bounty import NexusClaimStore
    from nexus_bounty.testing.room import COMMIT, ZONE

    async with NexusClaimStore(nexus_client, ZONE, commit=COMMIT) as store:
        yield store


@pytest_asyncio.fixture
async def credits(nexus_faults: StepFaults) -> FaultyCredits:  # noqa: A001 - the word for it
    """A ledger in memory, in which the creator of `make_bounty()` has 1,000; `fund` others."""
    from nexus_bounty.testing.faulty_credits import FaultyCredits
    from nexus_bounty.testing.room import funded

    return await funded(FaultyCredits(nexus_faults))


@pytest.fixture
def operations(
    bounty_store: NexusBountyStore,
    credits: FaultyCredits,
    claim_store: NexusClaimStore,
    contribution_store: MemoryContributionStore,
) -> BountyOperations:
    """The operations on `mock_nexus` and `credits`."""
    from nexus_bounty import BountyOperations

    return BountyOperations(
        bounty_store, credits=credits, claims=claim_store, contributions=contribution_store
    )


@pytest_asyncio.fixture
async def open_bounty(operations: BountyOperations) -> Bounty:
    """The bounty of `make_bounty()`, `b-1`, posted by `operations`."""
    from nexus_bounty.testing.builders import make_bounty

    return (await operations.create(make_bounty())).bounty
