"""What all sweeps share: a sweep finds problems, each with the repair that would end it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from nexus_bounty.operations.services import Services

Repair = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not at its right end.

    `repair` ends it and says how; without one, `reason` says why it is left alone.
    """

    subject: str
    what: str
    repair: Repair | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a sweep works on, and what it must not touch: operations younger than `grace`."""

    services: Services
    grace: timedelta
    now: datetime

    def is_young(self, touched: datetime) -> bool:
        """Whether the operation that last touched something may still be running."""
        return self.now - touched < self.grace


class Sweep(Protocol):
    """Finds one kind of problem."""

    name: str

    def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every problem of this kind, from the documents and the ledger alone."""
        ...
