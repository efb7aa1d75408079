"""The requests of operations that this process has sent, for the picture of a bounty's life."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from nexus_bounty.events import Event, RequestEnded
from nexus_bounty.models import Wire, utc_now
from nexus_bounty.nexus.client.classification import Disposition

KEPT: Final = 5_000


class SeenRequest(Wire, frozen=True, kw_only=True):
    """One request of an operation.

    Attributes:
        at: When it was answered, or given up; aware.
        operation: Which operation sent it.
        method: What it asked for.
        path: About which file.
        answer: What that proves, and why.
        lost: Whether nothing is known of what became of it.
        seconds: How long it took.
    """

    at: datetime
    operation: str
    method: str
    path: str
    answer: str
    lost: bool
    seconds: float

    @property
    def began_at(self) -> datetime:
        """When it was sent."""
        return self.at - timedelta(seconds=self.seconds)


class RequestsSeen:
    """An observer of events that remembers the latest requests, by bounty."""

    wants: Final = frozenset({RequestEnded})

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._seen: deque[tuple[str, SeenRequest]] = deque(maxlen=KEPT)

    def __call__(self, event: Event) -> None:
        """Remember a request, if an operation has sent it."""
        if isinstance(event, RequestEnded) and event.operation is not None:
            called = event.operation.outermost
            seen = SeenRequest(
                at=self._clock(),
                operation=called.name,
                method=event.method,
                path=event.path,
                answer=f"{event.disposition}: {event.reason}",
                lost=event.disposition == Disposition.AMBIGUOUS,
                seconds=event.seconds,
            )
            self._seen.append((called.bounty_id, seen))

    def of(self, bounty_id: str) -> list[SeenRequest]:
        """The requests of operations on one bounty, oldest first."""
        return [seen for about, seen in self._seen if about == bounty_id]
