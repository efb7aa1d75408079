"""The rules of status markers: which one is needed when, and which one is never needed again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple, Self, cast

import pytest

from nexus_bounty import Bounty, BountyStatus, NexusClient
from nexus_bounty.idempotency import History
from nexus_bounty.lifecycle import TERMINAL, TRANSITIONS
from nexus_bounty.nexus.bounties.marker_places import MarkerPlaces
from nexus_bounty.nexus.bounties.status_index import (
    MarkerState,
    announced_with,
    generation_after,
    is_stale,
    left_behind,
    marker_state,
)
from nexus_bounty.nexus.documents.commits import StrategyChoice
from nexus_bounty.nexus.documents.marker_layout import Layout, ZoneLayout
from nexus_bounty.nexus.documents.paths import ZonePaths, marked_id, marker_generation
from nexus_bounty.testing.builders import CREATED, make_bounty

S = BountyStatus
PATHS = ZonePaths("z")
A_WHILE = timedelta(minutes=40)


class Moment(NamedTuple):
    """A bounty at one moment of its life, as far as markers are concerned.

    `status` is `None` for a tombstone; `present` are the markers that are there. Every write comes
    a while after the one before it, so that some are in the same hour.
    """

    places: MarkerPlaces
    status: BountyStatus | None
    history: History
    present: frozenset[str] = frozenset()
    at: datetime = CREATED

    @property
    def needed(self) -> str | None:
        """The marker without which a listing would miss it."""
        return self.status and self.marker(self.status, self.history.marker_seq)

    @property
    def before(self) -> BountyStatus:
        assert self.status is not None
        return self.status

    @property
    def bounty(self) -> Bounty:
        return make_bounty(bounty_id="b", status=self.before, updated_at=self.at)

    def marker(self, status: BountyStatus, generation: int | None = None) -> str:
        return self.places.of(status, "b", generation, self.at)

    def left_behind_by(self, after: Self) -> list[str]:
        if self.status is None:
            return []
        return left_behind(self.bounty, after.bounty, self.history, self.places)

    def after(self, target: BountyStatus) -> Self:
        seq = self.history.seq + 1
        born = self.status is None
        generation = None if born else generation_after(self.history, self.before, target, seq)
        after = self._replace(
            status=target,
            history=History(seq=seq, marker_seq=generation),
            at=self.at + A_WHILE,
        )
        written = {after.marker(each) for each in announced_with(target)}
        written.add(after.marker(target, generation))
        return after._replace(
            present=(self.present | written) - set(self.left_behind_by(after)),
        )

    def next(self) -> Iterator[Self]:
        for target in TRANSITIONS[self.status] if self.status else BountyStatus:
            yield self.after(target)

    def is_stale(self, marker: str) -> bool:
        return is_stale(marker, self.bounty, self.history, PATHS)


class Laid(NamedTuple):
    layout: ZoneLayout


def begun(kind: Layout, seq: int) -> Moment:
    choice = cast("StrategyChoice", Laid(ZoneLayout(kind=kind)))
    places = MarkerPlaces(cast("NexusClient", None), PATHS, choice)
    return Moment(places, None, History(seq=seq))


def lives(start: Moment, steps: int) -> Iterator[Moment]:
    """Every moment of every life of so many steps from `start` on."""
    yield start
    if steps:
        for moment in start.next():
            yield from lives(moment, steps - 1)


def any_marker() -> Iterator[str]:
    hours = [CREATED + hour * timedelta(hours=1) for hour in range(4)]
    for status in BountyStatus:
        for generation in (None, 1, 2, 3, 4, 5):
            for ended_at in (None, *(hours if status in TERMINAL else ())):
                yield PATHS.marker(status, "b", generation, ended_at=ended_at)


both_starts = pytest.mark.parametrize(
    "start",
    [begun(kind, seq) for kind in Layout for seq in (0, 1)],
    ids=[f"{kind.value}-{over}" for kind in Layout for over in ("nothing", "tombstone")],
)


@both_starts
def test_the_marker_that_a_bounty_needs_is_there_and_current(start):
    """At every moment of every life."""
    for moment in lives(start, 5):
        if moment.needed:
            assert moment.needed in moment.present
            assert not moment.is_stale(moment.needed)


@both_starts
def test_no_marker_that_is_called_stale_is_ever_needed_again(start):
    """A delete of it may arrive at any later moment, and does no harm."""
    for moment in lives(start, 3):
        if moment.status is None:  # without a bounty there is nothing to stand to
            continue
        stale = {each for each in any_marker() if moment.is_stale(each)}
        for later in lives(moment, 3):
            assert later.needed not in stale, (moment, later)


@both_starts
def test_no_marker_that_is_left_behind_is_ever_needed_again(start):
    """What a transition deletes may be deleted late."""
    for moment in lives(start, 3):
        for after in moment.next() if moment.status else ():
            behind = set(moment.left_behind_by(after))
            for later in lives(after, 3):
                assert later.needed not in behind, (moment, after, later)


@both_starts
def test_no_life_leaves_a_stale_marker(start):
    """What nobody needs any more is removed by the transition that ends the need."""
    for moment in lives(start, 5):
        stale = {each for each in moment.present if moment.status and moment.is_stale(each)}
        assert stale == set(), moment


@both_starts
def test_a_marker_of_a_write_still_to_come_is_ahead(start):
    """Whatever its status: its commit may be under way."""
    for moment in lives(start, 3):
        for status in BountyStatus if moment.status else ():
            marker = moment.marker(status, moment.history.seq + 1)
            generation = marker_generation(marker)
            state = marker_state(status, generation, moment.before, moment.history)
            assert state is MarkerState.AHEAD


def test_a_marker_name_tells_the_bounty_and_the_generation():
    """Also of ids that look like one."""
    for bounty_id in ("b-1", "a/b", "a%b", "x%@7", "ä"):
        for generation in (None, 1, 42):
            path = PATHS.marker(S.OPEN, bounty_id, generation)
            assert (marked_id(path), marker_generation(path)) == (bounty_id, generation)
