"""Listings show every committed bounty, as it stands, and nothing else, whoever wrote it."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64decode
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    BountyExistsError,
    BountyNotFoundError,
    BountyQuery,
    BountyStatus,
    Outcome,
    PreCommitError,
    UnreadableDocumentError,
)
from nexus_bounty.mock import Fault, FaultKind, ReceivedRequest, RequestMatch
from nexus_bounty.testing.bounties_suite import LIFE, MOVES
from nexus_bounty.testing.builders import make_agent, make_bounty, make_bounty_in, make_reward
from tests.support.zone import Zone

S = BountyStatus
ALICE = make_agent("alice")
BUSY = BountyQuery(status=(S.OPEN, S.CLAIMED))
RELEASES = ("0.5.6", "0.7.0", "0.9", "0.9.26", "0.10-hypothetical")

legal_moves = pytest.mark.parametrize(
    ("move", "source"),
    [(move, source) for move in MOVES for source in BountyStatus if source in move.sources],
    ids=lambda part: getattr(part, "method", str(part)),
)


def ids(bounties) -> list[str]:
    return sorted(each.bounty_id for each in bounties)


# While bounties move


async def come_and_go(store, bounty_id: str, rounds: int = 4) -> None:
    for number in range(rounds):
        await store.claim_bounty(bounty_id, ALICE, f"c-{number}")
        await store.release_bounty(bounty_id, ALICE)


@pytest.mark.parametrize("personality", RELEASES)
async def test_no_listing_misses_a_bounty_that_comes_and_goes(personality):
    """However often it is claimed and released meanwhile, in every listing it is there once."""
    async with Zone(personality) as zone:
        store = await zone.store()
        everything = [f"b-{number}" for number in range(4)]
        for bounty_id in everything:
            await store.create_bounty(make_bounty(bounty_id=bounty_id))
        async with asyncio.TaskGroup() as movers:
            moving = [movers.create_task(come_and_go(store, each)) for each in everything]
            listings = 0
            while not all(task.done() for task in moving):
                assert ids(await store.list_bounties(BUSY)) == everything
                assert await store.count_bounties(BUSY) == len(everything)
                listings += 1
        assert listings > 2


@pytest.mark.parametrize("personality", RELEASES)
@pytest.mark.parametrize("page_size", [1, 2, 3])
async def test_pages_of_markers_miss_nothing_while_others_move(personality, page_size):
    """Bounties that stay open are in every listing, whatever is written and deleted around."""
    async with Zone(personality, page_size=page_size, bulk_size=2) as zone:
        store = await zone.store()
        for number in range(6):
            await store.create_bounty(make_bounty(bounty_id=f"b-{number}"))
        staying = {"b-0", "b-2", "b-5"}
        async with asyncio.TaskGroup() as movers:
            moving = [movers.create_task(come_and_go(store, f"b-{n}", 2)) for n in (1, 3, 4)]
            while not all(task.done() for task in moving):
                assert set(ids(await store.list_bounties(BountyQuery(status=S.OPEN)))) >= staying
                assert len(await store.list_bounties()) == 6


@pytest.mark.parametrize("method", ["claim_bounty", "release_bounty"])
async def test_a_move_just_before_any_request_of_a_listing_hides_nothing(method):
    """Each request of the listing in turn; the bounty is listed once, where it was or is."""
    move = next(each for each in MOVES if each.method == method)
    source = S.OPEN if method == "claim_bounty" else S.CLAIMED
    for at in range(1, 6):
        async with Zone() as zone:
            mover = await zone.store()
            await mover.create_bounty(make_bounty_in(source))
            lister = await zone.store(zone.interrupted(at, partial(move.make, mover)))
            assert ids(await lister.list_bounties(BUSY)) == ["b-1"]


async def test_a_bounty_is_listed_as_soon_as_it_is_committed(zone, store):
    """Even if its writer hears nothing of it: the marker was there before."""
    match = RequestMatch("write", "*/bounties/b-1.json")
    zone.mock.inject(Fault(FaultKind.DROP_AFTER, match=match))
    seen = await zone.store()

    async def look() -> None:
        assert ids(await seen.list_bounties(BountyQuery(status=S.OPEN))) == ["b-1"]

    creator = await zone.store(zone.interrupted(3, look))
    await creator.create_bounty(make_bounty())


async def test_a_marker_alone_lists_nothing(store, peer):
    """What was announced and not committed is not there."""
    await peer.mark("open", "b-1")
    assert await store.list_bounties(BountyQuery(status=S.OPEN)) == []


async def test_a_stale_marker_lists_a_bounty_nowhere_but_in_its_status(store, peer):
    """Listings re-check the document."""
    bounty = await store.create_bounty(make_bounty_in(S.SETTLED))
    for status in BountyStatus:
        await peer.mark(status.value, "b-1")
    for status in BountyStatus:
        found = await store.list_bounties(BountyQuery(status=status))
        assert found == ([bounty] if status is S.SETTLED else [])


async def test_a_bounty_with_several_markers_is_listed_once(store):
    """A plain one and one of a generation are markers of the same bounty."""
    await store.create_bounty(make_bounty())
    await come_and_go(store, "b-1", 1)
    assert ids(await store.list_bounties(BountyQuery(status=S.OPEN))) == ["b-1"]


# What cannot be read


UNREADABLE = {
    "nothing": b"",
    "text": b"not a document",
    "binary": b"\x00\xff\xfe",
    "half": b'{"bountyId": "b-2", "title"',
    "list": b"[]",
    "empty": b"{}",
    "status": json.dumps({"status": 7}).encode(),
    "evidence": json.dumps({"nexusBounty": 7}).encode(),
}


def unreadable(name: str) -> bytes:
    """Not a document, or a whole bounty but for one key."""
    content = UNREADABLE[name]
    if name in ("status", "evidence"):
        whole = json.loads(msgspec.json.encode(make_bounty(bounty_id="b-2")))
        return json.dumps(whole | json.loads(content)).encode()
    return content


@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_unreadable_document_is_left_out_with_a_warning(zone, store, peer, caplog, name):
    """One bad file hides no other; the warning names it."""
    bounty = await store.create_bounty(make_bounty())
    await (await zone.client()).write(zone.paths.bounty("b-2"), unreadable(name))
    await peer.mark("open", "b-2")
    caplog.set_level(logging.WARNING, "nexus_bounty")
    for query in (BountyQuery(), BountyQuery(status=S.OPEN)):
        caplog.clear()
        assert await store.list_bounties(query) == [bounty]
        (warning,) = caplog.records
        assert zone.paths.bounty("b-2") in warning.getMessage()
    assert await store.count_bounties() == 1


@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_unreadable_document_is_refused_and_left_as_it_is(zone, store, name):
    """Reading it says what is wrong; no transition touches it, and no create takes its place."""
    content = unreadable(name)
    await (await zone.client()).write(zone.paths.bounty("b-2"), content)
    with pytest.raises(UnreadableDocumentError):
        await store.get_bounty("b-2")
    with pytest.raises(PreCommitError):
        await store.claim_bounty("b-2", ALICE, "c-1")
    assert zone.content("b-2") == content


async def test_an_unreadable_reward_is_left_out_with_a_warning(zone, store, caplog):
    """As bounties are."""
    reward = await store.record_reward(make_reward())
    await (await zone.client()).write(zone.paths.reward("r-2"), b"not a document")
    assert await store.list_rewards() == [reward]
    assert "r-2" in caplog.text


# Tombstones


async def test_a_tombstone_is_hidden(store):
    """What was fenced off does not exist: not found, not listed, not counted."""
    await store.resolve_operation("b-1", "died")
    assert await store.get_bounty("b-1") is None
    for query in (BountyQuery(), BountyQuery(status=list(BountyStatus))):
        assert await store.list_bounties(query) == []
        assert await store.count_bounties(query) == 0
    with pytest.raises(BountyNotFoundError):
        await store.cancel_bounty("b-1")


async def test_a_tombstone_is_hidden_even_where_a_marker_points_to_it(store, peer):
    """That of the create that was aborted."""
    await peer.mark("open", "b-1")
    await peer.mark("cancelled", "b-1")
    await store.resolve_operation("b-1", "died")
    assert await store.list_bounties(BountyQuery(status=list(BountyStatus))) == []


async def test_a_tombstone_is_a_cancelled_bounty_to_the_peer(store, zone):
    """A whole, valid document, so that programs that do not know us understand it."""
    await store.resolve_operation("b-1", "died")
    document = json.loads(zone.content())
    assert document["status"] == "cancelled"
    assert document["bountyId"] == "b-1"
    assert {"title", "creator", "amount", "criteria", "deadline", "createdAt"} <= document.keys()


async def test_a_bounty_may_be_created_where_a_tombstone_is(store):
    """Under another key; the key that was fenced off stays so."""
    await store.resolve_operation("b-1", "died")
    with pytest.raises(PreCommitError):
        await store.create_bounty(make_bounty(), idempotency_key="died")
    bounty = await store.create_bounty(make_bounty())
    assert await store.get_bounty("b-1") == bounty
    assert await store.list_bounties(BountyQuery(status=S.OPEN)) == [bounty]
    with pytest.raises(BountyExistsError):
        await store.create_bounty(make_bounty())


async def test_a_hidden_reward_may_be_recorded_again(zone, store):
    """A tombstone of a reward is no reward."""
    zone.mock.inject(everything_but_fences("*/rewards/*"))
    with pytest.raises(PreCommitError):
        await (await zone.store()).record_reward(make_reward(), idempotency_key="k-1")
    zone.mock.clear_faults()
    assert await store.list_rewards() == []
    assert not await store.has_reward(make_reward().reward_id)
    reward = await store.record_reward(make_reward(), idempotency_key="k-2")
    assert await store.list_rewards() == [reward]


def everything_but_fences(path: str) -> Fault:
    """Writes of documents are answered 503 and not applied, unless they are fences."""
    match = RequestMatch("write", path, predicate=lambda request: not is_fence(request))
    return Fault(FaultKind.STATUS_BEFORE, match=match, times=None)


def is_fence(request: ReceivedRequest) -> bool:
    content = request.content or b""
    text = content if content.startswith(b"{") else b64decode(content)
    return b'"aborted":true' in text


# Shared with the peer


@pytest.mark.parametrize("personality", RELEASES)
async def test_what_the_peer_created_is_found_and_listed(personality):
    """Base64 of JSON, and an empty marker."""
    async with Zone(personality) as zone:
        store, peer = await zone.store(), await zone.peer()
        await peer.create(make_bounty(context={"ä": [1]}))
        found = await store.get_bounty("b-1")
        assert found == make_bounty(context={"ä": [1]})
        assert await store.list_bounties() == [found]
        assert await store.list_bounties(BountyQuery(status=S.OPEN)) == [found]
        assert all(index.healthy for index in await store.list_index_statuses())


@legal_moves
async def test_what_the_peer_created_is_moved_on_and_stays_readable_to_it(
    zone, store, peer, move, source
):
    """In its encoding, with its keys in their order, and a plain marker in the new status."""
    before = await peer.create(make_bounty_in(source), xTeam={"lead": "T", "n": [1, None]})
    moved = await move.make(store)
    after = await peer.get()
    assert after["status"] == moved.status.value
    assert after["xTeam"] == before["xTeam"]
    kept = [key for key in before if key in after]
    assert [key for key in after if key in before] == kept
    assert b64decode(zone.content(), validate=True).startswith(b"{")
    assert "b-1" in zone.markers(move.target)


async def test_what_we_created_raw_stays_raw(zone, store):
    """A document keeps the encoding in which it was found."""
    await store.create_bounty(make_bounty(status=S.DRAFT))
    for method in LIFE:
        await next(move for move in MOVES if move.method == method).make(store)
        assert zone.content().startswith(b"{")


async def test_the_peer_reads_and_moves_what_we_create_in_its_encoding():
    """Told to write base64, a store is one more of the peer's kind."""
    async with Zone(storage_encoding="base64") as zone:
        store, peer = await zone.store(), await zone.peer()
        await store.create_bounty(make_bounty())
        await peer.move(S.CLAIMED, claimedBy={"agentId": "bob"}, claimId="c-9")
        claimed = await store.complete_bounty("b-1", "cid-1")
        assert (claimed.claimed_by, claimed.claim_id) == (make_agent("bob"), "c-9")
        assert (await peer.get())["fulfilledByCid"] == "cid-1"


async def test_peer_and_we_take_turns_through_a_whole_life(zone, store, peer):
    """After every step both see the same bounty, and every listing has it in its status."""
    await peer.create(make_bounty(status=S.DRAFT), xTeam="T")
    await store.fund_bounty("b-1", "r-1")
    await peer.move(S.CLAIMED, claimedBy={"agentId": "alice", "xBadge": 7}, claimId="c-1")
    await store.release_bounty("b-1", ALICE)
    await peer.move(S.CLAIMED, claimedBy={"agentId": "alice", "xBadge": 7}, claimId="c-2")
    assert ids(await store.list_bounties(BountyQuery(status=S.CLAIMED))) == ["b-1"]
    await store.begin_settlement("b-1", "cid-1")
    await peer.move(S.COMPLETED)
    settled = await store.settle_bounty("b-1")
    assert settled.status is S.SETTLED
    document = await peer.get()
    assert (document["xTeam"], document["claimedBy"]["xBadge"]) == ("T", 7)
    for status in BountyStatus:
        listed = await store.list_bounties(BountyQuery(status=status))
        assert listed == ([settled] if status is S.SETTLED else [])


async def test_what_the_peer_did_meanwhile_is_not_overwritten():
    """A store that remembers an older version finds out by its precondition."""
    async with Zone(storage_encoding="base64") as zone:
        store, peer = await zone.store(), await zone.peer()
        await store.create_bounty(make_bounty())
        await peer.move(S.OPEN, xNew=1)
        assert (await store.claim_bounty("b-1", ALICE, "c-1")).status is S.CLAIMED
        assert (await peer.get())["xNew"] == 1


async def test_a_fence_on_a_bounty_of_the_peer_hides_nothing(zone, store, peer):
    """An operation that never landed is fenced off; the bounty is there as before."""
    await peer.create(make_bounty())
    before = await store.get_bounty("b-1")
    resolution = await store.resolve_operation("b-1", "died")
    assert resolution.outcome is Outcome.PRE_COMMIT
    for each in (store, await zone.store()):
        assert await each.get_bounty("b-1") == before
        assert await each.list_bounties() == [before]
        assert await each.list_bounties(BountyQuery(status=S.OPEN)) == [before]
    assert (await store.claim_bounty("b-1", ALICE, "c-1")).status is S.CLAIMED


async def test_a_fenced_claim_of_a_bounty_of_the_peer_hides_nothing(zone, store, peer):
    """The same, when the fence is the store's own way of giving up."""
    await peer.create(make_bounty())
    zone.mock.inject(everything_but_fences("*.json"))
    with pytest.raises(PreCommitError):
        await store.claim_bounty("b-1", ALICE, "c-1")
    zone.mock.clear_faults()
    bounty = await (await zone.store()).get_bounty("b-1")
    assert bounty == make_bounty()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-01-02T03:04:05.678Z", datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
async def test_times_of_other_writers_are_read_as_utc(store, peer, written, meant):
    """With milliseconds, with an offset, or with no zone at all; and they sort together."""
    times = {"createdAt": written, "updatedAt": written, "deadline": written}
    await peer.create(make_bounty(), **times)
    await peer.create(make_bounty(bounty_id="b-2"))
    found = await store.get_bounty("b-1")
    assert found.created_at == found.updated_at == found.deadline == meant
    assert found.created_at.tzinfo is UTC
    assert [each.bounty_id for each in await store.list_bounties()] == ["b-1", "b-2"]
    assert ids(await store.find_expired_bounties(datetime(2027, 1, 1, tzinfo=UTC))) == ["b-1"]


@pytest.mark.parametrize("bounty_id", ["a/b", "100%", "a%2Fb", "x%@3"])
async def test_ids_that_only_the_peer_allows_are_listed(zone, store, peer, bounty_id):
    """Decoded as the peer encodes them, by document and by marker."""
    await peer.create(make_bounty(bounty_id=bounty_id))
    assert ids(await store.list_bounties()) == [bounty_id]
    assert ids(await store.list_bounties(BountyQuery(status=S.OPEN))) == [bounty_id]
    assert all(index.healthy for index in await store.list_index_statuses())


async def test_a_marker_that_the_peer_lost_is_found_missing_and_repaired(store, peer):
    """It writes its marker after its document, and may die between them."""
    await peer.create(make_bounty())
    await peer.unmark("open", "b-1")
    assert await store.list_bounties(BountyQuery(status=S.OPEN)) == []
    await store.repair_index()
    assert ids(await store.list_bounties(BountyQuery(status=S.OPEN))) == ["b-1"]


async def test_other_files_among_the_bounties_do_no_harm(zone, store, peer, caplog):
    """What is no bounty is named in a warning, and the rest is listed."""
    bounty = await store.create_bounty(make_bounty())
    await peer.write(f"{zone.paths.bounties}/README.md", b"# About this directory")
    assert await store.list_bounties() == [bounty]
    assert "README.md" in caplog.text


async def test_a_directory_among_the_bounties_is_passed_over(zone, store, peer):
    """Files within it are not bounties of this zone."""
    bounty = await store.create_bounty(make_bounty())
    await peer.write(f"{zone.paths.bounties}/archive/b-0.json", b"{}")
    listed: list[Any] = await store.list_bounties()
    assert listed == [bounty]
