"""Other programs remove markers that do not fit the document as it stands: nothing gets lost."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyOperations,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    NexusClient,
)
from nexus_bounty.memory import MemoryClaimStore, MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.models import Contribution
from nexus_bounty.outcomes import Outcome
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.builders import make_bounty_in
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.virtual import virtual
from tests.support.zone import Peer, Zone

S = BountyStatus
BOB = AgentIdentity(agent_id="bob")
A_MOMENT = 2.0
AN_HOUR = 3600.0


class Sweeping(httpx.AsyncBaseTransport):
    """Sweeps as the peer does, just before the request that writes this status to a document."""

    def __init__(self, inner: httpx.AsyncBaseTransport, before: S) -> None:
        self._inner = inner
        self._before = f'"status":"{before.value}"'.encode()
        self.sweep: Callable[[], Awaitable[None]] | None = None
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.sweep is not None and self._before in _written(await request.aread()):
            sweep, self.sweep = self.sweep, None
            await sweep()
        self.requests += 1
        return await self._inner.handle_async_request(request)


def _written(request: bytes) -> bytes:
    content = json.loads(request)["params"].get("content")
    return b64decode(content["data"]) if content else b""


async def grove_sweeps(zone: Zone, peer: Peer) -> None:
    """`BountyIndexSweep`: each bounty has the marker of its status, and no other."""
    async for bounty in (await zone.store()).walk_bounties():
        for each in BountyStatus:
            if bounty.bounty_id in zone.markers(each) and each is not bounty.status:
                await peer.unmark(each, bounty.bounty_id)
        await peer.mark(bounty.status, bounty.bounty_id)


@asynccontextmanager
async def swept(before: S) -> AsyncIterator[tuple[Zone, Sweeping, NexusClient, NexusBountyStore]]:
    """A store whose markers are swept before the commit of a status."""
    async with Zone() as zone:
        transport = Sweeping(zone.mock.transport(), before)
        peer = await zone.peer()
        transport.sweep = lambda: grove_sweeps(zone, peer)
        client = await zone.client(transport)
        store = NexusBountyStore(client, "z", commit="conditional", clock=wall_clock)
        yield zone, transport, client, store


async def listed(zone: Zone, status: S) -> list[str]:
    """What somebody else finds by the markers."""
    found = await (await zone.store()).list_bounties(BountyQuery(status=status))
    return [each.bounty_id for each in found]


def operations_on(store: NexusBountyStore) -> BountyOperations:
    work = Contribution(cid="cid-1", agent=BOB)
    return BountyOperations(
        store,
        credits=MemoryCredits(clock=wall_clock),
        claims=MemoryClaimStore(clock=wall_clock),
        contributions=MemoryContributionStore([work]),
        clock=wall_clock,
    )


def a_bounty(status: S = S.OPEN) -> Bounty:
    later = wall_clock() + timedelta(days=7)
    return make_bounty_in(status, deadline=later, created_at=wall_clock())


async def posted(operations: BountyOperations) -> None:
    await operations.services.credits.top_up("t", account="creator", amount=1000)
    await operations.create(a_bounty())


@virtual
async def test_a_marker_swept_between_draft_and_open_leaves_no_open_bounty_unlisted() -> None:
    """It was written with the draft, which it did not fit."""
    async with swept(S.OPEN) as (zone, transport, _, store):
        await posted(operations_on(store))
        assert transport.sweep is None
        assert await listed(zone, S.OPEN) == []
        await asyncio.sleep(A_MOMENT)
        assert await listed(zone, S.OPEN) == ["b-1"]


@virtual
async def test_a_marker_swept_between_pivot_and_settled_leaves_no_settled_bounty_unlisted() -> None:
    """Likewise; and no reward is missed for it."""
    async with swept(S.SETTLED) as (zone, transport, _, store):
        operations = operations_on(store)
        await posted(operations)
        await operations.claim("b-1", BOB)
        await operations.settle("b-1", "cid-1")
        assert transport.sweep is None
        await asyncio.sleep(A_MOMENT)
        assert await listed(zone, S.SETTLED) == ["b-1"]


@virtual
async def test_a_store_that_is_called_directly_looks_again_as_well() -> None:
    """However long after the draft it was opened."""
    async with swept(S.OPEN) as (zone, _, _, store):
        await store.create_bounty(a_bounty(S.DRAFT))
        await asyncio.sleep(AN_HOUR)
        await store.fund_bounty("b-1", "r-1")
        await asyncio.sleep(A_MOMENT)
        assert await listed(zone, S.OPEN) == ["b-1"]


@virtual
async def test_closing_the_client_looks_at_once() -> None:
    """A command of a command line does not wait for half a second."""
    async with swept(S.OPEN) as (zone, _, client, store):
        await store.create_bounty(a_bounty(S.DRAFT))
        await store.fund_bounty("b-1", "r-1")
        await client.close()
        assert await listed(zone, S.OPEN) == ["b-1"]


@virtual
async def test_nobody_waits_for_the_second_look_and_many_share_it() -> None:
    """One request for the markers of all that were opened, none before the calls return."""
    async with swept(S.CANCELLED) as (_, transport, _, store):
        for number in range(20):
            await store.create_bounty(make_bounty_in(S.DRAFT, bounty_id=f"b-{number}"))
        before = transport.requests
        for number in range(20):
            await store.fund_bounty(f"b-{number}", "r-1")
        assert transport.requests - before == 2 * 20  # commit, old marker
        await asyncio.sleep(A_MOMENT)
        assert transport.requests - before == 2 * 20 + 1


@virtual
async def test_a_bounty_that_has_moved_on_is_not_marked_again() -> None:
    """By this store, which knows; by another, which is seen in the document."""
    async with swept(S.CANCELLED) as (zone, _, _, store):
        for bounty_id in ("b-1", "b-2"):
            await store.create_bounty(make_bounty_in(S.DRAFT, bounty_id=bounty_id))
            await store.fund_bounty(bounty_id, "r-1")
        await store.claim_bounty("b-1", BOB, "c-1")
        await (await zone.store()).claim_bounty("b-2", BOB, "c-2")
        await asyncio.sleep(A_MOMENT)
        assert zone.markers(S.OPEN) == set()
        assert sorted(await listed(zone, S.CLAIMED)) == ["b-1", "b-2"]


@virtual
async def test_a_server_that_does_not_answer_the_second_look_harms_nobody() -> None:
    """The reconciler is there for it."""
    async with swept(S.OPEN) as (zone, _, client, store):
        operations = operations_on(store)
        await posted(operations)
        down = Fault(FaultKind.STATUS_BEFORE, match=RequestMatch(), times=None, status=403)
        zone.mock.inject(down)
        await client.flush()
        zone.mock.clear_faults()
        assert await listed(zone, S.OPEN) == []
        await asyncio.sleep(AN_HOUR)
        await Reconciler(operations).run_once()
        assert await listed(zone, S.OPEN) == ["b-1"]


@virtual
async def test_what_a_process_that_died_did_not_look_at_the_reconciler_finds() -> None:
    """Another one's, from the documents alone."""
    async with swept(S.OPEN) as (zone, _, _, store):
        operations = operations_on(store)
        await posted(operations)
        await store._watch.stop()  # as if it were gone
        await asyncio.sleep(AN_HOUR)
        assert await listed(zone, S.OPEN) == []
        report = await Reconciler(operations).run_once()
        assert [each.sweep for each in report.findings if each.repaired] == ["index markers"]
        assert await listed(zone, S.OPEN) == ["b-1"]


@virtual
async def test_a_renewal_right_after_a_claim_does_not_forget_its_marker() -> None:
    """It writes none itself, and asks for no look of its own."""
    async with swept(S.CLAIMED) as (zone, transport, _, store):
        await store.create_bounty(a_bounty())
        await store.claim_bounty("b-1", BOB, "c-1")
        assert transport.sweep is None
        await store.claim_bounty("b-1", BOB, "c-1")
        assert await listed(zone, S.CLAIMED) == []
        await asyncio.sleep(A_MOMENT)
        assert await listed(zone, S.CLAIMED) == ["b-1"]
        before = transport.requests
        await store.claim_bounty("b-1", BOB, "c-1")
        await asyncio.sleep(A_MOMENT)
        assert transport.requests - before == 1


@pytest.mark.parametrize("learns", ["by a repeat", "by asking"])
@virtual
async def test_whoever_learns_that_a_claim_was_committed_looks_at_its_marker(learns: str) -> None:
    """In another process, where its answer was lost: nobody else knows of it."""
    async with swept(S.CLAIMED) as (zone, transport, _, store):
        await store.create_bounty(a_bounty())
        answers = RequestMatch("write", zone.paths.bounty("b-1"))
        zone.mock.inject(Fault(FaultKind.LATE, match=answers, after_requests=1_000))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.04):
                await store.claim_bounty("b-1", BOB, "c-1", idempotency_key="k")
        await zone.mock.settle()
        assert transport.sweep is None
        another = await zone.store()
        if learns == "by a repeat":
            await another.claim_bounty("b-1", BOB, "c-1", idempotency_key="k")
        else:
            resolution = await another.resolve_operation("b-1", "k")
            assert resolution.outcome is Outcome.COMMITTED
        assert await listed(zone, S.CLAIMED) == []
        await asyncio.sleep(A_MOMENT)
        assert await listed(zone, S.CLAIMED) == ["b-1"]


@virtual
async def test_the_peer_of_these_tests_sweeps_what_does_not_fit() -> None:
    """Or nothing above would be shown."""
    async with swept(S.OPEN) as (zone, transport, _, store):
        await store.create_bounty(a_bounty(S.DRAFT))
        assert (zone.markers(S.DRAFT), zone.markers(S.OPEN)) == ({"b-1"}, {"b-1"})
        assert transport.sweep is not None
        await transport.sweep()
        assert (zone.markers(S.DRAFT), zone.markers(S.OPEN)) == ({"b-1"}, set())
