"""What the quick run tries of the faults that `make test-exhaustive` tries one and all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from nexus_bounty.mock import Fault, FaultKind

EVERY_NTH = 4

sample_and_all = pytest.mark.parametrize(
    "sample", [True, pytest.param(False, marks=pytest.mark.exhaustive)], ids=["sample", "all"]
)
"""Runs a test on a sample of the faults, and among the exhaustive tests on all of them."""


def sampled(faults: Sequence[Fault], number: int) -> Iterator[Fault]:
    """The faults to try at the request with this number: a quarter, and all the telling ones.

    The next request has the next quarter, so that an operation of four requests meets every
    fault, and every request meets faults of most kinds.
    """
    for place, fault in enumerate(faults):
        if is_telling(fault) or (place + number) % EVERY_NTH == 0:
            yield fault


def is_telling(fault: Fault) -> bool:
    """Whether the client hears nothing of a write that is applied, at once or when all is over."""
    late = fault.kind is FaultKind.LATE and fault.after_requests >= 1000
    return late or fault.kind is FaultKind.DROP_AFTER
