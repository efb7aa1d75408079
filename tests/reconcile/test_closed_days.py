"""What ended on a day that is over is looked at once: a warm run costs what is alive and new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from benchmarks.harness import population
from nexus_bounty import BountyStatus, Reconciler
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.models import RewardType, reward_id
from nexus_bounty.nexus.documents.marker_layout import Layout
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.reconcile.markers import IndexMarkers
from nexus_bounty.reconcile.rewards import MissingRewards
from tests.reconcile.test_ranges import ranges
from tests.reconcile.test_scale import PATHS, Zone, a_zone
from tests.support.layouts import lay_out
from tests.support.sampling import thorough_unless

S = BountyStatus
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
ALIVE = 20


def ended(number: int, first: int = 0) -> list[population.Record]:
    """Bounties that have ended in each way, a few an hour for weeks, until three days ago."""
    records = population.at_rest(2 * (first + number))
    chosen = [each for each in records if each.escrow != "held"][first : first + number]
    until = datetime.now(UTC) - timedelta(days=3)
    return [
        at(each, until - timedelta(minutes=10 * (first + place)))
        for place, each in enumerate(chosen)
    ]


def at(record: population.Record, moment: datetime) -> population.Record:
    """The same, at another time."""
    return replace(record, bounty=msgspec.structs.replace(record.bounty, updated_at=moment))


async def dated(zone: Zone) -> None:
    await lay_out(zone.mock, PATHS, Layout.DATED, LONG_AGO)


async def add(zone: Zone, records: list[population.Record]) -> None:
    for record in records:
        population.put(zone.mock, "z", record, by_date=True)
        await population.escrow(zone.credits, record)


async def warm_run(zone: Zone, *, history: int | None) -> tuple[Counter[str], Reconciler]:
    """The requests of a run by a reconciler that has gone through everything before."""
    reconciler = zone.reconciler()
    for _ in range(2):
        await zone.requests(reconciler, None)
    for _ in range(2 if history else 0):
        await zone.requests(reconciler, history)
    return await zone.requests(reconciler, history), reconciler


@pytest.mark.parametrize("history", [None, 50])
@pytest.mark.parametrize(
    ("personality", "numbers"),
    [
        ("0.10", (0, 300, 900)),
        *(
            thorough_unless(False, (each, (0, 1_000, 5_000)))
            for each in ("0.5.6", "0.7.0", "0.9", "0.10", "0.10-hypothetical")
        ),
    ],
)
async def test_a_warm_run_costs_no_request_more_however_many_bounties_have_ended(
    personality: str, numbers: tuple[int, ...], history: int | None
) -> None:
    """A whole one, too: of closed days a few names are listed, of what ended nothing is read."""
    costs, page = [], 500 if max(numbers) > 1_000 else 50
    for number in numbers:
        async with a_zone(0, personality=personality, page=page, layout="dated") as zone:
            await dated(zone)
            alive = [each for each in population.at_rest(10 * ALIVE) if each.escrow == "held"]
            await add(zone, alive)
            await add(zone, ended(number))
            cost, _ = await warm_run(zone, history=history)
            costs.append(cost)
    walks = 7 if history is None else 4
    assert costs[1] == costs[2]
    assert costs[2].total() - costs[0].total() <= walks  # each passes over the days once
    looks = costs[2]["read"] + costs[2]["exists"]  # one by one, where nothing is read in bulk
    assert looks <= 2 * max(2 * len(alive), history or 0)
    assert costs[2].total() - looks < 60


async def lacking_a_reward(zone: Zone, moment: datetime) -> str:
    """Settle a bounty as a process that died before it recorded the reward."""
    (settled,) = [each for each in population.stuck(9) if each.marked == (S.SETTLED,)]
    await add(zone, [at(settled, moment)])
    return settled.bounty.bounty_id


async def test_what_ends_on_an_open_day_is_found_by_the_next_run() -> None:
    """A day is open for as long as requests of it may be under way."""
    async with a_zone(0, personality="0.7.0") as zone:
        await dated(zone)
        await add(zone, ended(300))
        _, reconciler = await warm_run(zone, history=None)
        found = await lacking_a_reward(zone, datetime.now(UTC) - timedelta(hours=23))
        report = await reconciler.run_once()
        assert [each.subject for each in report.findings] == [found]
        assert report.repaired == 1


async def test_what_has_changed_on_a_closed_day_is_found_by_a_new_reconciler() -> None:
    """One that has seen the day looks at it no more."""
    async with a_zone(0, personality="0.7.0") as zone:
        await dated(zone)
        await add(zone, ended(300))
        _, reconciler = await warm_run(zone, history=None)
        settled = next(each.bounty for each in ended(300) if each.rewarded)
        cid = settled.fulfilled_by_cid or ""
        gone = PATHS.reward(reward_id(RewardType.BOUNTY_PAYOUT, settled.bounty_id, cid))
        zone.mock.core.table.remove(gone)
        assert (await reconciler.run_once()).found == 0
        report = await zone.reconciler().run_once()
        assert [each.subject for each in report.findings] == [settled.bounty_id]


@pytest.mark.thorough
async def test_ten_ranges_cost_little_more_than_one_on_open_days() -> None:
    """Each begins in each hour with its own, and reads as many at a time as one that is all."""
    page, number, hours = 5, 800, 16
    async with a_zone(0, personality="0.10", page=page) as zone:
        await dated(zone)
        now = datetime.now(UTC)
        records = [each for each in population.at_rest(2 * number) if each.escrow != "held"]
        lately = [
            at(each, now - timedelta(hours=1 + place * 7 % hours))
            for place, each in enumerate(records[:number])
        ]
        await add(zone, lately)
        step = number // 9
        cuts = [f"bounty-{each:06}" for each in range(step - 1, 9 * step, step)]

        async def warm(parts: Sequence[Partition]) -> int:
            runs = [zone.reconciler(partition=each, page=page) for each in parts]
            for _ in range(2):
                for each in runs:
                    await zone.requests(each, None)
            return sum([(await zone.requests(each, None)).total() for each in runs])

        whole, in_parts = await warm([EVERYTHING]), await warm(ranges(cuts))
    assert in_parts < 2.2 * whole, (in_parts, whole)


async def test_a_day_with_something_left_is_looked_at_again() -> None:
    """However long ago it was; those before it are not."""
    async with a_zone(0, personality="0.7.0") as zone:
        await dated(zone)
        await add(zone, ended(300))
        found = await lacking_a_reward(zone, ended(150)[-1].bounty.updated_at)
        refused = Fault(
            FaultKind.STATUS_BEFORE,
            match=RequestMatch(
                path="*reward*", predicate=lambda each: each.method.startswith("write")
            ),
            times=None,
            status=403,
        )
        reconciler = zone.reconciler(sweeps=[MissingRewards()])
        zone.mock.inject(refused)
        for _ in range(2):
            report = await reconciler.run_once()
            assert [each.subject for each in report.left] == [found]
        zone.mock.clear_faults()
        assert (await reconciler.run_once()).repaired == 1
        assert (await reconciler.run_once()).found == 0


async def test_the_documents_are_read_again_once_a_day() -> None:
    """A marker that somebody removed by hand is found by then, and by a new reconciler at once."""
    async with a_zone(0, personality="0.7.0") as zone:
        await dated(zone)
        clock = datetime.now(UTC)
        services = replace(zone.operations.services, clock=lambda: clock)
        zone.operations.services = services
        alive = [each for each in population.at_rest(10 * ALIVE) if each.escrow == "held"]
        await add(zone, alive)
        reconciler = zone.reconciler(sweeps=[IndexMarkers()])
        for _ in range(2):  # the first learns how the zone is laid out
            await reconciler.run_once()
        lost = next(each.bounty.bounty_id for each in alive if each.marked == (S.OPEN,))
        zone.mock.core.table.remove(PATHS.marker(S.OPEN, lost))
        assert (await reconciler.run_once()).found == 0
        fresh = await zone.reconciler(sweeps=[IndexMarkers()], dry_run=True).run_once()
        assert fresh.found == 1
        clock += timedelta(days=1)
        assert (await reconciler.run_once()).repaired == 1


async def test_a_walk_of_which_another_worker_did_a_part_closes_no_day() -> None:
    """What that one left is not known here."""
    async with a_zone(0, personality="0.7.0") as zone:
        await dated(zone)
        await add(zone, ended(300))
        found = await lacking_a_reward(zone, ended(300)[-1].bounty.updated_at)
        here = zone.reconciler(sweeps=[MissingRewards()], dry_run=True)
        other = zone.reconciler(sweeps=[MissingRewards()], dry_run=True)
        assert (await other.run_once(history=50)).found == 1
        here.go_on_from(other.cursor)
        assert (await here.run_once(history=1000)).found == 0
        here.go_on_from({})
        report = await here.run_once(history=1000)
        assert [each.subject for each in report.findings] == [found]
