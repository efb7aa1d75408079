"""What is remembered of days that are over is so by two clocks: ours, and the server's."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nexus_bounty import BountyStatus, Reconciler
from tests.reconcile.past import NOTES, a_zone_with_a_past, has_reward, lose_a_reward
from tests.reconcile.test_closed_days import ended, lacking_a_reward
from tests.reconcile.test_range_keeper import runs
from tests.reconcile.test_scale import PATHS, Zone

A_DAY = timedelta(days=1)
AN_HOUR = timedelta(hours=1)
IsThere = Callable[[], bool]


def at(ahead: timedelta) -> Callable[[], datetime]:
    """A clock that is so far ahead."""
    return lambda: datetime.now(UTC) + ahead


async def watched(
    zone: Zone, ours: timedelta, theirs: timedelta | None, process: Reconciler | None = None
) -> list[int]:
    """The requests of four runs of a process, by a clock of its own and one of the server's."""
    process = process or zone.reconciler()
    process._services = replace(process._services, clock=at(ours))
    zone.mock.date = None if theirs is None else at(theirs)
    return await runs(zone, 4, process)


async def no_reward(zone: Zone, moment: datetime) -> IsThere:
    """A bounty that was settled then by who died before the reward; whether that is there."""
    lost = await lacking_a_reward(zone, moment)
    return lambda: has_reward(zone, lost)


async def a_stale_marker(zone: Zone, moment: datetime) -> IsThere:
    """A marker of then that its document gives the lie; whether it is gone."""
    settled = next(each.bounty.bounty_id for each in ended(9) if each.rewarded)
    stale = PATHS.marker(BountyStatus.CANCELLED, settled, ended_at=moment)
    zone.mock.core.table.write(stale, b"")
    return lambda: stale not in zone.mock.files


@pytest.mark.parametrize("is_the_same", [True, False])
@pytest.mark.parametrize("go_wrong", [no_reward, a_stale_marker])
@pytest.mark.parametrize("days", [2, 30])
async def test_what_ends_while_a_clock_is_ahead_is_found_once_its_time_has_come(
    days: int, go_wrong: Callable[[Zone, datetime], Awaitable[IsThere]], is_the_same: bool
) -> None:
    """No clock is ahead any more that would tell: what was remembered is of the past by now."""
    ahead, later = days * A_DAY, (days + 2) * A_DAY
    async with a_zone_with_a_past() as zone:
        process = zone.reconciler()
        await watched(zone, ahead, timedelta(), process)
        is_mended = await go_wrong(zone, datetime.now(UTC) - AN_HOUR)
        await watched(zone, later, later, process if is_the_same else None)
        assert is_mended()


@pytest.mark.parametrize("go_wrong", [no_reward, a_stale_marker])
async def test_what_a_clock_that_is_ahead_remembers_is_doubted_while_it_is(
    go_wrong: Callable[[Zone, datetime], Awaitable[IsThere]],
) -> None:
    """Such as what it took for over while the server said nothing of its own."""
    async with a_zone_with_a_past() as zone:
        await watched(zone, 30 * A_DAY, None)
        is_mended = await go_wrong(zone, datetime.now(UTC) - AN_HOUR)
        await watched(zone, 30 * A_DAY, timedelta())
        assert is_mended()


async def test_clocks_that_agree_cost_no_request() -> None:
    """Nor does a server whose clock is ahead, or says nothing: a run is as warm as it was."""
    costs = []
    for theirs in (None, timedelta(), 30 * A_DAY):
        async with a_zone_with_a_past() as zone:
            first = await watched(zone, timedelta(), theirs)
            costs.append((first, await watched(zone, timedelta(), theirs)))
            assert sum(path.startswith(NOTES) for path in zone.mock.files) == 1
    assert costs[0] == costs[1] == costs[2]
    (cold, *_, usual), (again, *_) = costs[0]
    assert again <= usual < cold / 2


async def test_a_server_whose_clock_is_ahead_closes_no_day_that_ours_does_not() -> None:
    """Of what is over by both nothing is looked at again, as ever."""
    async with a_zone_with_a_past() as zone:
        await watched(zone, timedelta(), 30 * A_DAY)
        open_day = await no_reward(zone, datetime.now(UTC) - AN_HOUR)
        lost = lose_a_reward(zone)
        await watched(zone, timedelta(), 30 * A_DAY)
        assert open_day()
        assert not has_reward(zone, lost)


async def test_whose_clock_is_ahead_hears_of_it(caplog: pytest.LogCaptureFixture) -> None:
    """Once, in all the runs of a process."""
    caplog.set_level(logging.WARNING, "nexus_bounty")
    async with a_zone_with_a_past() as zone:
        await watched(zone, timedelta(), timedelta())
        assert not caplog.records
        await watched(zone, 30 * A_DAY, timedelta())
    (warning,) = caplog.records
    assert "ahead of that of" in warning.getMessage()
