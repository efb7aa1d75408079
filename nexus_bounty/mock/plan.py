"""Which request fails: faults by rule, by number or by seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Protocol

from nexus_bounty.mock.faults import ALL_FAULTS, Fault, FaultKind
from nexus_bounty.mock.oracle import ReceivedRequest


class FaultSource(Protocol):
    """Decides for each request, in the order of arrival, whether and how it fails."""

    def choose(self, request: ReceivedRequest) -> Fault | None:
        """The fault for this request, or None."""


class FaultPlan:
    """Faults by rule; the first that selects a request hits it.

    Args:
        faults: The faults, each with its own selection.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._rules = [_Rule(fault) for fault in faults]

    def add(self, *faults: Fault) -> None:
        """Add faults after those already there."""
        self._rules += [_Rule(fault) for fault in faults]

    def clear(self) -> None:
        """Forget all faults."""
        self._rules.clear()

    def choose(self, request: ReceivedRequest) -> Fault | None:
        """The first fault that selects the request; matches are counted for every rule."""
        hits = [rule for rule in self._rules if rule.selects(request)]
        if not hits:
            return None
        hits[0].hits += 1
        return hits[0].fault

    @staticmethod
    def seeded(
        seed: int, rate: float, kinds: Sequence[FaultKind | Fault] = ALL_FAULTS
    ) -> SeededFaults:
        """Random faults that are the same for the same seed and order of requests."""
        return SeededFaults(seed, rate, kinds)


class _Rule:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.hits = 0
        self._seen = 0

    def selects(self, request: ReceivedRequest) -> bool:
        """Whether the rule wants the request; call once a request, it counts matches."""
        fault = self.fault
        if fault.at is not None and fault.at != request.number:
            return False
        if fault.match is not None:
            if not fault.match.accepts(request):
                return False
            self._seen += 1
            if self._seen < fault.match.nth:
                return False
        return fault.times is None or self.hits < fault.times


class SeededFaults:
    """Random faults from a seed.

    Args:
        seed: Same seed, same faults for the same order of requests.
        rate: The share of requests that fail, 0 to 1.
        kinds: What to draw from: kinds stand for all their specimens.
    """

    def __init__(
        self, seed: int, rate: float, kinds: Sequence[FaultKind | Fault] = ALL_FAULTS
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._rate = rate
        self._choices = [fault for kind in kinds for fault in _of_kind(kind)]

    def choose(self, request: ReceivedRequest) -> Fault | None:  # noqa: ARG002
        """Draw for the next request."""
        if self._random.random() >= self._rate:
            return None
        return self._random.choice(self._choices)


def _of_kind(kind: FaultKind | Fault) -> list[Fault]:
    if isinstance(kind, Fault):
        return [kind]
    return [fault for fault in ALL_FAULTS if fault.kind is kind]
