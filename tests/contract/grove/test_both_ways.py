"""A zone in which the older Grove and we act at the same time, Grove as it is transcribed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyQuery,
    BountyStateError,
    BountyStatus,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.mock.personality import PERSONALITIES, Release
from nexus_bounty.nexus.documents.marker_layout import Layout
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.outcomes import Outcome
from nexus_bounty.testing.builders import make_bounty
from tests.contract.grove import on_servers, reader
from tests.contract.grove.older import Client, Grove, GroveError
from tests.contract.grove.shared_zone import BOB, NOW, ZONE, Us, ours, shared_server
from tests.support.layouts import lay_out

S = BountyStatus
PATHS = ZonePaths(ZONE)
ALICE = {"agentId": "alice"}

Act = Callable[[], Awaitable[Any]]


class Between(httpx.AsyncBaseTransport):
    """Lets somebody act just before the first request of a method."""

    def __init__(self, inner: httpx.AsyncBaseTransport, method: str) -> None:
        self._inner = inner
        self._method = method
        self.act: Act | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        method = json.loads(await request.aread())["method"]
        if self.act is not None and method == self._method:
            act, self.act = self.act, None
            await act()
        return await self._inner.handle_async_request(request)


@dataclass
class Zone:
    server: MockNexus
    us: Us
    grove: Grove
    grove_writes: Between


@asynccontextmanager
async def shared(server: MockNexus | None = None) -> AsyncIterator[Zone]:
    """Both on one server, as the page says that it has to be."""
    server = server or shared_server()
    writes = Between(server.transport(), "sys_write")
    async with (
        ours(server.transport()) as client,
        httpx.AsyncClient(transport=writes, base_url="http://nexus") as http,
    ):
        yield Zone(server, Us(client), Grove(http, ZONE, NOW), writes)


async def test_grove_does_not_overwrite_what_we_wrote_since_it_read() -> None:
    """It writes under the etag that it asked for before it read."""
    async with shared() as zone:
        await zone.us.bounties.create_bounty(make_bounty())
        zone.grove_writes.act = lambda: zone.us.bounties.claim_bounty("b-1", BOB, "c-1")
        with pytest.raises(GroveError):
            await zone.grove.claimBounty("b-1", ALICE, "gc-1")
        bounty = await zone.us.bounties.get_bounty("b-1")
        assert bounty is not None
        assert (bounty.status, bounty.claimed_by) == (S.CLAIMED, BOB)


async def test_we_do_not_overwrite_what_grove_wrote_since_we_read() -> None:
    """Whoever has claimed the bounty meanwhile keeps it."""
    async with shared() as zone:
        await zone.us.bounties.create_bounty(make_bounty())
        await zone.grove.claimBounty("b-1", ALICE, "gc-1")
        with pytest.raises(BountyStateError):
            await zone.us.bounties.claim_bounty("b-1", BOB, "c-1")
        bounty = await zone.us.bounties.get_bounty("b-1")
        assert bounty is not None
        assert (bounty.claim_id, bounty.claimed_by) == ("gc-1", AgentIdentity(agent_id="alice"))


async def test_a_repeat_with_its_key_finds_out_after_grove_has_moved_the_bounty_on() -> None:
    """From a process that has seen nothing of it."""
    async with shared() as zone:
        await zone.us.bounties.create_bounty(make_bounty(), idempotency_key="create")
        await zone.grove.claimBounty("b-1", ALICE, "gc-1")
    async with shared(zone.server) as again:
        repeated = await again.us.bounties.create_bounty(make_bounty(), idempotency_key="create")
        assert (repeated.status, repeated.claim_id) == (S.CLAIMED, "gc-1")
        resolution = await again.us.bounties.resolve_operation("b-1", "create")
        assert resolution.outcome is Outcome.COMMITTED


async def test_grove_respects_a_lease_of_ours_while_its_lock_is_in_place() -> None:
    """Its claim is refused, and takes nothing away; without the lock it is not."""
    theirs = on_servers.LEASE | {"claimId": "gc-1", "targetRef": "bounty:b-1"}
    async with shared() as zone:
        await zone.us.lease("b-1", "c-1", BOB)
        with pytest.raises(GroveError):
            await zone.grove.createClaim(theirs)
        assert [each["claimId"] for each in await zone.grove.activeClaims("bounty:b-1")] == ["c-1"]
        assert await zone.grove.getClaim("gc-1") is None
        await zone.us.client.delete(PATHS.target_lock("bounty:b-1"))
        await zone.grove.createClaim(theirs)
        assert len(await zone.grove.activeClaims("bounty:b-1")) == 2


async def test_grove_ends_a_lease_whosever_it_is() -> None:
    """It asks nobody who they are."""
    async with shared() as zone:
        await zone.us.lease("b-1", "c-1", BOB)
        await zone.grove.release("c-1")
        assert await zone.us.claims.active_claims("bounty:b-1") == []


@asynccontextmanager
async def laid_out(release: str, *kinds: Layout) -> AsyncIterator[Grove]:
    """A bounty that lives and one that ended, in a zone laid out like this, and then like that."""
    server = MockNexus(release, clock=lambda: NOW)
    settings = NexusSettings(zone_id=ZONE, storage_encoding="base64", follow_at_once=True)
    await lay_out(server, PATHS, kinds[0], NOW - timedelta(days=2))
    async with NexusClient(
        "http://nexus", settings=settings, transport=server.transport()
    ) as client:
        store = NexusBountyStore(client, clock=lambda: NOW)
        for bounty_id in ("living", "ended"):
            await store.create_bounty(make_bounty(bounty_id=bounty_id))
        await store.cancel_bounty("ended")
    for kind in kinds[1:]:
        await lay_out(server, PATHS, kind, NOW - timedelta(days=1))
        async with NexusClient(
            "http://nexus", settings=settings, transport=server.transport()
        ) as client:
            await NexusBountyStore(client, clock=lambda: NOW).repair_index()
    async with shared(server) as zone:
        yield zone.grove


@pytest.mark.parametrize("release", ["0.9", "0.10"])
@pytest.mark.parametrize("kind", Layout)
async def test_where_listings_name_directories_grove_cannot_list_what_ended_in_a_dated_zone(
    kind: Layout, release: str
) -> None:
    """It asks for everything beneath a status, and takes the directory of an hour for a bounty."""
    async with laid_out(release, kind) as grove:
        assert await ids(grove, "open") == ["living"]
        assert await ids(grove) == ["ended", "living"]
        if kind is Layout.DATED and release == "0.10":
            with pytest.raises(GroveError, match="File not found"):
                await ids(grove, "cancelled")
        else:
            assert await ids(grove, "cancelled") == ["ended"]


async def test_in_a_zone_that_was_dated_grove_lists_what_ended_twice_or_not_at_all() -> None:
    """The markers of hours stay when it is made flat."""
    async with laid_out("0.9", Layout.DATED, Layout.FLAT) as grove:
        assert await ids(grove, "cancelled") == ["ended", "ended"]
    async with laid_out("0.10", Layout.DATED, Layout.FLAT) as grove:
        with pytest.raises(GroveError, match="File not found"):
            await ids(grove, "cancelled")


@pytest.mark.parametrize("release", ["0.9", "0.10"])
async def test_what_has_gone_back_to_open_breaks_grove_s_listing_where_missing_is_an_error(
    release: str,
) -> None:
    """The marker of its generation looks to Grove like the id of a bounty that is not there."""
    server = MockNexus(release, clock=lambda: NOW)
    settings = NexusSettings(zone_id=ZONE, storage_encoding="base64", follow_at_once=True)
    async with NexusClient(
        "http://nexus", settings=settings, transport=server.transport()
    ) as client:
        store = NexusBountyStore(client, clock=lambda: NOW)
        await store.create_bounty(make_bounty())
        await store.claim_bounty("b-1", BOB, "c-1")
        await store.release_bounty("b-1", BOB)
    async with shared(server) as zone:
        assert await ids(zone.grove) == ["b-1"]
        if release == "0.10":
            with pytest.raises(GroveError, match="-32007"):
                await ids(zone.grove, "open")
        else:
            assert await ids(zone.grove, "open") == ["b-1"]


async def ids(grove: Grove, status: str | None = None) -> list[str]:
    found = await grove.listBounties({"status": status} if status else None)
    return sorted(each["bountyId"] for each in found)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("release", ["0.9", "0.10"])
async def test_where_commits_are_by_name_grove_reads_them_at_once_only_if_that_is_set(
    release: str, at_once: bool
) -> None:
    """Half a second later otherwise, when the client closes here."""
    server = MockNexus(release, clock=lambda: NOW)
    settings = NexusSettings(storage_encoding="base64", zone_id=ZONE, follow_at_once=at_once)
    async with httpx.AsyncClient(transport=server.transport(), base_url="http://nexus") as http:
        grove = Grove(http, ZONE, NOW)
        async with NexusClient(
            "http://nexus", settings=settings, transport=server.transport()
        ) as client:
            store = NexusBountyStore(client, clock=lambda: NOW).cleaning_up(later=True)
            await store.create_bounty(make_bounty())
            await client.flush()
            await store.claim_bounty("b-1", BOB, "c-1")
            assert await status(grove) == ("claimed" if at_once else "open")
        assert await status(grove) == "claimed"


async def status(grove: Grove) -> Any:
    return ((await grove.getBounty("b-1")) or {}).get("status")


async def test_on_the_newest_release_the_condition_of_a_write_over_a_file_refuses_nobody() -> None:
    """Both of two writers that saw the same are told that they wrote."""
    server = MockNexus("0.10")
    async with NexusClient("http://nexus", transport=server.transport()) as client:
        await client.write("/a", b"0")
        seen = await client.read("/a")
        assert seen is not None
        for content in (b"1", b"2"):
            await client.write("/a", content, if_match=seen.etag)
    assert server.read_file("/a") == b"2"


@pytest.mark.parametrize("release", ["0.5.6", "0.7.0"])
def test_the_oldest_releases_lack_what_grove_asks_for(release: str) -> None:
    """Of everything that its client calls, they know the four older methods."""
    asked = {"sys_read", "sys_write", "sys_stat", "delete", "list", "exists"}
    known = PERSONALITIES[Release(release)].methods
    assert asked - known == {"sys_read", "sys_write", "sys_stat"}


async def test_on_the_newest_release_grove_understands_no_stat_and_no_missing_file() -> None:
    """It takes both for a failure of the connection."""
    server = on_servers.a_zone(Release.V0_10)
    async with httpx.AsyncClient(transport=server.transport(), base_url="http://nexus") as http:
        client = Client(http)
        with pytest.raises(GroveError, match="metadata"):
            await client.read_with_etag(reader.bounty_path(ZONE, "there"))
        with pytest.raises(GroveError, match="-32007"):
            await client.read(reader.bounty_path(ZONE, "missing"))


async def test_each_reads_lists_and_moves_on_what_the_other_created() -> None:
    """Grove by its requests, ours by their stores."""
    async with shared() as zone:
        await zone.grove.createBounty(on_servers.BOUNTY)
        await zone.us.bounties.create_bounty(make_bounty())
        await zone.us.bounties.claim_bounty("there", BOB, "c-1")
        await zone.grove.claimBounty("b-1", ALICE, "gc-1")
        claimed = BountyQuery(status=S.CLAIMED)
        listed = {each.bounty_id for each in await zone.us.bounties.list_bounties(claimed)}
        assert listed == {"there", "b-1"}
        assert await ids(zone.grove, "claimed") == ["b-1", "there"]
        assert await ids(zone.grove, "open") == []
