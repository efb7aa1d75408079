"""An observer that keeps what it is told, and systems to observe."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, TypeVar

import httpx

from nexus_bounty import NexusBountyStore, NexusClient, NexusSettings, events
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.world import BOUNTY_ID

E = TypeVar("E", bound=events.Event)

QUICK = NexusSettings(request_timeout=1, operation_timeout=60, cleanup_delay=0)
IMPATIENT = NexusSettings(request_timeout=1, operation_timeout=3, retry_attempts=1)
DOCUMENT = f"*/bounties/{BOUNTY_ID}.json"


class Heard(list[events.Event]):
    """Everything that it was told, in order."""

    __hash__ = None

    def __call__(self, event: events.Event) -> None:
        self.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [each for each in self if isinstance(each, kind)]

    def place(self, event: events.Event) -> int:
        """Where that very event stands."""
        return next(index for index, each in enumerate(self) if each is event)

    def the(self, kind: type[E]) -> E:
        (found,) = self.of(kind)
        return found


def commit_of(kind: FaultKind, times: int | None = 1, **details: Any) -> Fault:
    """A fault for the writes that commit the bounty, or fence it off."""
    return Fault(kind, match=RequestMatch("write", DOCUMENT), times=times, **details)


def read_of(kind: FaultKind, times: int | None = 1) -> Fault:
    """A fault for the reads that find out what became of such a write."""
    return Fault(kind, match=RequestMatch("read", DOCUMENT), times=times)


@asynccontextmanager
async def a_store(
    mock: MockNexus,
    settings: NexusSettings = QUICK,
    *,
    observers: Sequence[events.Observer] = (),
    transport: httpx.AsyncBaseTransport | None = None,
    seed: int = 1,
    **named: Any,
) -> AsyncIterator[NexusBountyStore]:
    """A store that commits by preconditions, on a client that `observers` were given to."""
    client = NexusClient(
        settings=settings,
        transport=transport or mock.transport(),
        random=Random(seed),
        observers=observers,
    )
    async with client:
        yield NexusBountyStore(
            client, commit=named.pop("commit", "conditional"), clock=wall_clock, **named
        )


def a_mock(personality: str = "0.10-hypothetical") -> MockNexus:
    return MockNexus(personality, atomic=True, clock=wall_clock)
