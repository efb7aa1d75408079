"""Contenders take turns, so that whatever else the machine does hits them alike."""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

Step = Callable[[str], None]
"""Says what is being measured now."""

Doing = Callable[[], Awaitable[object]]
"""Does what is being measured once."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of `values`."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, mine: Sequence[float], theirs: Sequence[float]) -> Spread:
        """The spread of `mine / theirs`, each within its own round."""
        return cls.of([a / b for a, b in zip(mine, theirs, strict=True)])

    @property
    def figures(self) -> dict[str, float]:
        """For JSON."""
        return {
            "median": rounded(self.median),
            "low": rounded(self.low),
            "high": rounded(self.high),
        }

    def __str__(self) -> str:
        """The median, and from where to where, if they differ."""
        if self.low == self.high:
            return shown(self.median)
        return f"{shown(self.median)} ({shown(self.low)} to {shown(self.high)})"


def shown(value: float) -> str:
    """`value` for people."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rounded(value: float) -> float:
    """`value` with the digits that mean something."""
    return float(f"{value:.4g}")


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def part_of(step: Step, part: str) -> Step:
    """Says with each step which part of the measurement it belongs to."""
    return lambda what: step(f"{part}: {what}")


def throughput(do: Doing, at_once: int, seconds: float) -> Callable[[], Awaitable[float]]:
    """A turn that measures how often a second `do` is done by so many callers at once."""

    async def again_and_again(until: float) -> int:
        done = 0
        while perf_counter() < until:
            await do()
            done += 1
        return done

    async def turn() -> float:
        await do()
        began = perf_counter()
        until = began + seconds
        done = await asyncio.gather(*(again_and_again(until) for _ in range(at_once)))
        return sum(done) / (perf_counter() - began)

    return turn


async def take_turns(
    contenders: Mapping[str, Callable[[], Awaitable[T]]], rounds: int, step: Step
) -> dict[str, list[T]]:
    """What each contender measured in each round; who begins changes from round to round."""
    found: dict[str, list[T]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            step(f"{name}, round {number + 1} of {rounds}")
            gc.collect()
            found[name].append(await contenders[name]())
    return found
