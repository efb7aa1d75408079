"""The picture of a life: everything in its place, whatever the times are."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_bounty.models import BountyStatus, utc_now
from nexus_bounty.statuses import STATUSES
from nexus_bounty_console.lives import BountyLife
from nexus_bounty_console.picture import LEFT, Picture, Scale, draw, lasting
from tests.adapters.console.stage import BOB, Stage

LIFE = tuple(
    BountyStatus(each) for each in ("draft", "open", "claimed", "pending_settlement", "settled")
)


async def picture_of(stage: Stage, bounty_id: str) -> Picture:
    drawn = draw(await stage.desk.life(bounty_id), stage.clock())
    assert drawn is not None
    return drawn


@given(st.lists(st.floats(0, 10**8), min_size=1, max_size=60))
def test_moments_stay_in_their_order_and_none_vanishes_beside_another(
    seconds: list[float],
) -> None:
    """From microseconds to years."""
    start = utc_now()
    scale = Scale(start + timedelta(seconds=each) for each in seconds)
    places = [scale(moment) for moment in scale.moments]
    assert places[0] == pytest.approx(LEFT)
    assert all(later - earlier >= 29 for earlier, later in pairwise(places))


async def test_a_settlement_of_a_moment_after_a_claim_of_days_is_seen(stage: Stage) -> None:
    await stage.posted("b-1")
    stage.clock.forward(days=3)
    await stage.operations.claim("b-1", BOB)
    stage.clock.forward(days=3)
    await stage.operations.settle("b-1", "cid-b-1")
    lanes = {lane.name: lane for lane in (await picture_of(stage, "b-1")).lanes}
    shown = [(bar.kind, bar.width) for bar in lanes["Document"].bars]
    assert [kind.removeprefix("colour-") for kind, _ in shown] == [
        STATUSES[each].colour.replace(" ", "-") for each in LIFE
    ]
    assert all(width >= 29 for _, width in shown)
    assert [bar.kind for bar in lanes["Money"].bars] == ["held", "paid"]
    assert [bar.kind for bar in lanes["Operations and doubts"].bars] == ["done"] * 3


async def test_who_asked_is_shown_where_the_program_said_it(stage: Stage) -> None:
    await stage.posted("b-1")
    await stage.operations.claim("b-1", BOB)
    await stage.operations.cancel("b-1", actor="alice")
    lanes = {lane.name: lane for lane in (await picture_of(stage, "b-1")).lanes}
    titles = [bar.title for bar in lanes["Operations and doubts"].bars]
    assert [title.partition(":")[0] for title in titles] == ["create", "claim", "cancel by alice"]


async def test_what_goes_on_reaches_the_present_and_what_has_ended_does_not(
    stage: Stage,
) -> None:
    await stage.posted("b-1")
    stage.clock.forward(hours=1)
    await stage.in_doubt("commit of claim", stage.operations.claim("b-1", BOB))
    stage.clock.forward(hours=1)
    going = await picture_of(stage, "b-1")
    (doubt,) = [bar for lane in going.lanes for bar in lane.bars if bar.kind == "doubt"]
    assert going.now is not None
    assert doubt.x + doubt.width == pytest.approx(going.now)
    await stage.posted("b-2")
    await stage.operations.cancel("b-2")
    stage.clock.forward(hours=1)
    ended = await picture_of(stage, "b-2")
    assert ended.now is None
    assert [bar.kind for bar in ended.lanes[1].bars] == ["held", "back"]


async def test_bars_of_one_lane_never_cover_each_other(stage: Stage) -> None:
    await stage.posted("b-1")
    for _ in range(4):
        await stage.operations.claim("b-1", BOB)
        await stage.operations.release("b-1", BOB)
    for lane in (await picture_of(stage, "b-1")).lanes:
        rows: dict[float, list[tuple[float, float]]] = {}
        for bar in lane.bars:
            rows.setdefault(bar.y, []).append((bar.x, bar.x + bar.width))
        for spans in rows.values():
            for (_, end), (begin, _) in pairwise(sorted(spans)):
                assert begin >= end - 4.0, lane.name  # the least width of one


async def test_a_claim_that_was_given_back_ends_with_the_release(stage: Stage) -> None:
    await stage.posted("b-1")
    await stage.operations.claim("b-1", BOB, lease=timedelta(hours=9))
    stage.clock.forward(hours=2)
    await stage.operations.release("b-1", BOB)
    drawn = await picture_of(stage, "b-1")
    (claim,) = drawn.lanes[2].bars
    released = next(bar for bar in drawn.lanes[0].bars if bar.title.endswith("for others"))
    assert claim.x + claim.width == pytest.approx(released.x)


async def test_the_requests_of_a_repair_are_seen_those_lost_too(stage: Stage) -> None:
    await stage.stuck_settlement("b-1")
    async with stage.browser() as browser:
        stage.fail("commit of settle_bounty", "answer lost")
        stage.desk.repair("", "pending settlements", "b-1")
        await stage.desk.jobs.wait()
        assert stage.faults.missed == []
        drawn = await picture_of(stage, "b-1")
        kinds = [mark.kind for mark in drawn.lanes[3].marks]
        assert "request" in kinds
        assert "lost" in kinds
        assert "Requests of this console" in await browser.see("/bounties/b-1")


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw(BountyLife(bounty_id="b-1", bounty=None), utc_now()) is None


def test_times_are_said_in_two_units_at_most() -> None:
    said = {
        timedelta(0): "0 s",
        timedelta(milliseconds=12): "12 ms",
        timedelta(seconds=59): "59 s",
        timedelta(minutes=5): "5 m",
        timedelta(hours=26, minutes=3): "1 d 2 h",
        timedelta(seconds=-5): "0 s",
    }
    for time, words in said.items():
        assert lasting(time).replace("\N{NO-BREAK SPACE}", " ") == words
