"""Markers of ended bounties by the hour: read wherever they lie, moved without missing one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from itertools import count, product

import httpx
import msgspec
import pytest

from nexus_bounty import (
    Bounty,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.idempotency import EVIDENCE_KEY
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents import paths
from nexus_bounty.nexus.documents.marker_layout import Layout
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.partition import EVERYTHING, Partition, encode_segment
from nexus_bounty.testing import ManualClock
from nexus_bounty.testing.builders import CREATED, make_agent, make_bounty
from tests.support.layouts import lay_out
from tests.support.sampling import every_nth
from tests.support.transports import Interrupted, Mortal

S = BountyStatus
Z = ZonePaths("z")
ALICE = make_agent("alice")
PERSONALITIES = ["0.5.6", "0.7.0", "0.9", "0.9.26", "0.10", "0.10-hypothetical"]
ENDED = (S.SETTLED, S.EXPIRED, S.CANCELLED)
ODD_IDS = ["a", "b-1", "b-10", "!x", "%x", "~", "~~x", "é", "ab"]
"""Some come before the directories of days, some after them."""


def put(mock: MockNexus, bounty: Bounty, *, by_date: bool) -> None:
    """A bounty as this library leaves it, with its marker in one layout or the other."""
    value = msgspec.to_builtins(bounty) | {EVIDENCE_KEY: {"schema": 1, "seq": 1, "ops": []}}
    ended_at = bounty.updated_at if by_date else None
    mock.core.table.write(Z.bounty(bounty.bounty_id), msgspec.json.encode(value))
    marker = Z.marker(bounty.status, bounty.bounty_id, ended_at=ended_at)
    mock.core.table.write(marker, b"")


def ended(number: int, status: BountyStatus = S.CANCELLED, name: str = "") -> Bounty:
    """One that ended so many times seven hours after the beginning."""
    at = CREATED + number * timedelta(hours=7)
    return make_bounty(bounty_id=name or f"b-{number}", status=status, updated_at=at)


class Zone:
    """A zone in some layout, and stores of processes that have seen nothing yet."""

    def __init__(self, personality: str, **settings: object) -> None:
        self.clock = ManualClock(CREATED + timedelta(days=30))
        self.mock = MockNexus(personality, clock=self.clock)
        chosen = {"retry_base": 0, "page_size": 3, "bulk_size": 2, "max_connections": 1}
        self.settings = NexusSettings(**(chosen | settings))

    @asynccontextmanager
    async def store(
        self, transport: httpx.AsyncBaseTransport | None = None
    ) -> AsyncIterator[NexusBountyStore]:
        transport = transport or self.mock.transport()
        async with NexusClient("http://n", settings=self.settings, transport=transport) as client:
            yield NexusBountyStore(client, "z", clock=self.clock)

    async def laid_out(self, kind: Layout) -> None:
        await lay_out(self.mock, Z, kind, self.clock() - timedelta(days=2))

    async def listed(self, *statuses: BountyStatus) -> set[str]:
        async with self.store() as store:
            found = await store.list_bounties(BountyQuery(status=statuses))
            return {each.bounty_id for each in found}

    async def move(self, transport: httpx.AsyncBaseTransport | None = None) -> int:
        """What a run of the reconciler does to the index; how many faults it found."""
        number = 0
        async with self.store(transport) as store:
            async for page in store.audit_index():
                number += len(page.faults)
                await store.repair_markers(page.faults)
        return number

    def markers(self, status: BountyStatus) -> dict[str, str]:
        """Whether the marker of each bounty lies flat, by date, or both."""
        beneath, found = f"{Z.statuses(status)}/", dict[str, str]()
        for path in sorted(each for each in self.mock.files if each.startswith(beneath)):
            kind = "flat" if paths.day_of(path) is None else "by date"
            name = paths.marked_id(path)
            found[name] = f"{found[name]}, {kind}" if name in found else kind
        return found


# Reading


@pytest.mark.parametrize("personality", PERSONALITIES)
@pytest.mark.parametrize("kind", Layout)
async def test_both_layouts_are_read_whatever_is_pinned(personality, kind):
    """Nobody needs to know where a marker lies to find it."""
    zone = Zone(personality)
    await zone.laid_out(kind)
    for number, name in enumerate(ODD_IDS):
        put(zone.mock, ended(number, name=name), by_date=number % 2 == 0)
    assert await zone.listed(S.CANCELLED) == set(ODD_IDS)
    async with zone.store() as store:
        assert {each async for each in store.walk_ids(S.CANCELLED)} == set(ODD_IDS)
        assert await store.count_bounties(BountyQuery(status=ENDED)) == len(ODD_IDS)


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_every_ended_bounty_is_in_one_of_two_ranges_that_meet(personality):
    """In either layout, wherever they meet."""
    zone = Zone(personality)
    await zone.laid_out(Layout.DATED)
    for number, name in enumerate(ODD_IDS):
        put(zone.mock, ended(number // 3, name=name), by_date=number % 4 != 0)
    async with zone.store() as store:
        for at in [*ODD_IDS, "b", "zz"]:
            for part in EVERYTHING.split(at):
                walked = [each async for each in store.walk_ids(S.CANCELLED, partition=part)]
                assert sorted(walked) == sorted(each for each in ODD_IDS if each in part)
                audited = {
                    each.bounty_id
                    async for page in store.audit_index(partition=part)
                    for each in page.faults
                }
                assert audited <= set(walked)


@pytest.mark.parametrize("personality", ["0.7.0", "0.10"])
async def test_a_range_passes_over_the_hours_in_which_it_has_no_part(personality):
    """A page, and it goes on with the next hour: not all of them for every range."""
    zone = Zone(personality, page_size=5)
    await zone.laid_out(Layout.DATED)
    for number in range(300):
        put(zone.mock, ended(number % 3, name=f"b-{number:03}"), by_date=True)
    async with zone.store() as store:
        everything = [each async for each in store.walk_ids(S.CANCELLED)]
        zone.mock.reset_counts()
        part = Partition("b-100", "b-112")
        walked = [each async for each in store.walk_ids(S.CANCELLED, partition=part)]
    assert sorted(walked) == [f"b-{number:03}" for number in range(101, 113)]
    assert len(everything) == 300
    assert zone.mock.request_count <= 3 * 4


async def test_a_range_begins_each_hour_of_a_busy_day_where_its_own_markers_do():
    """On a server that can go on after any path: a request an hour, midnight included."""
    zone, first = Zone("0.10", page_size=5), CREATED.replace(hour=20)
    await zone.laid_out(Layout.DATED)
    for number in range(300):
        at = first + number % 6 * timedelta(hours=1)
        bounty = make_bounty(bounty_id=f"b-{number:03}", status=S.CANCELLED, updated_at=at)
        put(zone.mock, bounty, by_date=True)
    part = Partition("b-100", "b-112")
    async with zone.store() as store:
        assert [each async for each in store.walk_ids(S.CANCELLED)]  # by now its pages are known
        for since in (None, first.date()):
            zone.mock.reset_counts()
            pages = store.walk_marked(S.CANCELLED, since=since, partition=part)
            walked = [each async for page in pages for each in page.ids]
            assert sorted(walked) == [f"b-{number:03}" for number in range(101, 113)]
            hours, what_is_flat, the_end = 6, 1, 1
            assert zone.mock.request_count == hours + what_is_flat + the_end


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_markers_of_a_range_are_put_together_from_many_hours(personality):
    """So that what is read of their bounties is read as many at a time as of everything."""
    zone = Zone(personality, page_size=10)
    await zone.laid_out(Layout.DATED)
    for number in range(120):
        put(zone.mock, ended(number % 12, name=f"b-{number:03}"), by_date=True)
    part = Partition("b-047", "b-059")
    async with zone.store() as store:
        pages = [page.ids async for page in store.walk_marked(S.CANCELLED, size=5, partition=part)]
    assert [len(ids) for ids in pages] == [5, 5, 2]
    assert sorted(each for ids in pages for each in ids) == [f"b-{n:03}" for n in range(48, 60)]


def test_an_hour_comes_after_another():
    """Also where a day, or a year, is over; what is no hour has none after it."""
    day = Z.day(S.SETTLED, date(2026, 12, 31))
    assert paths.hour_after(f"{day}/09") == f"{day}/10"
    assert paths.hour_after(f"{day}/23") == f"{Z.day(S.SETTLED, date(2027, 1, 1))}/00"
    for other in (Z.statuses(S.SETTLED), day, f"{day}/x", Z.day(S.SETTLED, date.max) + "/23"):
        assert paths.hour_after(other) is None


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_a_walk_since_a_day_leaves_out_what_ended_before_it_and_nothing_else(personality):
    """What lies flat is in no day, and belongs to it."""
    zone = Zone(personality)
    await zone.laid_out(Layout.DATED)
    for number in range(40):
        put(zone.mock, ended(number), by_date=number % 10 != 0)
    since = ended(20).updated_at.date()
    async with zone.store() as store:
        pages = [page async for page in store.walk_marked(S.CANCELLED, size=2, since=since)]
        walked = {each for page in pages for each in page.ids}
        later = {n for n in range(40) if n % 10 == 0 or ended(n).updated_at.date() >= since}
        assert walked == {f"b-{number}" for number in later}
        for page in pages:
            rest = store.walk_marked(S.CANCELLED, page.after, size=2, since=since)
            left = {each async for page in rest for each in page.ids}
            assert left == {each for more in pages[pages.index(page) + 1 :] for each in more.ids}
    days = [page.day for page in pages if page.day is not None]
    assert days == sorted(days)
    assert days[0] == since


async def test_the_first_open_day_is_that_of_the_oldest_request_under_way():
    """Nothing ends in a day before it; in a flat zone there are no days."""
    zone = Zone("0.7.0", tombstone_retention=timedelta(hours=36))
    for kind, day in ((Layout.DATED, date(2026, 1, 30)), (Layout.FLAT, None)):
        zone = Zone("0.7.0", tombstone_retention=timedelta(hours=36))
        await zone.laid_out(kind)
        async with zone.store() as store:
            await store.get_bounty("b-1")
            now = datetime(2026, 1, 31, 13, tzinfo=UTC)
            assert store.first_open_day(now) == day


# Writing


@pytest.mark.parametrize("personality", PERSONALITIES)
@pytest.mark.parametrize("minutes", [1, 59, 61, 60 * 25])
async def test_a_life_leaves_one_marker_in_the_hour_in_which_it_ended(personality, minutes):
    """However long each step took: that which was written ahead is not left behind."""
    zone = Zone(personality)
    await zone.laid_out(Layout.DATED)
    async with zone.store() as store:
        await store.create_bounty(make_bounty(status=S.DRAFT, reservation_id=None))
        for step in (
            store.fund_bounty("b-1", "r-1"),
            store.claim_bounty("b-1", ALICE, "c-1"),
            store.begin_settlement("b-1", "cid-1"),
            store.complete_bounty("b-1", "cid-1"),
            store.settle_bounty("b-1"),
        ):
            zone.clock.advance(timedelta(minutes=minutes))
            moved = await step
            assert await zone.listed(moved.status) == {"b-1"}
    beneath = f"{Z.root}/indexes/bounties/status/"
    left = [path for path in zone.mock.files if path.startswith(beneath)]
    assert left == [Z.marker(S.SETTLED, "b-1", ended_at=zone.clock())]


@pytest.mark.parametrize("personality", ["0.7.0", "0.10", "0.10-hypothetical"])
async def test_an_end_that_was_staged_before_the_hour_was_over_has_its_marker(personality):
    """The marker goes by what is committed, which was made ready a moment before."""
    zone = Zone(personality)
    await zone.laid_out(Layout.DATED)
    zone.clock.now = zone.clock.now.replace(minute=59, second=59)
    async with zone.store() as store:
        await store.create_bounty(make_bounty(status=S.DRAFT, reservation_id=None))
        await store.fund_bounty("b-1", "r-1")
        await store.claim_bounty("b-1", ALICE, "c-1")
        await store.expecting("settle").begin_settlement("b-1", "cid-1")
        zone.clock.advance(timedelta(seconds=2))
        settled = await store.settle_bounty("b-1", idempotency_key="settle")
        needed = Z.marker(S.SETTLED, "b-1", ended_at=settled.updated_at)
        assert needed in zone.mock.files
        assert await zone.listed(S.SETTLED) == {"b-1"}
        assert await store.audit_index().__anext__()
        assert [each async for each in store.audit_index() if each.faults] == []


# Moving


def mixed(zone: Zone, *, by_date: bool) -> dict[BountyStatus, set[str]]:
    """Some bounties that have ended, and one that has not."""
    there: dict[BountyStatus, set[str]] = {S.OPEN: {"alive"}}
    put(zone.mock, make_bounty(bounty_id="alive"), by_date=False)
    for number, name in enumerate(ODD_IDS):
        bounty = ended(number, ENDED[number % 3], name)
        put(zone.mock, bounty, by_date=by_date)
        there.setdefault(bounty.status, set()).add(name)
    return there


PAGES = [{}, {"page_size": 1000, "bulk_size": 500}]
"""Both markers of a bounty on pages of their own, or on one."""


@pytest.mark.parametrize("pages", PAGES)
@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_a_flat_zone_is_moved_to_dates_and_back(personality, pages):
    """The flat ones go, but for the few that a listing would meet after the others."""
    zone = Zone(personality, **pages)
    await zone.laid_out(Layout.DATED)
    there = mixed(zone, by_date=False)
    while await zone.move():
        for status in ENDED:
            assert await zone.listed(status) == there[status]
    for status in ENDED:
        for name, where in zone.markers(status).items():
            assert where == ("by date" if name < "~%@" else "by date, flat")
        assert await zone.listed(status) == there[status]
    await zone.laid_out(Layout.FLAT)
    assert await zone.move() == sum(encode_segment(each) < "~%@" for each in ODD_IDS)
    assert await zone.move() == 0
    for status in ENDED:
        assert {"flat" in where for where in zone.markers(status).values()} == {True}


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_markers_are_moved_in_batches(personality):
    """Two requests a page, and no finding that something is missing."""
    zone = Zone(personality, page_size=1000, bulk_size=500)
    await zone.laid_out(Layout.DATED)
    for number in range(300):
        put(zone.mock, ended(number), by_date=False)
    async with zone.store() as store:
        statuses = await store.list_index_statuses()
        assert all(each.healthy for each in statuses)
        pages = [page async for page in store.audit_index()]
        faults = [each for page in pages for each in page.faults]
        assert all(each.listed_elsewhere for each in faults)
        assert len(faults) == 300
        if personality not in ("0.5.6", "0.9"):  # others write or delete one by one
            zone.mock.reset_counts()
            assert await store.repair_markers(faults) == []
            assert zone.mock.request_count <= 2
        else:
            await store.repair_markers(faults)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", every_nth(37, range(1, 73)))
@pytest.mark.parametrize("pages", PAGES)
@pytest.mark.parametrize("personality", ["0.7.0", "0.9", "0.10"])
async def test_a_move_that_dies_at_any_step_is_finished_by_another(personality, pages, at, after):
    """Every listing is complete meanwhile."""
    zone = Zone(personality, **pages)
    await zone.laid_out(Layout.DATED)
    there = mixed(zone, by_date=False)
    line = Mortal(zone.mock.transport(), at, after=after)
    task = asyncio.create_task(zone.move(line))
    died = asyncio.create_task(line.died.wait())
    await asyncio.wait([task, died], return_when=asyncio.FIRST_COMPLETED)
    for each in (task, died):
        each.cancel()
        with suppress(asyncio.CancelledError):
            await each
    for status, names in there.items():
        assert await zone.listed(status) == names
    while await zone.move():
        pass
    for status, names in there.items():
        assert await zone.listed(status) == names
    where = {each for status in ENDED for each in zone.markers(status).values()}
    assert where == {"by date", "by date, flat"}


@pytest.mark.parametrize(
    ("personality", "forth"),
    every_nth(7, product(("0.7.0", "0.5.6", "0.9", "0.10", "0.9.26"), (True, False))),
)
async def test_a_listing_during_which_everything_is_moved_misses_nothing(personality, forth):
    """At whichever of its requests: what a page has passed is met in its other place."""
    for at in count(1):
        zone = Zone(personality)
        await zone.laid_out(Layout.DATED if forth else Layout.FLAT)
        there = mixed(zone, by_date=not forth)

        async def everything_is_moved(zone: Zone = zone) -> None:
            while await zone.move():
                pass

        line = Interrupted(zone.mock.transport(), at, everything_is_moved)
        async with zone.store(line) as store:
            found = await store.list_bounties(BountyQuery(status=ENDED))
        assert {each.bounty_id for each in found} == set().union(*(there[each] for each in ENDED))
        if line.carried < at:
            break


async def test_a_flat_marker_is_not_removed_before_the_other_is_there():
    """An audit that meets it first, for whatever reason, leaves it alone."""
    zone = Zone("0.7.0")
    await zone.laid_out(Layout.DATED)
    put(zone.mock, ended(1), by_date=False)
    async with zone.store() as store:
        async for page in store.audit_index(documents=False):
            assert page.faults == []


async def test_a_flat_marker_that_was_written_ahead_stays_until_its_bounty_has_ended():
    """Who wrote it may go by it, and need it though there is one by date."""
    zone = Zone("0.7.0")
    await zone.laid_out(Layout.DATED)
    paid = make_bounty(bounty_id="b-1", status=S.PENDING_SETTLEMENT, updated_at=CREATED)
    put(zone.mock, paid, by_date=False)
    ahead = [Z.marker(S.SETTLED, "b-1", ended_at=each) for each in (None, CREATED)]
    for marker in ahead:
        zone.mock.core.table.write(marker, b"")
    assert await zone.move() == 0
    assert set(ahead) <= set(zone.mock.files)
    zone.mock.core.table.remove(Z.marker(S.PENDING_SETTLEMENT, "b-1"))
    put(zone.mock, ended(0, S.SETTLED, "b-1"), by_date=True)
    await zone.move()
    assert [each in zone.mock.files for each in ahead] == [False, True]


async def test_a_marker_of_an_hour_that_is_not_the_bounty_s_is_removed():
    """Written ahead by a process that died, and then ended at another time."""
    zone = Zone("0.7.0")
    await zone.laid_out(Layout.DATED)
    put(zone.mock, ended(1), by_date=True)
    wrong = Z.marker(S.CANCELLED, "b-1", ended_at=CREATED)
    zone.mock.core.table.write(wrong, b"")
    assert await zone.move() == 1
    assert wrong not in zone.mock.files
    assert await zone.listed(S.CANCELLED) == {"b-1"}


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_an_audit_that_meets_both_markers_of_a_bounty_on_one_page_leaves_one(personality):
    """Only the flat one goes: neither is a reason to remove the other as well."""
    zone = Zone(personality, page_size=1000, bulk_size=500)
    await zone.laid_out(Layout.DATED)
    there = mixed(zone, by_date=False)
    async with zone.store() as store:
        async for page in store.audit_index():
            await store.repair_markers([each for each in page.faults if each.missing])
    assert "by date, flat" in zone.markers(BountyStatus.SETTLED).values()
    await zone.move()
    for status in ENDED:
        assert await zone.listed(status) == there[status]
