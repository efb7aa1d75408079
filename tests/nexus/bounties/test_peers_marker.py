"""The plain marker of a bounty that has gone back to open: the peer finds it by no other.

What a claim leaves behind is removed half a second later. Whoever gives the bounty back before
that needs the very marker that is to be removed then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import pytest

from nexus_bounty import (
    BountyOperations,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.memory import MemoryClaimStore, MemoryContributionStore
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import wall_clock
from tests.contract.grove import newer, reader
from tests.support.store_trials import BOUNTY_ID, WORKER, a_bounty
from tests.support.virtual import virtual

S = BountyStatus
PATHS = ZonePaths("default")
DOCUMENT = PATHS.bounty(BOUNTY_ID)
PLAIN = PATHS.marker(S.OPEN, BOUNTY_ID)
A_MOMENT = 2.0
GAPS = [0, 0.01, 0.1, 0.3, 0.49, 0.51, 0.6, 1]
RELEASES = ["0.7.0", "0.9", "0.10", "0.10-hypothetical"]


@dataclass
class Scene:
    """A server, a client of each of two processes, and the store of the first."""

    mock: MockNexus
    mine: NexusBountyStore
    other: NexusClient


def opened(client: NexusClient) -> NexusBountyStore:
    return NexusBountyStore(client, clock=wall_clock).cleaning_up(later=True)


def connected(mock: MockNexus) -> NexusClient:
    settings = NexusSettings(follow_at_once=True, storage_encoding="base64", retry_base=0)
    return NexusClient("http://nexus", settings=settings, transport=mock.transport())


async def released_here(scene: Scene) -> None:
    await scene.mine.release_bounty(BOUNTY_ID, WORKER)


async def released_elsewhere(scene: Scene) -> None:
    await opened(scene.other).release_bounty(BOUNTY_ID, WORKER)


async def released_by_a_command(scene: Scene) -> None:
    """Of a process that does not last until the marker is removed."""
    async with connected(scene.mock) as client:
        await opened(client).release_bounty(BOUNTY_ID, WORKER)


async def given_back_by_grove(scene: Scene) -> None:
    """Document, new marker, old marker away."""
    before = reader.stored(scene.mock.read_file(DOCUMENT) or b"")
    kept = {key: each for key, each in before.items() if key not in ("claimedBy", "claimId")}
    await scene.other.write(DOCUMENT, newer.stored(kept | {"status": "open"}))
    await scene.other.write(PLAIN, b"")
    await scene.other.delete(PATHS.marker(S.CLAIMED, BOUNTY_ID))


GivenBack = Callable[[Scene], Awaitable[None]]
OURS: list[GivenBack] = [released_here, released_elsewhere, released_by_a_command]
GIVEN_BACK = [(each, release) for each in OURS for release in RELEASES]
GIVEN_BACK.append((given_back_by_grove, "0.10-hypothetical"))
"""Where commits are by name Grove moves nothing on."""


@pytest.mark.parametrize(("given_back", "personality"), GIVEN_BACK)
@virtual
async def test_what_a_claim_leaves_behind_takes_no_marker_that_is_needed_again(
    given_back: GivenBack, personality: str
) -> None:
    """Whoever gives the bounty back, and whenever."""
    for gap in GAPS:
        mock = MockNexus(personality, rename_delay=0, clock=wall_clock)
        async with connected(mock) as client, connected(mock) as other:
            scene = Scene(mock, opened(client), other)
            await scene.mine.create_bounty(a_bounty(S.OPEN))
            await asyncio.sleep(A_MOMENT)
            await scene.mine.claim_bounty(BOUNTY_ID, WORKER, "c-1")
            await asyncio.sleep(gap)
            await given_back(scene)
            await asyncio.sleep(A_MOMENT)
            assert PLAIN in mock.files, gap
            found = await opened(other).list_bounties(BountyQuery(status=S.OPEN))
            assert [each.bounty_id for each in found] == [BOUNTY_ID], gap


@pytest.mark.parametrize("personality", RELEASES)
@virtual
async def test_a_delete_that_arrives_long_after_is_made_good_by_the_reconciler(
    personality: str,
) -> None:
    """When nobody looks any more."""
    mock = MockNexus(personality, rename_delay=0, clock=wall_clock)
    async with connected(mock) as client:
        store = opened(client)
        await store.create_bounty(a_bounty(S.OPEN))
        await asyncio.sleep(A_MOMENT)
        left_behind = RequestMatch(predicate=lambda each: each.method.startswith("delete"))
        mock.inject(Fault(FaultKind.DUPLICATE_LATE, match=left_behind, after_requests=10_000))
        await store.claim_bounty(BOUNTY_ID, WORKER, "c-1")
        await asyncio.sleep(A_MOMENT)
        await store.release_bounty(BOUNTY_ID, WORKER)
        await asyncio.sleep(A_MOMENT)
        assert PLAIN in mock.files
        await mock.settle()
        assert PLAIN not in mock.files
        operations = BountyOperations(
            store,
            credits=None,
            claims=MemoryClaimStore(clock=wall_clock),
            contributions=MemoryContributionStore([]),
            clock=wall_clock,
        )
        await asyncio.sleep(timedelta(hours=1).total_seconds())
        await Reconciler(operations).run_once()
        assert PLAIN in mock.files


@virtual
async def test_a_claim_that_rests_costs_one_look_and_one_reading_that_many_share() -> None:
    """Twenty of them: the deletes, the markers, the documents."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    async with connected(mock) as client:
        store = opened(client)
        for number in range(20):
            offer = msgspec.structs.replace(a_bounty(S.OPEN), bounty_id=f"b-{number}")
            await store.create_bounty(offer)
        await asyncio.sleep(A_MOMENT)
        for number in range(20):
            await store.claim_bounty(f"b-{number}", WORKER, "c-1")
        before = mock.request_count
        await asyncio.sleep(A_MOMENT)
        assert mock.request_count - before == 3
        await asyncio.sleep(A_MOMENT)
        assert mock.request_count - before == 3
