"""What a reconciler that runs for ever remembers outlives its process, and misleads nobody."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from nexus_bounty import Reconciler
from nexus_bounty.memory import MemoryJournal
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.outcomes import CommitUnknownError
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.reconcile import ReconcileReport
from nexus_bounty.reconcile.range_keeper import KeptRange
from nexus_bounty.reconcile.sweep_state import ClosedDays
from tests.reconcile.past import (
    LEFTOVERS,
    NOTES,
    a_zone_with_a_past,
    has_reward,
    lose_a_reward,
)
from tests.reconcile.test_scale import Zone, a_zone

A_NEW_NOTE = 1
REFUSED_REWARDS = RequestMatch(path="*reward*", predicate=lambda each: "write" in each.method)


async def runs(
    zone: Zone, number: int = 1, reconciler: Reconciler | None = None, history: int = 1000
) -> list[int]:
    """The requests of so many runs of a process, leftovers aside; of a new one if not given."""
    costs: list[int] = []
    before = len(zone.mock.requests)

    def told(report: ReconcileReport) -> None:
        nonlocal before
        assert not report.errors
        asked = [each.path or "" for each in zone.mock.requests[before:]]
        before += len(asked)
        costs.append(sum(not each.endswith(LEFTOVERS) for each in asked))
        if len(costs) == number:
            task.cancel()

    forever = (reconciler or zone.reconciler()).run_forever(
        timedelta(), on_report=told, history=history
    )
    task = asyncio.ensure_future(forever)
    with suppress(asyncio.CancelledError):
        await task
    return costs


def notes(zone: Zone) -> list[str]:
    return [path for path in zone.mock.files if path.startswith(NOTES)]


async def test_a_process_that_is_started_again_is_warm() -> None:
    """It knows of which days nothing needs to be looked at; without a journal it does not."""
    async with a_zone_with_a_past() as zone:
        cold, *_, usual = await runs(zone, 4)
        assert await runs(zone) <= [usual]
        (note,) = notes(zone)
        zone.operations.services = replace(zone.operations.services, journal=MemoryJournal())
        assert await runs(zone) > [2 * usual]
        assert cold > 2 * usual
        assert notes(zone) == [note]


async def test_each_range_and_each_ledger_has_a_note_of_its_own() -> None:
    """None of them takes away what another goes by."""
    async with a_zone_with_a_past() as zone:
        first, rest = EVERYTHING.split("bounty-000300")
        usual = {}
        for part in (EVERYTHING, first, rest, Partition("bounty-000300", "bounty-000400")):
            usual[part] = (await runs(zone, 4, zone.reconciler(partition=part)))[-1]
        assert len(notes(zone)) == len(usual)
        for part, cost in usual.items():
            assert await runs(zone, 1, zone.reconciler(partition=part)) <= [cost]


async def test_one_that_was_interrupted_in_a_long_walk_is_gone_on_with() -> None:
    """By the next process, which closes the days that both have seen, and no others."""
    async with a_zone_with_a_past() as zone:
        lost = lose_a_reward(zone, which=-1)  # of the first day that is gone through
        zone.mock.inject(
            Fault(FaultKind.STATUS_BEFORE, match=REFUSED_REWARDS, times=None, status=403)
        )
        for _ in range(20):
            await runs(zone, 1, history=40)
        zone.mock.clear_faults()
        assert not has_reward(zone, lost)
        for _ in range(20):
            await runs(zone, 1, history=40)
        assert has_reward(zone, lost)
        (text,) = zone.credits._book._range_memories.values()
        kept = msgspec.json.decode(text, type=KeptRange)
        assert all(each.since for each in kept.memory.sweeps.values())


async def test_a_run_that_only_looks_keeps_nothing() -> None:
    """It changes nothing, and looks at everything."""
    async with a_zone_with_a_past() as zone:
        await runs(zone, 2, zone.reconciler(dry_run=True))
        assert notes(zone) == []


async def test_one_run_remembers_nothing_and_looks_at_everything() -> None:
    """That is `nexus-bounty reconcile`, by whom also is found what another program did."""
    async with a_zone_with_a_past() as zone:
        await runs(zone, 3)
        lost = lose_a_reward(zone)
        await runs(zone)
        assert not has_reward(zone, lost)
        report = await Reconciler(zone.operations).run_once()
        assert [each.subject for each in report.findings] == [lost]


async def test_a_flat_zone_has_no_note() -> None:
    """Nothing of what ended there is spared, and nothing of ours is written for it."""
    async with a_zone(60) as zone:
        await runs(zone, 3)
        assert notes(zone) == []


# What is remembered may not be so


@pytest.mark.parametrize("in_its_life", [True, False])
async def test_in_a_zone_that_was_restored_everything_is_looked_at(in_its_life: bool) -> None:
    """What was repaired since the backup is repaired again, by a new process and by an old one."""
    async with a_zone_with_a_past() as zone:
        lost = lose_a_reward(zone)
        backup = zone.mock.core.table.copy()
        told: list[bool] = []

        def restore(report: ReconcileReport) -> None:
            told.append(has_reward(zone, lost))
            if len(told) == 3:
                zone.mock.core.table.restore(backup)
                if not in_its_life:
                    task.cancel()
            if len(told) == 4:
                task.cancel()

        task = asyncio.ensure_future(zone.reconciler().run_forever(timedelta(), on_report=restore))
        with suppress(asyncio.CancelledError):
            await task
        assert not in_its_life or told == [True, True, True, True]
        if not in_its_life:
            assert not has_reward(zone, lost)
            await runs(zone)
        assert has_reward(zone, lost)


async def test_a_database_that_was_restored_is_not_believed() -> None:
    """Its token is an earlier one: it may be of a time when another zone stood there."""
    async with a_zone_with_a_past() as zone:
        usual = (await runs(zone, 4))[-1]
        kept = zone.credits._book._range_memories
        before = dict(kept)
        kept.clear()
        await runs(zone, 3)
        kept.update(before)
        lost = lose_a_reward(zone)
        assert await runs(zone) > [2 * usual]
        assert has_reward(zone, lost)


@pytest.mark.parametrize(
    "text", ["{}", "[1]", "not json", '{"cursor": {}, "memory": {"token": 1, "sweeps": {}}}']
)
async def test_what_is_no_memory_is_none(text: str) -> None:
    """Such as what another release has put there."""
    async with a_zone_with_a_past() as zone:
        await runs(zone, 3)
        kept = zone.credits._book._range_memories
        kept.update(dict.fromkeys(kept, text))
        lost = lose_a_reward(zone)
        await runs(zone)
        assert has_reward(zone, lost)


async def test_where_a_sweep_has_got_that_there_is_not_everything_is_looked_at() -> None:
    """Another release may have more of them."""
    async with a_zone_with_a_past() as zone:
        await runs(zone, 3)
        kept = zone.credits._book._range_memories
        ((name, text),) = kept.items()
        kept[name] = text.replace('"cursor":{}', '"cursor":{"dust":"/zones"}')
        assert kept[name] != text
        lost = lose_a_reward(zone)
        await runs(zone)
        assert has_reward(zone, lost)


async def test_while_the_note_cannot_be_read_nothing_is_believed_and_nothing_lost() -> None:
    """The run goes by nothing, and the next one by what was remembered before."""
    async with a_zone_with_a_past() as zone:
        usual = (await runs(zone, 4))[-1]
        note = RequestMatch(path=f"{NOTES}*")
        zone.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=note, times=None, status=403))
        lost = lose_a_reward(zone)
        await runs(zone)
        assert has_reward(zone, lost)
        zone.mock.clear_faults()
        assert await runs(zone) <= [usual + A_NEW_NOTE]


async def test_what_may_be_of_another_time_is_not_borne_out_by_a_new_note() -> None:
    """The zone is restored in the middle of a walk, and just then its note cannot be read."""
    async with a_zone_with_a_past() as zone:
        lost = lose_a_reward(zone, which=-1)  # of the first day that is gone through
        backup = zone.mock.core.table.copy()
        await runs(zone, 2)
        zone.credits._book._range_memories.clear()
        process = zone.reconciler()
        await runs(zone, 2, process, history=40)
        assert has_reward(zone, lost)
        told: list[ReconcileReport] = []

        def restored(report: ReconcileReport) -> None:
            told.append(report)
            zone.mock.clear_faults()
            if len(told) == 1:
                zone.mock.core.table.restore(backup)
                unread = RequestMatch(method="read", path=f"{NOTES}*")
                zone.mock.inject(
                    Fault(FaultKind.STATUS_BEFORE, match=unread, times=None, status=403)
                )
            if len(told) == 40:
                task.cancel()

        forever = process.run_forever(timedelta(), on_report=restored, history=40)
        task = asyncio.ensure_future(forever)
        with suppress(asyncio.CancelledError):
            await task
        assert has_reward(zone, lost)


@pytest.mark.parametrize("method", ["find_range_memory", "keep_range_memory"])
async def test_while_the_database_is_away_runs_go_on(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are dearer, and end well."""
    async with a_zone_with_a_past() as zone:
        await runs(zone, 3)
        lost = lose_a_reward(zone)

        async def away(*_: object, **__: object) -> None:
            raise CommitUnknownError("the database is away")

        with monkeypatch.context() as patch:
            patch.setattr(zone.credits, method, away)
            await runs(zone, 2)
        was_cold = method != "keep_range_memory"
        assert has_reward(zone, lost) is was_cold


async def test_two_processes_go_by_what_either_has_seen() -> None:
    """Both keep it in one place, where the later one counts."""
    async with a_zone_with_a_past() as zone:
        usual = (await runs(zone, 4))[-1]
        here, there = zone.reconciler(), zone.reconciler()
        for each in (here, there, here, there):
            assert await runs(zone, 1, each) <= [usual + A_NEW_NOTE]


# A clock that was ahead


async def watched(zone: Zone, ahead: timedelta, reconciler: Reconciler | None = None) -> None:
    """Three runs of a process, of a new one if not given, whose clock is so far ahead."""
    process = reconciler or zone.reconciler()
    process._services = replace(process._services, clock=lambda: datetime.now(UTC) + ahead)
    await runs(zone, 3, process)


@pytest.mark.parametrize("days", [2, 30, 400])
@pytest.mark.parametrize("is_the_same", [True, False])
async def test_what_a_clock_that_was_ahead_has_seen_is_not_believed(
    days: int, is_the_same: bool
) -> None:
    """By the process itself once its clock is right, and by the next one."""
    async with a_zone_with_a_past() as zone:
        process = zone.reconciler()
        await watched(zone, timedelta(days=days), process)
        lost = lose_a_reward(zone)
        await watched(zone, timedelta(), process if is_the_same else None)
        assert has_reward(zone, lost)


@pytest.mark.parametrize("is_the_same", [True, False])
async def test_documents_that_were_read_in_the_future_are_read_again(is_the_same: bool) -> None:
    """They tell which markers are missing."""
    async with a_zone_with_a_past() as zone:
        process = zone.reconciler()
        ahead = timedelta(hours=20)  # no day is closed by then that is not by now
        now = datetime.now(UTC).replace(hour=1)
        process._services = replace(process._services, clock=lambda: now + ahead)
        await runs(zone, 3, process)
        marker = next(each for each in zone.mock.files if "/status/settled/" in each)
        zone.mock.core.table.remove(marker)
        other = process if is_the_same else zone.reconciler()
        other._services = replace(other._services, clock=lambda: now)
        await runs(zone, 2, other)
        assert marker in zone.mock.files


def test_clocks_that_differ_around_midnight_cost_no_look_at_everything() -> None:
    """The day that is closed for one of them is looked at by the other, which is all."""
    days = ClosedDays(since=date(2026, 5, 2))
    days.begin(date(2026, 5, 1))
    assert days.since == date(2026, 5, 1)
    days.since = date(2026, 5, 3)
    days.begin(date(2026, 5, 1))
    assert days.since is None


async def test_leftovers_are_looked_for_though_a_clock_was_set_back() -> None:
    """It was in the future that it was done last."""
    async with a_zone_with_a_past() as zone:
        process = zone.reconciler()
        await watched(zone, timedelta(days=30), process)
        before = len(zone.mock.requests)
        await watched(zone, timedelta(), process)
        asked = [each.path or "" for each in zone.mock.requests[before:]]
        assert any(each.endswith(LEFTOVERS) for each in asked)
