"""Pytest fixtures for programs that use bounties: a Nexus server, a client and a store on it.

    async def test_my_agent_claims_what_it_can_do(bounty_store):
        await bounty_store.create_bounty(make_bounty())
        ...

- `mock_nexus`: a `MockNexus` of the newest release, in this process and empty. Inject faults into
  it, count its requests, and read what was really applied from its log.
- `nexus_client`: a `NexusClient` connected to `mock_nexus`; repeats do not wait.
- `bounty_store`: a `NexusBountyStore` on `nexus_client`, in a zone of its own.

Installed with the extra `testing`, pytest loads it by itself. The contract suites of
`nexus_bounty.testing` show what their assertions saw, as tests of your own do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from nexus_bounty import NexusBountyStore, NexusClient
    from nexus_bounty.mock import MockNexus

SUITES = ("bounties_suite", "claims_suite", "contributions_suite", "credits_suite")

pytest.register_assert_rewrite(*(f"nexus_bounty.testing.{suite}" for suite in SUITES))


@pytest.fixture
def mock_nexus() -> MockNexus:
    """A Nexus server in this process: release 0.10, atomic, empty."""
    from nexus_bounty.mock import MockNexus

    return MockNexus("0.10")


@pytest_asyncio.fixture
async def nexus_client(mock_nexus: MockNexus) -> AsyncIterator[NexusClient]:
    """A client of `mock_nexus` that waits for nothing."""
    from nexus_bounty import NexusClient, NexusSettings

    settings = NexusSettings(retry_base=0, request_timeout=1, operation_timeout=10)
    async with NexusClient(
        "http://nexus", settings=settings, transport=mock_nexus.transport()
    ) as client:
        yield client


@pytest_asyncio.fixture
async def bounty_store(nexus_client: NexusClient) -> AsyncIterator[NexusBountyStore]:
    """An empty store on `mock_nexus`."""
    from nexus_bounty import NexusBountyStore

    store = NexusBountyStore(nexus_client, "test", commit="conditional")
    yield store
    await store.close()
