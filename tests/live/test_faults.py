"""Faults on the way to real servers: lost, late and doubled requests never make a wrong outcome."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    PostCommitError,
    PreCommitError,
)
from nexus_bounty.mock import Fault, FaultKind, FaultProxy, running
from nexus_bounty.testing.builders import make_bounty
from tests.live.servers import RELEASES, LiveServer, fresh_zone, live_server

pytestmark = pytest.mark.live

LEAST_PATIENCE = 0.5
"""Seconds that a client waits for one answer, on a server that answers much faster than that."""
TIMES_AS_LONG = 8
"""As a real answer took, on one that does not: it may have to share its machine."""

FAULTS = [
    Fault(FaultKind.DROP_AFTER),
    Fault(FaultKind.DELAY),
    Fault(FaultKind.LATE, lost="drop"),
    Fault(FaultKind.DUPLICATE),
    Fault(FaultKind.DUPLICATE_ECHO),
    Fault(FaultKind.STATUS_AFTER, status=503),
]
ALICE = AgentIdentity(agent_id="alice")


@dataclass
class Path:
    """A way to a real server on which things go wrong."""

    server: LiveServer
    proxy: FaultProxy
    url: str
    patience: float = LEAST_PATIENCE

    @asynccontextmanager
    async def store(self, zone: str) -> AsyncIterator[NexusBountyStore]:
        """A store that reaches the server by it."""
        async with self.server.client(
            url=self.url, request_timeout=self.patience, retry_base=0.01
        ) as client:
            yield NexusBountyStore(client, zone, commit=self.server.commit(client))

    def inject(self, fault: Fault, at: int) -> None:
        """Let it hit the request that is so many ahead; a delay is longer than anybody waits."""
        late = fault.kind is FaultKind.DELAY
        seconds = self.patience + 0.3 if late else fault.seconds
        fault = replace(fault, seconds=seconds)
        self.proxy.inject(fault.on(at=self.proxy.oracle.received_total + at))


@asynccontextmanager
async def way_to(release: str) -> AsyncIterator[Path]:
    server = live_server(release)
    async with FaultProxy(server.url) as proxy, running(proxy) as url:
        path = Path(server, proxy, url, patience=60)
        began = time.monotonic()
        async with path.store(fresh_zone()) as store:
            await create_and_claim(store)
        an_answer = (time.monotonic() - began) / proxy.request_count
        path.patience = max(LEAST_PATIENCE, TIMES_AS_LONG * an_answer)
        yield path


async def create_and_claim(store: NexusBountyStore) -> Bounty:
    """Two operations; what is still owed afterwards is no failure."""
    await store.create_bounty(make_bounty(), idempotency_key="create-1")
    try:
        return await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="claim-1")
    except PostCommitError as error:
        if error.bounty is None:
            raise
        return error.bounty


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_whatever_happens_to_one_request_both_operations_happen_once(
    release: str, fault: Fault, note: Callable[[str], None]
) -> None:
    """Each request in turn: a bounty is created and claimed, once, and is listed so."""
    async with way_to(release) as path, path.server.client() as direct:
        before = path.proxy.request_count
        async with path.store(fresh_zone()) as store:
            await create_and_claim(store)
        requests = path.proxy.request_count - before
        for at in range(1, requests + 1):
            zone = fresh_zone()
            path.inject(fault, at)
            async with path.store(zone) as store:
                claimed = await create_and_claim(store)
            await path.proxy.settle()
            store = NexusBountyStore(direct, zone, commit=path.server.commit(direct))
            assert await store.get_bounty("b-1") == claimed
            kept = [(each.key, each.aborted) for each in await store.get_history("b-1")]
            assert kept == [("create-1", False), ("claim-1", False)], at
            listed = await store.list_bounties(BountyQuery(status=BountyStatus.CLAIMED))
            assert listed == [claimed]
    note(f"{len(FAULTS)} faults at each of {requests} requests")


@pytest.mark.parametrize("fault", FAULTS[:3], ids=str)
@pytest.mark.parametrize("release", RELEASES)
async def test_what_happens_to_the_probe_makes_no_wrong_verdict(
    release: str, fault: Fault, note: Callable[[str], None]
) -> None:
    """A bounty is there, or provably is not."""
    async with way_to(release) as path, path.server.client() as direct:
        for at in (1, 4, 16):
            zone = fresh_zone()
            path.inject(fault, at)
            async with path.server.client(url=path.url, request_timeout=path.patience) as client:
                try:
                    await NexusBountyStore(client, zone).create_bounty(make_bounty())
                except PreCommitError:
                    is_there = False
                else:
                    is_there = True
            await path.proxy.settle()
            found = await NexusBountyStore(direct, zone).get_bounty("b-1")
            assert (found is not None) is is_there
    note("3 faults at 3 requests of the probe")
