"""A marker that is swept away until its commit is listed again a moment after, on every server.

Another program deletes markers that do not fit the document as its file says: before each request
of a call, until that file has followed. No reconciler runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest

from nexus_bounty import (
    BountyOperations,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.mock import MockNexus
from nexus_bounty.mock.personality import PERSONALITIES, Release
from nexus_bounty.models import Contribution
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.store_trials import BOUNTY_ID, WORKER, a_bounty
from tests.support.virtual import virtual

S = BountyStatus
PATHS = ZonePaths("default")
DOCUMENT = PATHS.bounty(BOUNTY_ID)
A_MOMENT = 2.0
SERVERS = [each for each in PERSONALITIES if each != Release.V0_9_20_WITHOUT_KERNEL]
"""Without its kernel a server reads nothing."""

Act = Callable[[NexusBountyStore], Awaitable[Any]]


@dataclass(frozen=True)
class Swept:
    """What leads to a bounty `in_status`, calmly, and what is done then while markers are swept."""

    leads_there: tuple[Act, ...]
    act: Act
    in_status: BountyStatus


def created(status: BountyStatus) -> Act:
    return lambda store: store.create_bounty(a_bounty(status))


def claim(store: NexusBountyStore) -> Awaitable[Any]:
    return store.claim_bounty(BOUNTY_ID, WORKER, "c-1")


def begin(store: NexusBountyStore) -> Awaitable[Any]:
    return store.begin_settlement(BOUNTY_ID, "cid-1")


def release(store: NexusBountyStore) -> Awaitable[Any]:
    return store.release_bounty(BOUNTY_ID, WORKER)


async def draft_taken_back(store: NexusBountyStore) -> None:
    draft = msgspec.structs.replace(a_bounty(S.DRAFT), reservation_id="r-0")
    await store.create_bounty(draft)
    await store.discard_draft(BOUNTY_ID, "r-0")


OPEN = created(S.OPEN)
TRANSITIONS = {
    "create over a tombstone": Swept((draft_taken_back,), OPEN, S.OPEN),
    "fund": Swept((created(S.DRAFT),), lambda store: store.fund_bounty(BOUNTY_ID, "r-1"), S.OPEN),
    "claim": Swept((OPEN,), claim, S.CLAIMED),
    "claim again": Swept((OPEN, claim, release), claim, S.CLAIMED),
    "release": Swept((OPEN, claim), release, S.OPEN),
    "begin": Swept((OPEN, claim), begin, S.PENDING_SETTLEMENT),
    "complete": Swept(
        (OPEN, claim), lambda store: store.complete_bounty(BOUNTY_ID, "cid-1"), S.COMPLETED
    ),
    "settle": Swept((OPEN, claim, begin), lambda store: store.settle_bounty(BOUNTY_ID), S.SETTLED),
    "expire": Swept((OPEN,), lambda store: store.expire_bounty(BOUNTY_ID), S.EXPIRED),
    "cancel": Swept((OPEN,), lambda store: store.cancel_bounty(BOUNTY_ID), S.CANCELLED),
    "cancel what is claimed": Swept(
        (OPEN, claim), lambda store: store.cancel_bounty(BOUNTY_ID), S.CANCELLED
    ),
}


class Sweeping(httpx.AsyncBaseTransport):
    """Sweeps before each request, while the file of the bounty says what it said at first."""

    def __init__(self, mock: MockNexus) -> None:
        self.mock = mock
        self._inner = mock.transport()
        self._at_first: str | None = None

    def begin(self) -> None:
        self._at_first = self._status()

    def sweep_as_the_file_says(self) -> None:
        self.sweep(self._status())

    def _status(self) -> str:
        status: str = msgspec.json.decode(self.mock.read_file(DOCUMENT) or b"{}")["status"]
        return status

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._at_first is not None and self._status() == self._at_first:
            self.sweep(self._at_first)
        return await self._inner.handle_async_request(request)

    def sweep(self, fits: str) -> None:
        for status in BountyStatus:
            for path in [each for each in self.mock.files if _is_of(each, status)]:
                if status.value != fits:
                    self.mock.core.table.remove(path)


def _is_of(path: str, status: BountyStatus) -> bool:
    return path.startswith(f"{PATHS.statuses(status)}/") and BOUNTY_ID in path


async def listed(mock: MockNexus, status: BountyStatus) -> list[str]:
    """What somebody else finds by the markers."""
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store = NexusBountyStore(client, clock=wall_clock)
        return [each.bounty_id for each in await store.list_bounties(BountyQuery(status=status))]


@pytest.mark.parametrize("personality", SERVERS)
@pytest.mark.parametrize("later", [False, True], ids=["", "cleaning up later"])
@pytest.mark.parametrize("name", TRANSITIONS)
@virtual
async def test_what_was_swept_away_ahead_of_its_commit_is_listed_a_moment_after(
    name: str, later: bool, personality: str
) -> None:
    """Whichever transition it is, and however commits are made there."""
    case = TRANSITIONS[name]
    mock = MockNexus(personality, rename_delay=0, clock=wall_clock)
    transport = Sweeping(mock)
    settings = NexusSettings(follow_at_once=True)
    async with NexusClient("http://nexus", settings=settings, transport=transport) as client:
        store = NexusBountyStore(client, clock=wall_clock).cleaning_up(later=later)
        for calm in case.leads_there:
            await calm(store)
        transport.begin()
        await case.act(store)
        assert await listed(mock, case.in_status) == []
        await asyncio.sleep(A_MOMENT)
        assert await listed(mock, case.in_status) == [BOUNTY_ID]


async def lived(operations: BountyOperations, *, is_claimed: bool, settles: bool) -> BountyStatus:
    """A bounty that ends, with time between the steps."""
    await operations.create(a_bounty(S.OPEN))
    await asyncio.sleep(A_MOMENT)
    if is_claimed:
        await operations.claim(BOUNTY_ID, WORKER)
        await asyncio.sleep(A_MOMENT)
    if settles:
        return (await operations.settle(BOUNTY_ID, "cid-1")).bounty.status
    return (await operations.cancel(BOUNTY_ID)).bounty.status


LIVES = {
    "claimed and settled": partial(lived, is_claimed=True, settles=True),
    "claimed and cancelled": partial(lived, is_claimed=True, settles=False),
    "cancelled": partial(lived, is_claimed=False, settles=False),
}


@pytest.mark.parametrize("at_once", [False, True], ids=["", "following at once"])
@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("personality", SERVERS)
@virtual
async def test_what_is_swept_away_after_an_operation_has_returned_is_listed_a_moment_after(
    personality: str, life: str, at_once: bool
) -> None:
    """Until its file has followed: other batches, such as of its lease, take no marker along."""
    for after in (0, 0.02, 0.1, 0.3, 0.49, 0.51, 1):
        mock = MockNexus(personality, rename_delay=0, clock=wall_clock)
        transport = Sweeping(mock)
        settings = NexusSettings(follow_at_once=at_once)
        async with NexusClient("http://nexus", settings=settings, transport=transport) as client:
            operations = BountyOperations(
                NexusBountyStore(client, clock=wall_clock),
                credits=None,
                claims=NexusClaimStore(client, clock=wall_clock),
                contributions=MemoryContributionStore([Contribution(cid="cid-1", agent=WORKER)]),
                clock=wall_clock,
            )
            status = await LIVES[life](operations)
            await asyncio.sleep(after)
            transport.sweep_as_the_file_says()
            await asyncio.sleep(A_MOMENT)
            assert await listed(mock, status) == [BOUNTY_ID], after
