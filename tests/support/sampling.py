"""What the quick run tries of that which `make test-thorough` and `make test-exhaustive` try."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import pytest

from nexus_bounty.mock import Fault, FaultKind

SHARE = 6

sample_and_all = pytest.mark.parametrize(
    "sample", [True, pytest.param(False, marks=pytest.mark.exhaustive)], ids=["sample", "all"]
)
"""Runs a test on a sample of the faults, and among the exhaustive tests on all of them."""


def every_nth(n: int, values: Iterable[Any]) -> list[Any]:
    """Parameters of a test: one of `n` in the quick run, the others by `make test-thorough`."""
    return [
        value if number % n == 0 else thorough_unless(False, value)
        for number, value in enumerate(values)
    ]


def thorough_unless(quick: bool, value: Any, name: str | None = None) -> Any:
    """A parameter of a test, `name`d or not, for the quick run or for `make test-thorough`."""
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, id=name, marks=[] if quick else [pytest.mark.thorough])


def sampled(faults: Sequence[Fault], request: str) -> list[Fault]:
    """The faults to try at this request: the telling ones, and a sixth of the others.

    The same ones every time, and others at other requests, so that all are tried somewhere.
    """
    others = [fault for fault in faults if not is_telling(fault)]
    chosen = Random(request).sample(others, len(others) // SHARE)
    return [*filter(is_telling, faults), *chosen]


def is_telling(fault: Fault) -> bool:
    """Whether the client hears nothing of a write that is applied, at once or when all is over."""
    late = fault.kind is FaultKind.LATE and fault.after_requests >= 1000
    return late or fault.kind is FaultKind.DROP_AFTER
