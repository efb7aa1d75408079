"""Small files that ride with the next batch: they cost no request where one is sent anyway."""

from __future__ import annotations

import asyncio

import pytest

from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.deferred import Owed
from nexus_bounty.nexus.client.riding import Rider, RidingWrites
from nexus_bounty.nexus.client.settings import NexusSettings
from tests.support.virtual import virtual

DELAY = 2.0
RIDERS = ["/d/rider-1", "/d/rider-2"]
BATCH = {f"/d/f{number}": b"1" for number in range(3)}


def a_client(mock: MockNexus, **settings: float) -> NexusClient:
    settings = {"cleanup_delay": DELAY, **settings}
    return NexusClient(settings=NexusSettings(**settings), transport=mock.transport())


@virtual
async def test_the_next_batch_takes_them_along() -> None:
    """And nothing is sent for them any more."""
    mock = MockNexus()
    async with a_client(mock) as client:
        client.riding.add_markers(RIDERS)
        stored = await client.write_many(BATCH)
        assert set(stored) >= set(BATCH)
        assert set(mock.files) == {*BATCH, *RIDERS}
        await asyncio.sleep(2 * DELAY)
        assert mock.request_count == 1


@virtual
async def test_without_a_batch_they_are_written_by_themselves_soon() -> None:
    """One request for all of them; a single write is no batch."""
    mock = MockNexus()
    async with a_client(mock) as client:
        client.riding.add_markers(RIDERS)
        await client.write_many({"/d/alone": b""})
        assert set(mock.files) == {"/d/alone"}
        await asyncio.sleep(2 * DELAY)
        assert set(mock.files) == {"/d/alone", *RIDERS}
        assert mock.request_count == 2


@virtual
async def test_a_batch_does_not_grow_over_its_bound() -> None:
    """The oldest go first."""
    mock = MockNexus()
    async with a_client(mock, bulk_size=4) as client:
        client.riding.add_markers(RIDERS)
        await client.write_many(BATCH)
        assert set(mock.files) == {*BATCH, "/d/rider-1"}
        assert list(client.riding.owed) == ["/d/rider-2"]


@virtual
async def test_what_rode_with_a_batch_that_was_lost_is_written_all_the_same() -> None:
    """The batch's own files are written one by one then, and the others later."""
    mock = MockNexus()
    async with a_client(mock) as client:
        client.riding.add_markers(RIDERS)
        mock.inject(Fault(FaultKind.DROP_BEFORE, match=RequestMatch("write_batch"), times=1))
        await client.write_many(BATCH)
        assert set(mock.files) == set(BATCH)
        await asyncio.sleep(2 * DELAY)
        assert set(mock.files) == {*BATCH, *RIDERS}


@virtual
async def test_what_would_soon_cost_a_request_of_its_own_rides_and_what_came_later_waits() -> None:
    """Empty files ride whenever they came."""
    async with a_client(MockNexus()) as client:
        client.riding.add("/d/old", b"1", seq=1)
        await asyncio.sleep(DELAY / 2)
        client.riding.add("/d/new", b"1", seq=1)
        client.riding.add_markers(RIDERS)
        assert list(client.riding.with_room_for(10)) == RIDERS
        client.round_trips.answered(DELAY / 8)  # another batch may come in five times as long
        assert list(client.riding.with_room_for(10)) == ["/d/old", *RIDERS]


@virtual
async def test_how_much_waits_costs_a_batch_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that may still wait says so for all that came after it."""
    asked: list[float] = []
    may_wait = RidingWrites._may_wait

    def counting(riding: RidingWrites, owed: Owed[Rider]) -> float:
        asked.append(owed.since)
        return may_wait(riding, owed)

    async with a_client(MockNexus()) as client:
        for number in range(50):
            client.riding.add(f"/d/{number}", b"1", seq=1)
        monkeypatch.setattr(RidingWrites, "_may_wait", counting)
        assert client.riding.with_room_for(10) == {}
        assert len(asked) == 1


@virtual
async def test_what_is_put_again_while_it_rides_is_written_again() -> None:
    """By then the earlier one may have been removed."""
    mock = MockNexus()
    async with a_client(mock) as client:
        client.riding.add_markers(RIDERS[:1])
        riding = client.riding.with_room_for(10)
        client.riding.add_markers(RIDERS[:1])
        client.riding.done(riding)
        assert list(client.riding.owed) == ["/d/rider-1"]


@virtual
async def test_what_comes_after_a_file_waits_for_it() -> None:
    """Whatever batch is sent meanwhile; then both are written with one request, in that order."""
    mock = MockNexus()
    async with a_client(mock) as client:
        client.riding.add("/d/file", b"1", seq=1)
        client.riding.add_markers(RIDERS[:1], after="/d/file")
        await client.write_many(BATCH)
        assert set(mock.files) == set(BATCH)
        await asyncio.sleep(2 * DELAY)
        assert [change.path for change in mock.log[len(BATCH) :]] == ["/d/file", RIDERS[0]]
        assert mock.request_count == 2


@virtual
async def test_what_comes_after_a_file_that_is_being_written_waits_until_it_is() -> None:
    """Its own request could arrive first."""
    mock = MockNexus()
    async with a_client(mock) as client:
        client.riding.add("/d/file", b"1", seq=1)
        with client.riding.under_way(["/d/file"]):
            client.riding.add_markers(RIDERS, after="/d/file")
            await client.write_many(BATCH)
            await asyncio.sleep(2 * DELAY)
            assert set(mock.files) == set(BATCH)
        await asyncio.sleep(2 * DELAY)
        assert set(mock.files) == {*BATCH, "/d/file", *RIDERS}


@virtual
async def test_what_comes_after_a_file_that_is_not_to_be_written_does_not_wait() -> None:
    """It has been written by then."""
    mock = MockNexus()
    async with a_client(mock) as client:
        client.riding.add_markers(RIDERS, after="/d/file")
        await client.write_many(BATCH)
        assert set(mock.files) == {*BATCH, *RIDERS}


@virtual
async def test_a_batch_keeps_its_own_content_of_what_is_to_ride() -> None:
    """Who sends it is told what was stored of it."""
    mock = MockNexus()
    async with a_client(mock) as client:
        client.riding.add_markers(["/d/f0"])
        await client.write_many(BATCH)
        assert mock.read_file("/d/f0") == b"1"


@virtual
async def test_a_server_that_refuses_them_harms_nobody() -> None:
    """The reconciler looks at them."""
    mock = MockNexus()
    async with a_client(mock) as client:
        client.riding.add_markers(RIDERS)
        mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch(), times=None, status=403))
        await client.riding.flush()
        assert not client.riding.owed
        assert not mock.files


@virtual
async def test_closing_the_client_writes_them() -> None:
    """A command of a command line does not wait for others."""
    mock = MockNexus()
    async with a_client(mock) as client:
        client.riding.add_markers(RIDERS)
    assert set(mock.files) == set(RIDERS)
