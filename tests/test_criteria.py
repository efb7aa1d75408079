"""What a contribution lacks of what a bounty asks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nexus_bounty import BountyCriteria, Contribution, evaluate_bounty_criteria
from nexus_bounty.criteria import unmet

FAST = BountyCriteria(description="d", metric_name="m", metric_threshold=1.5)
TAGGED = BountyCriteria(description="d", required_tags=["a", "b"])


def _with(criteria: BountyCriteria, **changes: Any) -> BountyCriteria:
    return msgspec.structs.replace(criteria, **changes)


@pytest.mark.parametrize(
    ("criteria", "scores", "tags", "lacking"),
    [
        (BountyCriteria(description="anything"), {}, [], 0),
        (_with(FAST, metric_direction="maximize"), {"m": 1.5}, [], 0),
        (_with(FAST, metric_direction="maximize"), {"m": 1.6}, [], 0),
        (_with(FAST, metric_direction="maximize"), {"m": 1.49}, [], 1),
        (_with(FAST, metric_direction="minimize"), {"m": 1.5}, [], 0),
        (_with(FAST, metric_direction="minimize"), {"m": 1.4}, [], 0),
        (_with(FAST, metric_direction="minimize"), {"m": 1.51}, [], 1),
        (FAST, {"m": 1.5}, [], 0),
        (FAST, {"m": 1.4}, [], 0),
        (FAST, {"m": 1.6}, [], 1),
        (FAST, {}, [], 1),
        (FAST, {"other": 1.0}, [], 1),
        (_with(FAST, metric_threshold=0.0, metric_direction="maximize"), {"m": 0.0}, [], 0),
        (_with(FAST, metric_threshold=0.0, metric_direction="maximize"), {"m": -0.1}, [], 1),
        pytest.param(_with(FAST, metric_direction="maximize"), {"m": float("nan")}, [], 1),
        pytest.param(_with(FAST, metric_direction="minimize"), {"m": float("nan")}, [], 1),
        (BountyCriteria(description="d", metric_name="m"), {}, [], 0),
        (TAGGED, {}, ["b", "a", "c"], 0),
        (TAGGED, {}, ["a"], 1),
        (TAGGED, {}, [], 2),
        (TAGGED, {}, ["A", "B"], 2),
        (_with(TAGGED, metric_name="m", metric_threshold=1.0), {"m": 2.0}, ["a"], 2),
    ],
)
def test_a_contribution_lacks_what_the_criteria_ask_and_it_does_not_have(
    criteria: BountyCriteria, scores: dict[str, float], tags: list[str], lacking: int
) -> None:
    """A threshold is met by equality; a score that is missing, or no number, meets none."""
    found = unmet(criteria, Contribution(cid="c", scores=scores, tags=tags))
    assert len(found) == lacking, found


def test_whether_criteria_are_met_can_be_asked_under_the_peers_name():
    """Met is what lacks nothing."""
    criteria = BountyCriteria(description="", metric_name="loss", metric_threshold=0.5)
    assert evaluate_bounty_criteria(criteria, Contribution(cid="c", scores={"loss": 0.5}))
    assert not evaluate_bounty_criteria(criteria, Contribution(cid="c", scores={"loss": 0.6}))
