"""Calls that wait on their own event loops for what another thread does for many at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

WorkT = TypeVar("WorkT")


@dataclass(frozen=True, slots=True, eq=False)
class WaitingCall(Generic[WorkT]):
    """What is to be done, and where its caller waits."""

    work: WorkT
    future: asyncio.Future[Any]

    @classmethod
    def of(cls, work: WorkT) -> Self:
        """A call of the event loop that is running, which is yet to be answered."""
        return cls(work, asyncio.get_running_loop().create_future())

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for it still."""
        return not self.future.cancelled()


@dataclass(frozen=True, slots=True)
class EndedCall(Generic[WorkT]):
    """How a call ended, as its caller is to be told: with a result, or with an error."""

    call: WaitingCall[WorkT]
    result: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        """Tell the caller, on its own event loop."""
        future = self.call.future
        if future.done():  # cancelled, and nobody waits
            return
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.result)


def tell(ended: Sequence[EndedCall[Any]]) -> None:
    """Wake each event loop once, for all of its callers; from any thread."""
    by_loop = defaultdict(list)
    for each in ended:
        by_loop[each.call.future.get_loop()].append(each)
    for loop, its in by_loop.items():
        with suppress(RuntimeError):  # it is closed: whoever waited there is gone
            loop.call_soon_threadsafe(_tell_here, its)


def _tell_here(ended: Sequence[EndedCall[Any]]) -> None:
    for each in ended:
        each.tell()
