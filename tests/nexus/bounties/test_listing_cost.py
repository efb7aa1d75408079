"""Listings read what they need and no more, and what is remembered never shows in the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest

from nexus_bounty import Bounty, BountyQuery, BountyStatus, NexusBountyStore
from nexus_bounty.mock import MockNexus
from nexus_bounty.mock.personality import EtagSource
from nexus_bounty.nexus.documents.cache import DATES_RENEWED_AFTER
from nexus_bounty.testing import ManualClock
from nexus_bounty.testing.builders import CREATED, make_agent, make_bounty
from tests.support.zone import Zone

S = BountyStatus
ALICE = make_agent("alice")
OPEN = BountyQuery(status=S.OPEN)
BUSY = BountyQuery(status=(S.OPEN, S.CLAIMED))


def fill(zone: Zone, number: int, first: int = 0, **overrides) -> None:
    """Open bounties with their markers, each a second younger than the one before it."""
    write = zone.mock.core.table.write
    for each in range(first, first + number):
        born = CREATED + timedelta(seconds=each)
        times = {"created_at": born, "updated_at": born}
        bounty = make_bounty(**({"bounty_id": f"b-{each:06}", **times} | overrides))
        write(zone.paths.bounty(bounty.bounty_id), msgspec.json.encode(bounty))
        write(zone.paths.marker(S.OPEN, bounty.bounty_id), b"")


def documents_read(mock: MockNexus) -> int:
    """How many documents the requests since the last count asked for."""
    return sum(
        len(request.params["paths"]) if request.method == "read_bulk" else 1
        for request in mock.requests
        if request.method in ("read", "read_bulk")
    )


async def cost(zone: Zone, listing) -> tuple[Any, int, int]:
    """What a listing returns, the requests it made and the documents it asked for."""
    zone.mock.reset_counts()
    found = await listing
    return found, zone.mock.request_count, documents_read(zone.mock)


# What they cost


async def test_the_newest_twenty_of_a_thousand_take_three_requests_and_then_two():
    """A page of markers, two bulk reads; then the markers and the twenty themselves."""
    async with Zone() as zone:
        fill(zone, 1000)
        store = await zone.store()
        query = BountyQuery(status=S.OPEN, limit=20)
        first, requests, _ = await cost(zone, store.list_bounties(query))
        assert [each.bounty_id for each in first] == [f"b-{n:06}" for n in range(999, 979, -1)]
        assert requests == 3
        assert await cost(zone, store.list_bounties(query)) == (first, 2, 20)


@pytest.mark.parametrize("personality", ["0.5.6", "0.7.0", "0.9", "0.9.26", "0.10"])
async def test_a_repeated_listing_reads_no_more_documents_than_it_returns(personality):
    """Whatever else there is, on servers with and without pages and bulk reads."""
    async with Zone(personality, page_size=7, bulk_size=5) as zone:
        fill(zone, 60)
        store = await zone.store()
        query = BountyQuery(status=S.OPEN, limit=4, offset=2)
        first, _, read = await cost(zone, store.list_bounties(query))
        assert read >= 60
        again, _, read = await cost(zone, store.list_bounties(query))
        assert again == first
        twice = 2 if personality == "0.10" else 1  # what a constant etag says nothing about
        assert read <= 6 * twice + 1  # where bulk reads find nothing, that is found out once


async def test_a_new_bounty_is_all_that_a_repeated_listing_reads_besides():
    """Its date is the only one that is not known."""
    async with Zone() as zone:
        fill(zone, 50)
        store = await zone.store()
        query = BountyQuery(status=S.OPEN, limit=5)
        await store.list_bounties(query)
        fill(zone, 1, first=1000)
        found, _, read = await cost(zone, store.list_bounties(query))
        assert found[0].bounty_id == "b-001000"
        assert read == 1 + 5


async def test_candidates_that_have_moved_on_are_made_up_for():
    """However many: in the end every document is looked at."""
    async with Zone(bulk_size=3) as zone:
        fill(zone, 30)
        store = await zone.store()
        query = BountyQuery(status=S.OPEN, limit=2)
        await store.list_bounties(query)
        other = await zone.store()
        for number in range(29, 4, -1):
            await other.claim_bounty(f"b-{number:06}", ALICE, "c-1")
            zone.mock.core.table.write(zone.paths.marker(S.OPEN, f"b-{number:06}"), b"")  # stale
        found = await store.list_bounties(query)
        assert [each.bounty_id for each in found] == ["b-000004", "b-000003"]


async def test_finding_the_expired_reads_only_what_is_due_or_new():
    """A deadline that is known and still to come is not looked at again."""
    async with Zone() as zone:
        now = zone.clock()
        fill(zone, 20, deadline=now + timedelta(hours=2))
        fill(zone, 3, first=20, deadline=now + timedelta(minutes=10))
        store = await zone.store()
        assert await cost(zone, store.find_expired_bounties()) == ([], 3, 23)
        assert await cost(zone, store.find_expired_bounties()) == ([], 2, 0)
        zone.clock.advance(timedelta(minutes=11))
        found, _, read = await cost(zone, store.find_expired_bounties())
        assert sorted(each.bounty_id for each in found) == ["b-000020", "b-000021", "b-000022"]
        assert read == 3


async def test_a_deadline_changed_by_hand_is_seen_within_the_hour():
    """Nothing that follows the protocol does that; so it is believed, but not for ever."""
    async with Zone() as zone:
        fill(zone, 1, deadline=zone.clock() + timedelta(days=1))
        store = await zone.store()
        await store.find_expired_bounties()
        fill(zone, 1, deadline=zone.clock() - timedelta(days=1))
        assert await store.find_expired_bounties() == []
        zone.clock.advance(2 * DATES_RENEWED_AFTER)
        assert len(await store.find_expired_bounties()) == 1


@pytest.mark.parametrize("personality", ["0.5.6", "0.9.26", "0.10-hypothetical"])
async def test_a_repeated_walk_reads_only_what_has_changed(personality):
    """The etags of the listing say what has."""
    async with Zone(personality, page_size=8) as zone:
        fill(zone, 40)
        store = await zone.store()
        everything = await store.list_bounties(OPEN)
        assert len(everything) == 40
        moved = await (await zone.store()).claim_bounty("b-000007", ALICE, "c-1")
        for query in (OPEN, BountyQuery()):
            found, _, read = await cost(zone, store.list_bounties(query))
            assert read <= (2 if personality == "0.9.26" else 1)  # twice, for a stale etag
            assert len(found) == (39 if query is OPEN else 40)
        assert moved in found


async def test_a_repeated_count_reads_only_what_has_changed():
    """A page of markers and a page of etags count a thousand."""
    async with Zone() as zone:
        fill(zone, 1000)
        store = await zone.store()
        assert await cost(zone, store.count_bounties(OPEN)) == (1000, 3, 1000)
        assert await cost(zone, store.count_bounties(OPEN)) == (1000, 2, 0)


async def test_etags_are_not_asked_for_when_they_would_not_spare_enough():
    """A few open bounties among many others: their documents are read, not a page of etags."""
    async with Zone(page_size=100) as zone:
        fill(zone, 5)
        store = await zone.store()
        await store.count_bounties(OPEN)
        found, requests, read = await cost(zone, store.count_bounties(OPEN))
        assert (found, requests, read) == (5, 2, 5)


async def test_etags_are_not_asked_for_again_when_others_lie_between():
    """A page of them that showed few of the open bounties is the last of its walk."""
    async with Zone(page_size=10, bulk_size=10) as zone:
        for first in range(0, 400, 10):
            fill(zone, 1, first=first)
            fill(zone, 9, first=first + 1, status=S.SETTLED)
            for number in range(first + 1, first + 10):
                zone.mock.core.table.remove(zone.paths.marker(S.OPEN, f"b-{number:06}"))
        store = await zone.store()
        await store.count_bounties(OPEN)
        found, _, read = await cost(zone, store.count_bounties(OPEN))
        assert (found, read) == (40, 40 - 1)
        pages = [each for each in zone.mock.requests if each.params.get("details")]
        assert len(pages) == 1


async def test_no_request_asks_for_more_than_its_share():
    """Pages of names, pages of documents, however many there are."""
    async with Zone(page_size=10, bulk_size=6) as zone:
        fill(zone, 95)
        store = await zone.store()
        zone.mock.reset_counts()
        assert len([each async for each in store.walk_bounties(OPEN)]) == 95
        for request in zone.mock.requests:
            assert len(request.params.get("paths", ())) <= 6
            if request.method == "list":
                assert request.params["limit"] == 10


async def test_a_walk_reads_on_only_when_it_is_asked_to():
    """Whoever stops early has not paid for the rest."""
    async with Zone(page_size=10, bulk_size=5) as zone:
        fill(zone, 100)
        store = await zone.store()
        zone.mock.reset_counts()
        async for _ in store.walk_bounties(OPEN):
            break
        assert documents_read(zone.mock) == 5


# What they show


QUERIES: Sequence[BountyQuery] = [
    OPEN,
    BUSY,
    BountyQuery(),
    BountyQuery(status=list(S)),
    BountyQuery(status=S.OPEN, limit=3),
    BountyQuery(status=S.OPEN, limit=3, offset=2),
    BountyQuery(status=(S.OPEN, S.CLAIMED), limit=4, creator_agent_id="creator-1"),
    BountyQuery(limit=5),
    BountyQuery(status=S.CLAIMED, limit=100, claimed_by_agent_id="alice"),
]


async def meddle(random: Random, zone: Zone, store: NexusBountyStore, number: int) -> None:
    """One change by somebody else: a new bounty, a claim, a release, an end, a stale marker."""
    match random.randrange(5):
        case 0:
            born = CREATED + timedelta(seconds=random.randrange(100))
            await store.create_bounty(
                make_bounty(
                    bounty_id=f"b-{number}",
                    created_at=born,
                    creator=make_agent(f"creator-{random.randrange(2)}"),
                    deadline=zone.clock() + timedelta(minutes=random.randrange(1, 40)),
                )
            )
        case 1 | 2:
            for bounty in await some(random, store, S.OPEN):
                await store.claim_bounty(bounty.bounty_id, ALICE, "c-1")
        case 3:
            for bounty in await some(random, store, S.CLAIMED):
                await store.release_bounty(bounty.bounty_id, ALICE)
        case 4:
            for bounty in await some(random, store, S.OPEN):
                await store.cancel_bounty(bounty.bounty_id)
                marker = zone.paths.marker(S.OPEN, bounty.bounty_id)
                zone.mock.core.table.write(marker, b"")
    zone.clock.advance(timedelta(minutes=random.randrange(4)))


async def some(random: Random, store: NexusBountyStore, status: BountyStatus) -> list[Bounty]:
    found = await store.list_bounties(BountyQuery(status=status))
    return random.sample(found, min(len(found), random.randrange(3)))


def nodes(personality: str, etag: EtagSource, clock: ManualClock) -> tuple[MockNexus, MockNexus]:
    """Through what is written, and through what is read: one server, where that can be.

    Where reads show the etag of what was overwritten, and it is no hash, no if_match can be met:
    then what is written goes through a node that shows them as they are.
    """
    server = MockNexus(personality, atomic=True, clock=clock, etag=etag)
    if not (server.core.personality.stale_etags and etag == "version"):
        return server, server
    true = replace(server.core.personality, stale_etags=False)
    written = MockNexus(true, atomic=True, clock=clock, etag=etag)
    server.core.table = written.core.table
    return written, server


async def compare(personality: str, etag: EtagSource, remembered: int, rounds: int) -> None:
    """Let others change things, and hold a store that remembers against one that does not."""
    random = Random(f"{personality}{etag}{remembered}")
    memory = {"remembered_documents": remembered, "remembered_dates": remembered}
    async with Zone(personality, page_size=3, bulk_size=2, **memory) as zone:
        zone.mock, read = nodes(personality, etag, zone.clock)
        meddling, knowing = await zone.store(), await zone.store(read.transport())
        for number in range(rounds):
            await meddle(random, zone, meddling, number)
            fresh = await zone.store(read.transport())
            for query in random.sample(list(QUERIES), 3):
                assert await knowing.list_bounties(query) == await fresh.list_bounties(query)
                assert await knowing.count_bounties(query) == await fresh.count_bounties(query)
            assert await knowing.find_expired_bounties() == await fresh.find_expired_bounties()


@pytest.mark.parametrize(
    ("personality", "etag", "remembered"),
    [("0.10", "content", 4), ("0.10", "path", 1000), ("0.5.6", "content", 1000)],
)
async def test_a_store_that_remembers_lists_what_one_that_does_not_would(
    personality, etag, remembered
):
    """After any changes by others, for any query, with any kind of etag, however much it keeps."""
    await compare(personality, etag, remembered, rounds=12)


@pytest.mark.exhaustive
@pytest.mark.parametrize("etag", ["content", "version", "path"])
@pytest.mark.parametrize("personality", ["0.5.6", "0.7.0", "0.9", "0.9.26", "0.10"])
@pytest.mark.parametrize("remembered", [0, 4, 1000])
async def test_a_store_that_remembers_lists_the_same_for_long(personality, etag, remembered):
    """The same, for more changes on more servers."""
    await compare(personality, etag, remembered, rounds=60)


async def test_an_unreadable_document_is_warned_of_in_every_listing(caplog):
    """Though it has not changed since the last one."""
    async with Zone("0.5.6") as zone:
        fill(zone, 4)
        other = msgspec.json.encode({"bountyId": "b-000002", "status": "gone"})
        zone.mock.core.table.write(zone.paths.bounty("b-000002"), other)
        store = await zone.store()
        for _ in range(3):
            caplog.clear()
            assert len(await store.list_bounties(OPEN)) == 3
            assert "b-000002" in caplog.text


async def test_a_bounty_that_moves_while_it_is_listed_is_listed_once():
    """In two statuses that are both asked for, with a date that is known."""
    async with Zone() as zone:
        fill(zone, 3)
        mover = await zone.store()
        for at in range(1, 8):

            async def move() -> None:
                bounty = await mover.get_bounty("b-000001")
                assert bounty is not None
                if bounty.status is S.OPEN:
                    await mover.claim_bounty("b-000001", ALICE, "c-1")
                else:
                    await mover.release_bounty("b-000001", ALICE)

            line = zone.interrupted(at, move)
            lister = await zone.store(line)
            for _ in range(2):
                found = await lister.list_bounties(
                    BountyQuery(status=(S.OPEN, S.CLAIMED), limit=10)
                )
                assert sorted(each.bounty_id for each in found) == [
                    f"b-{number:06}" for number in range(3)
                ]
