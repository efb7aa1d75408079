"""Requests that several callers of one moment share: tasks of one operation, started together.

Whoever asks first waits until the event loop has served everybody who is ready, and then asks for
all of them. It takes no time, only turns of the loop. If that one request fails, or the one who
sends it is stopped, everybody asks for themselves. Operations of different callers share nothing,
so that what is told of each is its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Generic, TypeVar

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.together import moment

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_TURNS: Final = 4
"""Of the event loop: what is started together asks within so many of them."""


@dataclass(slots=True, eq=False)
class Part(Generic[Asked, Answer]):
    """What one caller asks for.

    As a context manager it is the request of whoever asks for all: at its end everybody is told
    `answers`, or to ask for themselves.

    Attributes:
        asked: What.
        deadline: When the caller gives up.
        parts: What everybody asks for, this caller first, if this one is to ask for all.
        answers: The answers to these.
    """

    asked: Asked
    deadline: Deadline
    parts: Sequence[Part[Asked, Answer]] = ()
    answers: Sequence[Answer] = ()
    _told: asyncio.Future[Answer | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def answer(self) -> Answer | None:
        """What was answered to this caller; `None` if it has to ask for itself."""
        return self._told.result() if self._told.done() else None

    @property
    def earliest(self) -> Deadline:
        """The deadline of whoever gives up first."""
        return min((part.deadline for part in self.parts), key=lambda each: each.at)

    def __enter__(self) -> None:
        """Begin to ask for all."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Tell everybody; for whose part the request failed is not known."""
        for part, answer in zip(self.parts, self.answers, strict=False):
            part.tell(answer)
        for part in self.parts[len(self.answers) :]:
            part.tell(None)
        return isinstance(error, NexusError)

    def tell(self, answer: Answer | None) -> None:
        """Let the caller go on."""
        if not self._told.done():
            self._told.set_result(answer)

    async def told(self) -> None:
        """Wait for whoever asks for all."""
        await self._told


class Shared(Generic[Asked, Answer]):
    """A kind of request that does no harm when it is sent again, and serves many."""

    def __init__(self) -> None:
        self._waiting: dict[object, list[Part[Asked, Answer]]] = {}

    async def joined(self, asked: Asked, deadline: Deadline) -> Part[Asked, Answer]:
        """The part of one caller: answered, to be asked for alone, or with those of all others."""
        part: Part[Asked, Answer] = Part(asked, deadline)
        now = moment()
        if now is None:
            return part
        waiting = self._waiting.setdefault(now, [])
        waiting.append(part)
        if waiting[0] is part:
            await self._gather(part, now)
        else:
            await part.told()
        return part

    async def _gather(self, first: Part[Asked, Answer], now: object) -> None:
        """Wait for everybody who is there soon."""
        parts = self._waiting[now]
        try:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        except BaseException:
            for part in parts:
                part.tell(None)
            raise
        finally:
            del self._waiting[now]
        first.parts = parts if len(parts) > 1 else ()
