"""A refusal of bad input never fails on showing it, however deep, long or odd it is."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from nexus_bounty import BountyCriteria, InvalidInputError
from nexus_bounty.validation import (
    check_agent,
    check_amount,
    check_bounty,
    check_criteria,
    check_duration,
    check_id,
    check_json,
    check_key,
    check_text,
    check_time,
)

HUGE = 10**5_000


class Unshowable:
    """A value whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@cache
def _deep(levels: int = 100_000) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


CHECKS: dict[str, Callable[[Any], object]] = {
    "id": lambda value: check_id("field", value),
    "text": lambda value: check_text("field", value),
    "amount": lambda value: check_amount("field", value),
    "time": lambda value: check_time("field", value),
    "duration": lambda value: check_duration("field", value),
    "agent": lambda value: check_agent("field", value),
    "criteria": lambda value: check_criteria("field", value),
    "JSON": lambda value: check_json("field", value),
    "JSON within": lambda value: check_json("field", {"a": [value]}),
    "key": check_key,
    "bounty": check_bounty,
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize(
    "value",
    [_deep, lambda: HUGE, lambda: -HUGE, Unshowable, lambda: {"a": _deep()}],
    ids=["list", "int", "negative int", "Unshowable", "dict"],
)
def test_every_check_refuses_what_cannot_even_be_shown(
    check: Callable[[Any], object], value: Callable[[], Any]
) -> None:
    """In a message of reasonable length, that crosses processes and is JSON."""
    with pytest.raises(InvalidInputError) as caught:
        check(value())
    assert len(str(caught.value)) < 400
    assert json.loads(caught.value.to_json())["outcome"] == "pre_commit"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_threshold_that_no_reader_could_take_is_refused() -> None:
    """It would be written, and be an unreadable document from then on."""
    criteria = BountyCriteria(description="d", metric_name="m", metric_threshold=10**310)
    with pytest.raises(InvalidInputError, match="metric_threshold"):
        check_criteria("criteria", criteria)
