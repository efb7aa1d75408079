"""The fixtures of the pytest plugin that nobody awaits.

What they give is imported when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from nexus_bounty.testing.plugin import PASSED

if TYPE_CHECKING:
    from nexus_bounty import Bounty
    from nexus_bounty.memory import MemoryContributionStore
    from nexus_bounty.mock import MockNexus
    from nexus_bounty.sync import (
        SyncBountyOperations,
        SyncClaimStore,
        SyncContributionStore,
        SyncCreditsService,
        SyncNexusBountyStore,
        SyncNexusClient,
    )
    from nexus_bounty.testing.steps import StepFault, StepFaults


@pytest.fixture
def nexus_faults(request: pytest.FixtureRequest) -> Iterator[StepFaults]:
    """The steps of this test, and the faults that `nexus_fault` or `parametrize_faults` plan."""
    from nexus_bounty.testing.steps import StepFaults

    faults = StepFaults(_planned(request))
    with faults.listening():
        yield faults
    if faults.missed and request.node.stash.get(PASSED, False):
        missed = ", ".join(map(str, faults.missed))
        pytest.fail(f"{missed} never came; the steps were {', '.join(faults.seen)}", pytrace=False)


def _planned(request: pytest.FixtureRequest) -> list[StepFault]:
    from nexus_bounty.testing.steps import step_fault

    marks = request.node.iter_markers("nexus_fault")
    planned = [step_fault(*mark.args, **mark.kwargs) for mark in marks]
    param: tuple[str, str] | None = getattr(request, "param", None)
    return [*planned, *([step_fault(*param)] if param else [])]


@pytest.fixture
def mock_nexus(nexus_faults: StepFaults) -> MockNexus:
    """A Nexus server in this process, empty; its preconditions hold."""
    from nexus_bounty.testing.room import a_mock

    return a_mock(nexus_faults)


@pytest.fixture
def contribution_store() -> MemoryContributionStore:
    """Delivered work: `cid-1`, by `make_agent()`; `add` more."""
    from nexus_bounty.testing.room import delivered

    return delivered()


@pytest.fixture
def sync_nexus_client(mock_nexus: MockNexus) -> Iterator[SyncNexusClient]:
    """`nexus_client` for code that does not await."""
    from nexus_bounty.sync import SyncNexusClient
    from nexus_bounty.testing.room import SETTINGS, URL, line_to

    with SyncNexusClient(URL, settings=SETTINGS, transport=line_to(mock_nexus)) as client:
        yield client


@pytest.fixture
def sync_bounty_store(sync_nexus_client: SyncNexusClient) -> Iterator[SyncNexusBountyStore]:
    """`bounty_store` for code that does not await."""
    from nexus_bounty.sync import SyncNexusBountyStore
    from nexus_bounty.testing.room import COMMIT, ZONE

    with SyncNexusBountyStore(sync_nexus_client, ZONE, commit=COMMIT) as store:
        yield store


@pytest.fixture
def sync_claim_store(sync_nexus_client: SyncNexusClient) -> Iterator[SyncClaimStore]:
    """`claim_store` for code that does not await."""
    from nexus_bounty import NexusClaimStore
    from nexus_bounty.sync import SyncClaimStore
    from nexus_bounty.testing.room import COMMIT, ZONE

    store = NexusClaimStore(sync_nexus_client.wrapped, ZONE, commit=COMMIT)
    with SyncClaimStore(store, sync_nexus_client) as claims:
        yield claims


@pytest.fixture
def sync_contribution_store(
    contribution_store: MemoryContributionStore, sync_nexus_client: SyncNexusClient
) -> SyncContributionStore:
    """`contribution_store` for code that does not await."""
    from nexus_bounty.sync import SyncContributionStore

    return SyncContributionStore(contribution_store, sync_nexus_client)


@pytest.fixture
def sync_credits(
    nexus_faults: StepFaults, sync_nexus_client: SyncNexusClient
) -> SyncCreditsService:
    """`credits` for code that does not await."""
    from nexus_bounty.sync import SyncCreditsService
    from nexus_bounty.testing.faulty_credits import FaultyCredits
    from nexus_bounty.testing.room import funded

    ledger = FaultyCredits(nexus_faults)
    sync_nexus_client.background.run(funded, ledger)
    return SyncCreditsService(ledger, sync_nexus_client)


@pytest.fixture
def sync_operations(
    sync_bounty_store: SyncNexusBountyStore,
    sync_credits: SyncCreditsService,
    sync_claim_store: SyncClaimStore,
    sync_contribution_store: SyncContributionStore,
) -> SyncBountyOperations:
    """`operations` for code that does not await."""
    from nexus_bounty.sync import SyncBountyOperations

    return SyncBountyOperations(
        sync_bounty_store,
        credits=sync_credits,
        claims=sync_claim_store,
        contributions=sync_contribution_store,
    )


@pytest.fixture
def sync_open_bounty(sync_operations: SyncBountyOperations) -> Bounty:
    """`open_bounty` for code that does not await."""
    from nexus_bounty.testing.builders import make_bounty

    return sync_operations.create(make_bounty()).bounty
