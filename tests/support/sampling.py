"""What the quick run tries of the faults that `make test-exhaustive` tries one and all."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from nexus_bounty.mock import Fault, FaultKind

SHARE = 6

sample_and_all = pytest.mark.parametrize(
    "sample", [True, pytest.param(False, marks=pytest.mark.exhaustive)], ids=["sample", "all"]
)
"""Runs a test on a sample of the faults, and among the exhaustive tests on all of them."""


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
