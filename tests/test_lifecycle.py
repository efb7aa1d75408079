"""The lifecycle table says what the design says, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_bounty import BountyStatus, is_bounty_expired, is_bounty_terminal
from nexus_bounty.lifecycle import (
    HOLDS_ESCROW,
    PAST_THE_PIVOT,
    TERMINAL,
    TRANSITIONS,
    is_legal,
    sources_of,
)
from nexus_bounty.testing.builders import make_bounty

S = BountyStatus
LEGAL = {
    (S.DRAFT, S.OPEN),
    (S.DRAFT, S.CANCELLED),
    (S.OPEN, S.CLAIMED),
    (S.OPEN, S.EXPIRED),
    (S.OPEN, S.CANCELLED),
    (S.CLAIMED, S.CLAIMED),
    (S.CLAIMED, S.OPEN),
    (S.CLAIMED, S.PENDING_SETTLEMENT),
    (S.CLAIMED, S.COMPLETED),
    (S.CLAIMED, S.EXPIRED),
    (S.CLAIMED, S.CANCELLED),
    (S.PENDING_SETTLEMENT, S.COMPLETED),
    (S.PENDING_SETTLEMENT, S.SETTLED),
    (S.COMPLETED, S.SETTLED),
}


@pytest.mark.parametrize("target", list(S))
@pytest.mark.parametrize("current", list(S))
def test_a_transition_is_legal_exactly_when_the_design_names_it(current, target):
    """All 64 pairs."""
    assert is_legal(current, target) == ((current, target) in LEGAL)


def test_the_table_has_a_row_for_every_status():
    """No status is forgotten, and no row leads out of the table."""
    assert set(TRANSITIONS) == set(S)
    assert all(after <= set(S) for after in TRANSITIONS.values())


def test_the_terminal_statuses_are_settled_expired_and_cancelled():
    """Nothing leaves them."""
    assert {S.SETTLED, S.EXPIRED, S.CANCELLED} == TERMINAL


def test_past_the_pivot_there_is_no_way_back():
    """Nothing that is reachable from there gives escrow back."""
    for status in PAST_THE_PIVOT:
        assert TRANSITIONS[status] <= PAST_THE_PIVOT


def test_completed_goes_only_to_settled():
    """Work that was accepted is paid."""
    assert TRANSITIONS[S.COMPLETED] == {S.SETTLED}


@given(st.lists(st.sampled_from(list(S)), max_size=20))
def test_escrow_once_let_go_is_never_held_again(wanted):
    """Along any life, credits are reserved in one unbroken stretch, or never."""
    life = [S.DRAFT]
    for status in wanted:
        if is_legal(life[-1], status):
            life.append(status)
    held = [status in HOLDS_ESCROW for status in life]
    changes = [now for before, now in zip([False, *held], held, strict=False) if now != before]
    assert changes in ([], [True], [True, False])


def test_the_sources_of_a_status_are_the_statuses_before_it():
    """In the order of a bounty's life."""
    assert sources_of(S.OPEN) == (S.DRAFT, S.CLAIMED)
    assert sources_of(S.DRAFT) == ()
    for target in S:
        assert sources_of(target) == tuple(each for each in S if is_legal(each, target))


def test_a_bounty_is_expired_once_its_deadline_is_over():
    """At the moment itself it is not yet; it goes by the clock if no time is given."""
    deadline = datetime(2026, 1, 1, tzinfo=UTC)
    bounty = make_bounty(deadline=deadline)
    assert not is_bounty_expired(bounty, deadline)
    assert is_bounty_expired(bounty, deadline + timedelta(microseconds=1))
    assert is_bounty_expired(make_bounty(deadline=datetime(2000, 1, 1, tzinfo=UTC)))
    assert not is_bounty_expired(make_bounty(deadline=datetime(2999, 1, 1, tzinfo=UTC)))


def test_nothing_leaves_a_terminal_status():
    """Nor is one of another program terminal, as far as we know."""
    ended = {BountyStatus.SETTLED, BountyStatus.EXPIRED, BountyStatus.CANCELLED}
    assert {status for status in BountyStatus if is_bounty_terminal(status)} == ended
    assert not is_bounty_terminal(BountyStatus.foreign("on_hold"))
