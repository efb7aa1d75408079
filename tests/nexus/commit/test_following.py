"""Files that follow their slots a moment later: what everybody sees meanwhile, and in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.client.deferred import CLOSING_TIMEOUT
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.testing.builders import make_bounty, make_bounty_in
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.racing import DOCUMENT, QUIRKS, ZONE, on_every_release, racing
from tests.support.transports import Carrier
from tests.support.virtual import virtual

BOB = AgentIdentity(agent_id="bob")
DELAY = 0.5


@asynccontextmanager
async def a_store(
    mock: MockNexus, transport: Any = None, **settings: Any
) -> AsyncIterator[NexusBountyStore]:
    """A store as the operations use it, on a client of its own."""
    async with a_client(mock, transport, **settings) as client:
        commit = RenameCommit(client, QUIRKS[mock.personality.name])
        store = NexusBountyStore(client, commit=commit, clock=wall_clock)
        yield store.cleaning_up(later=True)


def a_client(mock: MockNexus, transport: Any = None, **settings: Any) -> NexusClient:
    given = NexusSettings(**{"url": "http://nexus", "cleanup_delay": DELAY, **settings})
    return NexusClient(settings=given, transport=transport or mock.transport())


def status_in_file(mock: MockNexus) -> str | None:
    content = mock.read_file(DOCUMENT)
    return msgspec.json.decode(content)["status"] if content else None


def writes_of(mock: MockNexus, path: str) -> int:
    return len(mock.history(path))


@on_every_release
@virtual
async def test_the_slots_tell_everybody_at_once_and_the_file_others_a_moment_later(
    release: str,
) -> None:
    """One write of the file for all the commits of that moment."""
    mock = racing(release)
    async with a_store(mock) as store, a_store(mock) as other:
        await store.create_bounty(make_bounty_in(BountyStatus.DRAFT))
        await store.fund_bounty("b-1", "r-1")
        await store.claim_bounty("b-1", BOB, "c-1")
        assert status_in_file(mock) is None
        seen = await other.get_bounty("b-1")
        assert seen is not None
        assert seen.status is BountyStatus.CLAIMED
        assert await other.list_bounties(BountyQuery(status=BountyStatus.CLAIMED)) == [seen]
        assert len(await other.get_history("b-1")) == 3
    assert status_in_file(mock) == "claimed"


@on_every_release
@virtual
async def test_commits_of_one_moment_share_one_write_of_the_file(release: str) -> None:
    mock = racing(release)
    async with a_store(mock) as store:
        await store.create_bounty(make_bounty_in(BountyStatus.DRAFT))
        await store.fund_bounty("b-1", "r-1")
        await store.claim_bounty("b-1", BOB, "c-1")
        await asyncio.sleep(DELAY + 0.1)
        assert status_in_file(mock) == "claimed"
        assert writes_of(mock, DOCUMENT) == 1


@on_every_release
@virtual
async def test_whoever_reads_after_a_process_that_died_brings_its_file_up_to_date(
    release: str,
) -> None:
    """Nothing is left of what it had left for later."""
    mock = racing(release)
    client = a_client(mock)
    commit = RenameCommit(client, QUIRKS[release])
    store = NexusBountyStore(client, commit=commit, clock=wall_clock).cleaning_up(later=True)
    await store.create_bounty(make_bounty())
    await store.claim_bounty("b-1", BOB, "c-1")
    await client.riding.stop()  # dead from now on
    assert status_in_file(mock) is None
    async with a_store(mock) as store:
        seen = await store.get_bounty("b-1")
        assert seen is not None
        assert seen.status is BountyStatus.CLAIMED
    assert status_in_file(mock) == "claimed"


@virtual
async def test_a_file_that_could_not_follow_is_left_to_the_next_reader() -> None:
    """And the commit stands."""
    mock = racing()
    mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("write", DOCUMENT), times=99))
    async with a_store(mock, retry_attempts=1) as store:
        await store.create_bounty(make_bounty())
        await asyncio.sleep(2 * DELAY)
        assert status_in_file(mock) is None
        mock.clear_faults()
        assert await store.get_bounty("b-1") is not None
        assert status_in_file(mock) == "open"


@virtual
async def test_what_follows_late_takes_nothing_back() -> None:
    """The batch with an older content is carried out after everything else."""
    mock = racing()
    mock.inject(Fault(FaultKind.LATE, match=RequestMatch("write", DOCUMENT), after_requests=1000))
    async with a_store(mock) as store:
        await store.create_bounty(make_bounty())
        await asyncio.sleep(2 * DELAY)
        await store.claim_bounty("b-1", BOB, "c-1")
        await asyncio.sleep(2 * DELAY)
    await mock.settle()
    assert status_in_file(mock) == "open"
    async with a_store(mock) as store:
        seen = await store.get_bounty("b-1")
        assert seen is not None
        assert seen.status is BountyStatus.CLAIMED


class Unhurried(Carrier):
    """Takes its time for the first write of the document, and carries it whoever stops waiting."""

    def __init__(self, inner: httpx.AsyncBaseTransport, seconds: float) -> None:
        super().__init__(inner)
        self._seconds = seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        writes = "write" in request.url.path and DOCUMENT.encode() in await request.aread()
        if not writes or not self._seconds:
            return await super().handle_async_request(request)
        seconds, self._seconds = self._seconds, 0
        return await asyncio.shield(asyncio.ensure_future(self._after(seconds, request)))

    async def _after(self, seconds: float, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(seconds)
        return await super().handle_async_request(request)


@virtual
async def test_closing_waits_for_the_file_that_is_being_written_before_it_writes_a_newer_one() -> (
    None
):
    """Or the older one might arrive last, and stay for those who know no slots."""
    mock = racing()
    async with a_store(mock, Unhurried(mock.transport(), 1)) as store:
        await store.create_bounty(make_bounty())
        await asyncio.sleep(DELAY + 0.1)
        await store.claim_bounty("b-1", BOB, "c-1")
    await asyncio.sleep(2)
    assert status_in_file(mock) == "claimed"


@virtual
async def test_closing_does_not_wait_for_ever_for_a_file_that_is_being_written() -> None:
    """What it gives up on is left to the next reader."""
    mock, time = racing(), asyncio.get_running_loop().time
    async with a_store(mock, Unhurried(mock.transport(), 3600), request_timeout=7200) as store:
        await store.create_bounty(make_bounty())
        await asyncio.sleep(DELAY + 0.1)
        began = time()
    assert time() - began == CLOSING_TIMEOUT


@pytest.mark.parametrize("seconds", [0, 1], ids=["still waiting", "being written"])
@virtual
async def test_a_file_that_is_written_at_once_is_not_taken_back_by_what_was_to_follow(
    seconds: float,
) -> None:
    """Whether an earlier commit's content still waits for others or is under way already."""
    mock = racing()
    async with a_store(mock, Unhurried(mock.transport(), seconds)) as store:
        await store.create_bounty(make_bounty())
        await asyncio.sleep(DELAY + 0.1 if seconds else 0)
        await store.cleaning_up(later=False).claim_bounty("b-1", BOB, "c-1")
        assert status_in_file(mock) == "claimed"
        await asyncio.sleep(2)
        assert status_in_file(mock) == "claimed"


@pytest.mark.parametrize("at_once", [False, True])
@virtual
async def test_a_setting_makes_files_follow_before_a_call_returns(at_once: bool) -> None:
    """For programs that know no slots and write the zone, too."""
    mock = racing()
    async with a_store(mock, follow_at_once=at_once) as store:
        await store.create_bounty(make_bounty())
        assert (status_in_file(mock) == "open") is at_once


@virtual
async def test_a_store_of_its_own_leaves_nothing_for_later() -> None:
    """Only the operations do, which say so."""
    mock = racing()
    async with a_client(mock) as client:
        store = NexusBountyStore(client, commit=RenameCommit(client), clock=wall_clock)
        await store.create_bounty(make_bounty())
        assert status_in_file(mock) == "open"


@virtual
async def test_what_another_program_did_is_seen_by_whoever_has_not_looked_for_a_moment() -> None:
    """A base that was seen a moment ago is committed over; an older one is compared first."""
    mock = racing()
    async with a_store(mock) as store:
        await store.create_bounty(make_bounty())
        await asyncio.sleep(2 * DELAY)
        value = msgspec.json.decode(mock.read_file(DOCUMENT) or b"")
        async with a_client(mock) as peer:
            await peer.write(DOCUMENT, msgspec.json.encode(value | {"title": "by another"}))
        claimed = await store.claim_bounty("b-1", BOB, "c-1")
        assert claimed.title == "by another"


@on_every_release
@virtual
async def test_a_lease_that_is_only_in_a_slot_is_held(release: str) -> None:
    """By whoever has it, before its lock and its document are files."""
    mock = racing(release)
    hour = timedelta(hours=1)
    async with a_client(mock) as client, a_client(mock) as another:
        first, second = (
            NexusClaimStore(
                each, commit=RenameCommit(each, QUIRKS[release]), clock=wall_clock
            ).cleaning_up(later=True)
            for each in (client, another)
        )
        held = await first.claim_or_renew("bounty:b-1", BOB, claim_id="c-1", lease=hour)
        assert mock.read_file(ZONE.target_lock("bounty:b-1")) is None
        assert await second.active_claims("bounty:b-1") == [held]
        again = await second.claim_or_renew("bounty:b-1", BOB, claim_id="c-2", lease=hour)
        assert again.claim_id == "c-1"
    assert mock.read_file(ZONE.target_lock("bounty:b-1")) == b"c-1"
