"""What does not hold in a zone that Grove writes, too: shown, so that nobody counts on it."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyStatus,
    InvalidInputError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.builders import make_bounty_in
from nexus_bounty.testing.clock import ManualClock
from tests.contract.grove import newer, reader
from tests.support.zone import Zone

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PATHS = ZonePaths("shared")
TARGET = "bounty:b-1"
AGENT = AgentIdentity(agent_id="alice")
LOCK = PATHS.target_lock(TARGET)


async def test_grove_cancels_a_bounty_that_is_being_paid() -> None:
    """It asks neither what is legal nor whose it is: any move that it makes stands."""
    async with Zone(storage_encoding="base64") as zone:
        store, peer = await zone.store(), await zone.peer()
        await store.create_bounty(make_bounty_in(BountyStatus.PENDING_SETTLEMENT))
        await peer.move(BountyStatus.CANCELLED)
        bounty = await store.get_bounty("b-1")
        assert bounty is not None
        assert bounty.status is BountyStatus.CANCELLED


class _Taking(httpx.AsyncBaseTransport):
    """Lets Grove act just before the request that writes our claim."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.grove: Callable[[], Awaitable[None]] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        params = json.loads(await request.aread())["params"]
        writes_claim = params.get("path") == PATHS.claim("c-1") and params.get("content")
        if self.grove is not None and writes_claim:
            grove, self.grove = self.grove, None
            await grove()
        return await self._inner.handle_async_request(request)


async def test_the_newer_grove_takes_a_lock_whose_claim_is_not_written_yet() -> None:
    """Then both have a claim on the target; the lock says whose lease counts from then on."""
    clock = ManualClock(NOON)
    mock = MockNexus("0.10-hypothetical", clock=clock)
    transport = _Taking(mock.transport())
    settings = NexusSettings(storage_encoding="base64", zone_id="shared", retry_base=0)
    async with NexusClient("http://nexus", settings=settings, transport=transport) as client:
        claims = NexusClaimStore(client, commit="conditional", clock=clock)

        async def takes_over() -> None:
            """`writeActiveIndexExclusive`: a holder whose claim is not there is stale."""
            assert b64decode(mock.read_file(LOCK) or b"") == b"c-1"
            await client.write(LOCK, b64encode(b"gc-1"))
            await client.write(PATHS.claim("gc-1"), newer.claim())
            await client.write(PATHS.active_claim(TARGET, "gc-1"), b"")

        transport.grove = takes_over
        ours = await claims.claim_or_renew(
            TARGET, AgentIdentity(agent_id="bob"), claim_id="c-1", lease=timedelta(hours=1)
        )
        assert {each.claim_id for each in await claims.active_claims()} == {"c-1", "gc-1"}
        [counts] = await claims.active_claims(TARGET)
        assert (ours.claim_id, counts.claim_id) == ("c-1", "gc-1")


async def test_nothing_tells_what_became_of_a_request_of_grove() -> None:
    """Its moves are in no history."""
    async with Zone(storage_encoding="base64") as zone:
        store, peer = await zone.store(), await zone.peer()
        await peer.create(make_bounty_in(BountyStatus.OPEN))
        await peer.move(BountyStatus.CLAIMED, claimedBy={"agentId": "bob"}, claimId="c-1")
        assert await store.get_history("b-1") == ()


@pytest.mark.parametrize("bounty_id", ["a/b", "100%"])
async def test_ids_that_grove_makes_are_refused_as_arguments(bounty_id: str) -> None:
    """They are listed all the same."""
    async with Zone(storage_encoding="base64") as zone:
        with pytest.raises(InvalidInputError):
            await (await zone.store()).get_bounty(bounty_id)


@pytest.mark.parametrize("ends", ["released", "completed"])
async def test_what_is_raw_stays_so_whatever_is_set_and_grove_cannot_read_it(ends: str) -> None:
    """Bounties and claims, until and after they have ended; what is new is as it is set."""
    mock = MockNexus("0.10", etag="content", atomic=True)

    def at(encoding: StorageEncoding) -> NexusClient:
        settings = NexusSettings(storage_encoding=encoding, zone_id="shared", retry_base=0)
        return NexusClient("http://nexus", settings=settings, transport=mock.transport())

    async with at("raw") as client:
        bounties = NexusBountyStore(client, commit="conditional")
        claims = NexusClaimStore(client, commit="conditional")
        await bounties.create_bounty(make_bounty_in(BountyStatus.OPEN))
        await claims.claim_or_renew(TARGET, AGENT, claim_id="c-1", lease=timedelta(hours=1))
    async with at("base64") as client:
        bounties = NexusBountyStore(client, commit="conditional")
        claims = NexusClaimStore(client, commit="conditional")
        await bounties.cancel_bounty("b-1")
        await (claims.release("c-1") if ends == "released" else claims.complete("c-1"))
        await bounties.create_bounty(make_bounty_in(BountyStatus.OPEN, bounty_id="b-2"))
    for path, status in ((PATHS.bounty("b-1"), "cancelled"), (PATHS.claim("c-1"), ends)):
        content = mock.read_file(path) or b""
        assert content.startswith(b"{")
        assert json.loads(content)["status"] == status
        with pytest.raises(ValueError, match="base64"):
            reader.stored(content)
    assert reader.read_bounty(mock.read_file(PATHS.bounty("b-2")) or b"")["status"] == "open"
