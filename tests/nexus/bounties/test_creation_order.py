"""The newest bounties are found by names alone, and only where no bounty can be missed by that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random

import msgspec
import pytest

from nexus_bounty import (
    BountyQuery,
    BountyStatus,
    CommitUnknownError,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.idempotency import EVIDENCE_KEY
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.documents import paths
from nexus_bounty.nexus.documents.marker_layout import Layout
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing import ManualClock
from nexus_bounty.testing.builders import CREATED, make_agent, make_bounty
from tests.support.layouts import lay_out

S = BountyStatus
ALICE = make_agent("alice")
Z = ZonePaths("z")
LONG_AGO = CREATED - timedelta(days=9)
COMPLETE = Z.all_are_dated(S.OPEN, LONG_AGO)
NEWEST = BountyQuery(status=S.OPEN, limit=20)
PERSONALITIES = ["0.10-hypothetical", "0.10", "0.7.0", "0.9.26", "0.9"]


def fill(mock: MockNexus, number: int, *, first: int = 0, dated: bool = True) -> None:
    """Open bounties as this library leaves them, each a second younger than the one before."""
    write = mock.core.table.write
    for each in range(first, first + number):
        born = CREATED + timedelta(seconds=each)
        # ids that are in another order than the dates
        bounty = make_bounty(
            bounty_id=f"b-{each * 7919 % 1_000_003:07}", created_at=born, updated_at=born
        )
        value = msgspec.to_builtins(bounty) | {EVIDENCE_KEY: {"schema": 1, "seq": 1, "ops": []}}
        marker = Z.marker(S.OPEN, bounty.bounty_id)
        write(Z.bounty(bounty.bounty_id), msgspec.json.encode(value))
        write(marker, b"")
        if dated:
            write(paths.dated(marker, born), b"")


class Ordered:
    """A zone whose programs all write dated markers."""

    def __init__(self, personality: str = "0.10-hypothetical", **settings: object) -> None:
        self.clock = ManualClock()
        self.mock = MockNexus(personality, clock=self.clock)
        self.settings = NexusSettings(**({"retry_base": 0, "request_timeout": 0.05} | settings))

    @asynccontextmanager
    async def store(self, **settings: object) -> AsyncIterator[NexusBountyStore]:
        """A store of a process of its own, which has seen nothing yet."""
        if Z.pinned_verdict not in self.mock.files:
            await lay_out(self.mock, Z, Layout.DATED, LONG_AGO)
        chosen = NexusSettings(**{**dict(self.settings), **settings})
        transport = self.mock.transport()
        async with NexusClient("http://nexus", settings=chosen, transport=transport) as client:
            yield NexusBountyStore(client, "z", clock=self.clock)

    async def reconciled(self) -> None:
        """What a run of the reconciler does to the index, in a process of its own."""
        async with self.store() as store:
            async for page in store.audit_index():
                await store.repair_markers(page.faults)
            await store.collect_leftovers()

    async def ready(self, number: int) -> None:
        """So many bounties, on a server whose verdict is pinned, in a complete order."""
        async with self.store() as store:
            await store.create_bounty(make_bounty(bounty_id="first"))
            await store.cancel_bounty("first")
        fill(self.mock, number)
        self.mock.core.table.write(COMPLETE, b"")

    def is_complete(self) -> bool:
        return COMPLETE in self.mock.files

    def dated(self) -> set[str]:
        directory = f"{Z.newest_first(S.OPEN)}/"
        names = (path for path in self.mock.files if path.startswith(directory))
        return {paths.marked_id(paths.undated(each)) for each in names if "/-" not in each}


async def newest(store: NexusBountyStore, limit: int = 20) -> list[str]:
    query = BountyQuery(status=S.OPEN, limit=limit)
    return [each.bounty_id for each in await store.list_bounties(query)]


async def truly_newest(zone: Ordered, limit: int = 20) -> list[str]:
    """What a program finds that reads every name and every date."""
    async with zone.store(follow_at_once=True) as store:
        return await newest(store, limit)


# What it costs


SLOW = pytest.mark.exhaustive
ONE_BY_ONE = {"0.9": 20}
"""A release without bulk reads reads the twenty one by one, at the same time."""


@pytest.mark.parametrize("personality", PERSONALITIES)
@pytest.mark.parametrize(
    "number", [1_000, pytest.param(10_000, marks=SLOW), pytest.param(100_000, marks=SLOW)]
)
async def test_the_newest_twenty_take_six_requests_cold_and_three_warm(personality, number):
    """However many there are; on 0.9.9 to 0.9.23, which have no bulk reads, twenty more cold."""
    # 0.7.0 answers with every name at once, which takes a machine as long as it takes
    zone = Ordered(personality, max_answer_bytes=10**9, request_timeout=60)
    await zone.ready(number)
    async with zone.store() as store:
        for most in (6 + ONE_BY_ONE.get(personality, 0), 3):
            zone.mock.reset_counts()
            found = await store.list_bounties(NEWEST)
            assert [each.created_at for each in found] == [
                CREATED + timedelta(seconds=number - each) for each in range(1, 21)
            ]
            assert zone.mock.request_count <= most


async def test_a_life_takes_no_request_more_for_it():
    """Dated markers ride in batches that are sent anyway."""
    counts = []
    for kind in Layout:
        zone = Ordered()
        await lay_out(zone.mock, Z, kind, LONG_AGO)
        async with zone.store() as store:
            store = store.cleaning_up(later=True)
            await store.create_bounty(make_bounty(status=S.DRAFT, reservation_id=None))
            zone.mock.reset_counts()
            await store.create_bounty(
                make_bounty(bounty_id="b-2", status=S.DRAFT, reservation_id=None)
            )
            await store.fund_bounty("b-2", "r-1")
            await store.claim_bounty("b-2", ALICE, "c-1")
            await store.begin_settlement("b-2", "cid-1")
            await store.settle_bounty("b-2")
        counts.append(zone.mock.request_count)
    assert counts[0] == counts[1]


async def test_a_server_without_batches_gets_no_dated_markers():
    """They would be requests of their own: once that is known, none is written."""
    zone = Ordered("0.5.6")
    async with zone.store() as store:
        await store.create_bounty(make_bounty())
        await store.create_bounty(make_bounty(bounty_id="b-2"))
        assert await newest(store) == ["b-2", "b-1"]
    assert zone.dated() == {"b-1"}


# What it shows


async def test_bounties_of_one_moment_are_in_the_order_of_a_listing():
    """By their ids, newest last in the alphabet; names have them the other way round."""
    zone = Ordered(page_size=4)
    async with zone.store() as store:
        for name in "caebd":
            await store.create_bounty(make_bounty(bounty_id=name))
        await store.create_bounty(make_bounty(bounty_id="z", created_at=CREATED - timedelta(1)))
    await zone.reconciled()
    assert zone.is_complete()
    async with zone.store() as store:
        for limit in range(7):
            zone.mock.reset_counts()
            assert await newest(store, limit) == list("edcbaz")[:limit]
            read = [path for each in zone.mock.requests for path in each.params.get("paths", ())]
            assert len(read) <= limit


@pytest.mark.parametrize("personality", ["0.10-hypothetical", "0.7.0", "0.9"])
async def test_it_shows_what_reading_every_date_would(personality):
    """After any changes of others, with pages of any size, for any number and offset."""
    random = Random(personality)
    zone = Ordered(personality, page_size=5, bulk_size=3)
    async with zone.store() as busy, zone.store() as lister:
        for number in range(9):
            born = CREATED + timedelta(seconds=random.randrange(6))
            bounty = make_bounty(bounty_id=f"b-{random.random()}", created_at=born)
            await busy.create_bounty(bounty)
            if random.random() < 0.5:
                await busy.claim_bounty(bounty.bounty_id, ALICE, f"c-{number}")
                if random.random() < 0.6:
                    await busy.release_bounty(bounty.bounty_id, ALICE)
            if number % 4 == 2:
                await zone.reconciled()
                assert zone.is_complete()
            for limit in (1, 3, 8):
                for statuses in (S.OPEN, (S.OPEN, S.CLAIMED)):
                    query = BountyQuery(status=statuses, limit=limit, offset=random.randrange(3))
                    async with zone.store(follow_at_once=True) as plain:
                        expected = await plain.list_bounties(query)
                    assert await lister.list_bounties(query) == expected


@pytest.mark.parametrize("later", [False, True])
async def test_a_bounty_that_is_no_longer_open_leaves_no_dated_marker(later):
    """It is removed with its marker."""
    zone = Ordered()
    async with zone.store() as store:
        store = store.cleaning_up(later=later)
        await store.create_bounty(make_bounty())
        assert zone.dated() == {"b-1"}
        await store.claim_bounty("b-1", ALICE, "c-1")
    assert zone.dated() == set()


async def test_a_repeated_create_leaves_one_dated_marker():
    """Though the repeat was made at another moment."""
    zone = Ordered()
    async with zone.store() as store:
        for born in (CREATED, CREATED + timedelta(seconds=1)):
            await store.create_bounty(make_bounty(created_at=born), idempotency_key="k")
    twins = [path for path in zone.mock.files if paths.is_dated(path)]
    assert [paths.date_of(each) for each in twins] == [CREATED]


async def test_a_released_bounty_is_found_whatever_delete_arrives_late():
    """Its marker has a generation, and so has the twin."""
    zone = Ordered()
    async with zone.store() as store:
        await store.create_bounty(make_bounty())
        late = RequestMatch(path="*/newest/open/*", predicate=lambda each: "delete" in each.method)
        zone.mock.inject(Fault(FaultKind.DUPLICATE_LATE, match=late, after_requests=4))
        await store.claim_bounty("b-1", ALICE, "c-1")
        await store.release_bounty("b-1", ALICE)
        await zone.mock.settle()
    await zone.reconciled()
    async with zone.store() as store:
        assert await newest(store) == ["b-1"]


async def test_a_create_whose_answer_is_lost_is_in_the_order():
    """The dated marker is written before the commit, as its marker is."""
    zone = Ordered()
    await zone.ready(3)
    async with zone.store(retry_attempts=1, operation_timeout=0.5) as store:
        lost = Fault(FaultKind.DROP_AFTER, match=RequestMatch("write", "*b-new*"), times=None)
        unseen = Fault(FaultKind.DROP_BEFORE, match=RequestMatch("read", "*b-new*"), times=None)
        zone.mock.inject(lost, unseen)
        with pytest.raises(CommitUnknownError):
            await store.create_bounty(make_bounty(bounty_id="b-new"))
    zone.mock.clear_faults()
    async with zone.store() as store:
        assert "b-new" in await newest(store)


async def test_stale_dated_markers_are_passed_over_however_many():
    """Listings check every document, and read on."""
    zone = Ordered(page_size=10, bulk_size=4)
    await zone.ready(60)
    kept = zone.dated()
    async with zone.store() as store:
        for bounty_id in (await newest(store, 45))[:40]:
            await store.cancel_bounty(bounty_id)
    for bounty_id in kept - zone.dated():
        document = zone.mock.read_file(Z.bounty(bounty_id)) or b""
        born = msgspec.json.decode(document, type=dict)["createdAt"]
        twin = paths.dated(Z.marker(S.OPEN, bounty_id), msgspec.convert(born, type(CREATED)))
        zone.mock.core.table.write(twin, b"")
    async with zone.store() as store:
        assert await newest(store, 12) == await truly_newest(zone, 12)
    await zone.reconciled()
    assert len(zone.dated()) == 20


# Whether it is gone by


async def test_bounties_older_than_the_setting_are_found_and_then_dated():
    """The reconciler writes what is missing; with nothing missing, listings go by the order."""
    zone = Ordered()
    fill(zone.mock, 30, dated=False)
    async with zone.store() as store:
        assert await newest(store) == await truly_newest(zone)
    await zone.reconciled()
    assert (len(zone.dated()), zone.is_complete()) == (30, False)
    await zone.reconciled()
    assert zone.is_complete()
    async with zone.store() as store:
        assert await newest(store) == await truly_newest(zone)


async def grove_posts(zone: Ordered, bounty_id: str) -> None:
    """A bounty as another program writes it: no history, and no dated marker."""
    bounty = make_bounty(bounty_id=bounty_id, created_at=CREATED + timedelta(days=1))
    zone.mock.core.table.write(Z.bounty(bounty_id), msgspec.json.encode(bounty))
    zone.mock.core.table.write(Z.marker(S.OPEN, bounty_id), b"")


async def test_a_zone_that_another_program_writes_has_no_complete_order():
    """The reconciler sees its bounty, and takes the order away for all."""
    zone = Ordered()
    await zone.ready(30)
    await grove_posts(zone, "by-grove")
    await zone.reconciled()
    assert not zone.is_complete()
    async with zone.store() as store:
        assert (await newest(store))[0] == "by-grove"


async def test_a_process_that_has_seen_another_program_goes_by_the_order_no_more():
    """From the first of its bounties on that any listing of it has met."""
    zone = Ordered()
    await zone.ready(30)
    await grove_posts(zone, "by-grove")
    async with zone.store() as store:
        await store.find_expired_bounties()
        assert (await newest(store))[0] == "by-grove"
        await store.collect_leftovers()
    assert not zone.is_complete()


async def test_the_order_is_not_gone_by_where_the_settings_say_so():
    """Whoever lists knows of another writer of the zone."""
    zone = Ordered()
    await zone.ready(30)
    await grove_posts(zone, "by-grove")
    async with zone.store(follow_at_once=True) as store:
        assert (await newest(store))[0] == "by-grove"


@pytest.mark.parametrize("kind", Layout)
async def test_the_order_is_not_gone_by_until_every_process_knows_that_it_is_kept(kind):
    """One may not have looked at the pin since, or a pin of its own may be under way: a day."""
    zone = Ordered()
    await zone.ready(30)
    await lay_out(zone.mock, Z, kind, zone.clock())
    zone.mock.core.table.write(Z.all_are_dated(S.OPEN, zone.clock()), b"")
    await grove_posts(zone, "not-dated")
    async with zone.store() as store:
        assert (await newest(store))[0] == "not-dated"
    zone.clock.advance(timedelta(hours=25))
    async with zone.store() as store:
        assert ((await newest(store))[0] == "not-dated") is (kind is Layout.FLAT)


async def test_that_the_order_is_complete_is_said_of_one_pin_only():
    """Whoever was flat in between wrote no dated markers."""
    zone = Ordered()
    await zone.ready(30)
    await lay_out(zone.mock, Z, Layout.DATED, LONG_AGO + timedelta(days=1))
    await grove_posts(zone, "not-dated")
    async with zone.store() as store:
        assert (await newest(store))[0] == "not-dated"


async def test_an_audit_that_began_before_every_process_knew_says_nothing_of_the_order():
    """Behind its back a bounty may have been created that has no dated marker."""
    zone = Ordered(bulk_size=4)
    since = zone.clock() - timedelta(hours=23)
    await lay_out(zone.mock, Z, Layout.DATED, since)
    fill(zone.mock, 9)
    begun = Z.all_are_dated(S.OPEN, since)
    async with zone.store() as store:
        async for _ in store.audit_index():
            zone.clock.advance(timedelta(hours=2))
        await store.collect_leftovers()
        assert begun not in zone.mock.files
        async for _ in store.audit_index():
            pass
        await store.collect_leftovers()
        assert begun in zone.mock.files


async def test_an_audit_that_was_broken_off_elsewhere_says_nothing_of_the_order():
    """Nobody knows what the part before it met."""
    zone = Ordered(bulk_size=2)
    fill(zone.mock, 9)
    async with zone.store() as store:
        ended = [page.after async for page in store.audit_index()]
    async with zone.store() as store:
        async for _ in store.audit_index(ended[1]):
            pass
        await store.collect_leftovers()
    assert not zone.is_complete()


async def test_an_audit_in_several_goes_of_one_process_says_as_much_as_one():
    """A reconciler looks at so many files a run."""
    zone = Ordered(bulk_size=2)
    fill(zone.mock, 9)
    async with zone.store() as store:
        ended = [""]
        while ended[-1:]:
            goes_on = ended.pop()
            async for page in store.audit_index(goes_on):
                ended.append(page.after)
                break
        await store.collect_leftovers()
    assert zone.is_complete()


async def test_an_audit_alone_changes_nothing():
    """Only the run that may repair writes down what it found out."""
    zone = Ordered()
    fill(zone.mock, 3)
    async with zone.store() as store:
        before = dict(zone.mock.files)
        async for _ in store.audit_index():
            pass
    assert dict(zone.mock.files) == before


# What is not read again


@pytest.mark.parametrize("personality", ["0.7.0", "0.9", "0.10"])
async def test_a_remembered_bounty_that_has_moved_on_is_not_taken_for_the_same(personality):
    """Its next slot is taken, even while its file still lags behind."""
    zone = Ordered(personality, cleanup_delay=60)
    await zone.ready(5)
    async with zone.store() as lister, zone.store() as mover:
        first, second, *_ = await newest(lister)
        await mover.cleaning_up(later=True).cancel_bounty(first)
        assert (await newest(lister))[0] == second
        zone.mock.reset_counts()
        await newest(lister)
        assert not [each for each in zone.mock.requests if each.method.startswith("read")]


async def test_what_is_remembered_is_read_again_before_slots_are_removed():
    """A slot that is gone would pass for one that is free."""
    zone = Ordered("0.7.0", tombstone_retention=timedelta(hours=24))
    await zone.ready(5)
    async with zone.store() as lister, zone.store() as mover:
        first, second, *_ = await newest(lister)
        await mover.claim_bounty(first, ALICE, "c-1")
        await mover.release_bounty(first, ALICE)
        await mover.cancel_bounty(first)
        zone.clock.advance(timedelta(hours=25))
        await mover.collect_leftovers()
        marker = paths.dated(Z.marker(S.OPEN, first), CREATED + timedelta(seconds=4))
        zone.mock.core.table.write(marker, b"")
        assert (await newest(lister))[0] == second
