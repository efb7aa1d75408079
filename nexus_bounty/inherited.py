"""What a task takes along from the one that starts it, and what must not outlast what it is about.

A program may start a task at any time, such as a worker on the first event that an observer is told
of: what it does later belongs to nothing that was under way then. So observers are called without
any of this, and whoever reads it has to pass over what is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final

_all: Final[list[ContextVar[Any]]] = []

Held = Sequence[tuple[ContextVar[Any], Any]]
"""Variables and what they held."""


def inherited(name: str) -> ContextVar[Any]:
    """A variable of what is under way, `None` outside of any."""
    made: ContextVar[Any] = ContextVar(name, default=None)
    _all.append(made)
    return made


def lay_aside() -> Held:
    """Have nothing under way for now; returns what is to be taken up again."""
    held = [(each, value) for each in _all if (value := each.get()) is not None]
    for variable, _ in held:
        variable.set(None)
    return held


def take_up(held: Held) -> None:
    """Go on with what was laid aside."""
    for variable, value in held:
        variable.set(value)
