"""One simulated clock, and a scheduler that decides whose turn it is whenever everybody waits.

Actors run until each of them waits for the world (a request, a call of the ledger) or for a timer.
Then exactly one goes on: by default the one that went on last, or the first that can, and the
clock moves only when nobody else can. A schedule may let another go first, or let time pass, so
that every order in which the actors meet the world is the result of some choices. What an actor
does between two waits is not seen by others, so that no other order can be told apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from nexus_bounty.testing.virtual_time import VirtualTimeLoop
from tests.simulation.decisions import CALM, Decisions

T = TypeVar("T")

TIME: Final = "time"
"""Not an actor: let the clock move on to the next timer."""

NOBODY: Final = "nobody"
"""Whose turn it is when the harness itself, not an actor, works on the world."""

acting: ContextVar[str] = ContextVar("acting", default=NOBODY)
"""The actor in whose name the current task runs."""


@dataclass(slots=True, eq=False)
class Turn:
    """What one actor waits for."""

    actor: str
    number: int
    """Counts this actor's turns, from 1."""
    future: asyncio.Future[None]
    offered: bool = False
    """Whether the choice has been made to let others go first, or not."""


class Scheduler:
    """Hands out turns.

    Args:
        decisions: The choices of this run.
        rate: How often a drawn choice lets another actor, or the clock, go first.
        on_crash: Called when actors have crashed.
    """

    def __init__(
        self, decisions: Decisions, rate: float = 0.0, on_crash: Callable[[], None] = lambda: None
    ) -> None:
        self.decisions = decisions
        self.rate = rate
        self._waiting: list[Turn] = []
        self._counts: dict[str, int] = {}
        self._gone: set[str] = set()
        self._last = NOBODY
        self._over = False
        self._on_crash = on_crash

    async def turn(self) -> tuple[str, int]:
        """Wait until the current actor may go on; its name and the number of the turn."""
        actor = acting.get()
        if actor == NOBODY:
            return actor, 0
        if actor in self._gone:
            await self.stay_gone()
        number = self._counts[actor] = self._counts.get(actor, 0) + 1
        turn = Turn(actor, number, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        try:
            await turn.future
        except asyncio.CancelledError:
            if actor in self._gone:
                await self.stay_gone()
            if turn in self._waiting:
                self._waiting.remove(turn)
            raise
        return actor, number

    def crash(self, actors: set[str]) -> None:
        """These actors never go on: no clean-up of theirs runs."""
        self._gone |= actors
        self._waiting = [turn for turn in self._waiting if turn.actor not in self._gone]
        self._on_crash()

    async def stay_gone(self) -> None:
        """Never go on: a dead process does not hear its own timeouts, nor that the run is over."""
        while not self._over:
            with suppress(asyncio.CancelledError):
                await for_ever()
        raise asyncio.CancelledError

    def is_gone(self, actor: str) -> bool:
        """Whether the actor has crashed."""
        return actor in self._gone

    def idle(self, next_timer: float | None) -> bool:
        """Let one actor go on; `False` if the clock is to move instead."""
        if not self._waiting:
            return False
        turn = next((each for each in self._waiting if each.actor == self._last), self._waiting[0])
        if not turn.offered:
            turn.offered = True
            others = [each.actor for each in self._waiting if each is not turn]
            name = f"{turn.actor}.{turn.number}.after"
            rarely = TIME if next_timer is not None else CALM
            choice = self.decisions.choose(name, others, self.rate, rarely)
            if choice == TIME:
                return False
            if choice:
                turn = next(each for each in self._waiting if each.actor == choice)
        self._waiting.remove(turn)
        self._last = turn.actor
        turn.future.set_result(None)
        return True

    def run(self, main: Coroutine[Any, Any, T], start: float = 0.0) -> T:
        """Run `main` and everything that it starts, on a clock that shows `start`."""
        loop = VirtualTimeLoop(start=start, idle=self.idle)
        try:
            return loop.run_until_complete(main)
        finally:
            self._over = True
            _abandon(loop)
            loop.close()


async def for_ever() -> None:
    """Wait until the run is over."""
    await asyncio.get_running_loop().create_future()


def _abandon(loop: asyncio.AbstractEventLoop) -> None:
    """End what crashed actors left waiting, without a word."""
    tasks = [task for task in asyncio.all_tasks(loop) if not task.done()]
    for task in tasks:
        task.cancel()
    if tasks:
        with suppress(BaseException):
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
