"""The lines from actors to the world: each use is a turn, at which something may go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from nexus_bounty import Assignment, CommitUnknownError, PaymentError
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.mock import Fault, MockNexus
from nexus_bounty.mock.oracle import ReceivedRequest
from tests.simulation import hazards, odd_answers
from tests.simulation.decisions import CALM, Decisions, Mood
from tests.simulation.scheduler import Scheduler, acting, for_ever
from tests.simulation.trace import Trace

MOST_REQUESTS: Final = 1000
COMMITS: Final = (
    "write document if",
    "rename document",
    "ledger reserve",
    "ledger assign",
    "ledger capture",
    "ledger void",
)
IN_BAD_TIMES: Final = 0.4
"""How often something goes wrong shortly after something went wrong."""


class EndlessError(BaseException):
    """Somebody asks and asks, and the clock does not move."""


def is_endless(error: BaseException) -> bool:
    """Whether it is that, of one task or among those of tasks that were sent together."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(EndlessError) is not None
    return isinstance(error, EndlessError)


@dataclass
class Actor:
    """Who takes turns: a task of a process, and the operation that it is busy with."""

    name: str
    process: str
    task: asyncio.Task[None] | None = None
    operation: str | None = ""
    """What it does now; `None` when it has done everything."""
    cut_off_for: int = 0
    shaken_until: int = 0
    """Until which turn things go wrong more often, because they just have."""
    met: list[tuple[str, str]] = field(default_factory=list)
    """What went wrong in the current operation: where, and what."""


class Network:
    """Connects actors with the server and the ledger.

    Args:
        mock: The server.
        scheduler: Hands out the turns.
        decisions: The choices of this run.
        trace: Where everything is written down.
        mood: How often something goes wrong, where that is drawn.

    Nothing goes wrong any more once it has `healed`.
    """

    def __init__(
        self,
        mock: MockNexus,
        scheduler: Scheduler,
        decisions: Decisions,
        trace: Trace,
        mood: Mood,
    ) -> None:
        self.mock = mock
        self.scheduler = scheduler
        self.decisions = decisions
        self.trace = trace
        self.mood = mood
        self.healed = False
        self.actors: dict[str, Actor] = {}
        self.turns: list[tuple[str, int, str]] = []
        """Every turn before the network healed: whose, the how manieth, and what for."""
        self.watch: Callable[[], None] = lambda: None
        """Called at every instant."""
        self.next_fault: Fault | None = None
        mock.faults_from(self)

    # The mock asks for the fault of each request

    def choose(self, request: ReceivedRequest) -> Fault | None:
        """Say how this request fails, as was chosen when it was sent."""
        actor = acting.get()
        fault, self.next_fault = self.next_fault, None
        owner = self.actors.get(actor)
        if request.number > MOST_REQUESTS:
            raise EndlessError
        self.trace.request(actor, (owner.operation if owner else "") or "", request)
        return fault

    # One turn

    async def turn(self, where: str, possible: tuple[str, ...]) -> tuple[Actor | None, str]:
        """Wait for the current actor's turn; what goes wrong at it."""
        name, number = await self.scheduler.turn()
        self.watch()
        actor = self.actors.get(name)
        if actor is None or self.healed:
            return actor, CALM
        self.turns.append((name, number, where))
        if actor.cut_off_for:
            actor.cut_off_for -= 1
            return actor, "cut"
        hazard = self.decisions.choose(
            f"{name}.{number}.fault", possible, self._rate(actor, number, where)
        )
        if hazard:
            actor.shaken_until = number + self.mood.aftershocks
            actor.met.append((where, hazard))
            self.trace.hazard(name, where, hazard)
        if hazard in hazards.CUTS:
            actor.cut_off_for = hazards.CUTS[hazard] - 1
            return actor, "cut"
        return actor, hazard

    def _rate(self, actor: Actor, number: int, where: str) -> float:
        if number <= actor.shaken_until:
            return IN_BAD_TIMES
        rate = self.mood.rate
        if not self.mood.focused:
            return rate
        return min(4 * rate, IN_BAD_TIMES) if where in COMMITS else rate / 4

    async def ends(self, actor: Actor, how: str) -> None:
        """The actor's process dies, or its task is cancelled; never returns."""
        if how.startswith("crash"):
            together = {each.name for each in self.actors.values() if each.process == actor.process}
            self.scheduler.crash(together)
            for name in sorted(together):
                self.trace.note(name, "crashed")
            await self.scheduler.stay_gone()
        if actor.task is not None:
            self.trace.note(actor.name, "cancelled")
            actor.task.cancel()
        await for_ever()


class Line(httpx.AsyncBaseTransport):
    """Carries requests of actors to the mock."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._inner = network.mock.transport(pause=_at_once)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        network = self._network
        where = "request" if network.healed else label_of(request)
        fault: Fault | None
        actor, hazard = await network.turn(where, hazards.OF_REQUESTS)
        if hazard == hazards.RESTART:
            network.mock.restart()
            hazard = "cut"
        if hazard.startswith(("crash", "cancel")) and actor is not None:
            if not hazard.endswith("before"):
                fault = hazards.VERY_LATE_AND_LOST if hazard.endswith("late") else hazards.UNHEARD
                with suppress(httpx.TransportError):
                    await self._carry(request, fault)
            await network.ends(actor, hazard)
        if hazard == hazards.POISON:
            odd_answers.poison(network.mock)
        fault = hazards.LOST if hazard == "cut" else hazards.REQUEST_FAULTS.get(hazard)
        answer = await self._carry(request, fault)
        if hazard == hazards.DRIP:
            return await odd_answers.dripping(answer)
        return await odd_answers.oversized(answer) if hazard == hazards.OVERSIZE else answer

    async def _carry(self, request: httpx.Request, fault: Fault | None) -> httpx.Response:
        self._network.next_fault = fault
        return await self._inner.handle_async_request(request)


async def _at_once(_stage: str) -> None:
    """The turn has been waited for already."""


class LedgerLine:
    """Carries an actor's calls to the ledger."""

    def __init__(self, ledger: MemoryCredits, network: Network) -> None:
        self._ledger = ledger
        self._network = network

    async def reserve(self, reservation_id: str, **parameters: Any) -> Any:
        return await self._call(
            "reserve", lambda: self._ledger.reserve(reservation_id, **parameters)
        )

    async def assign(self, reservation_id: str, assignment: Assignment, **parameters: Any) -> Any:
        return await self._call(
            "assign", lambda: self._ledger.assign(reservation_id, assignment, **parameters)
        )

    async def unassign(self, reservation_id: str, key: str) -> Any:
        return await self._call("unassign", lambda: self._ledger.unassign(reservation_id, key))

    async def capture(self, reservation_id: str, **parameters: Any) -> Any:
        return await self._call(
            "capture", lambda: self._ledger.capture(reservation_id, **parameters)
        )

    async def void(self, reservation_id: str, **parameters: Any) -> Any:
        return await self._call("void", lambda: self._ledger.void(reservation_id, **parameters))

    async def get_reservation(self, reservation_id: str) -> Any:
        return await self._call("look", lambda: self._ledger.get_reservation(reservation_id))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def _call(self, what: str, call: Callable[[], Awaitable[Any]]) -> Any:
        network = self._network
        where = f"ledger {what}"
        possible = hazards.OF_LEDGER_LOOKS if what == "look" else hazards.OF_THE_LEDGER
        actor, hazard = await network.turn(where, possible)
        if hazard == "ledger-refused":
            raise PaymentError("the credits service is closed for today")
        if hazard in ("ledger-lost-before", "cut"):
            raise CommitUnknownError("the answer was lost")
        if hazard.endswith("-before") and actor is not None:
            await network.ends(actor, hazard)
        result = await call()
        network.trace.ledger(acting.get(), where, result)
        network.watch()
        if hazard == "ledger-lost-after":
            raise CommitUnknownError("the answer was lost")
        if hazard.endswith("-after") and actor is not None:
            await network.ends(actor, hazard)
        return result


_KINDS = (
    (b"/indexes/bounties/status/", "marker"),
    (b"/indexes/claims/active/", "lease marker"),
    (b"/indexes/claims/target-lock", "lock"),
    (b"/bounties/", "document"),
    (b"/claims/", "lease"),
    (b"/rewards/", "reward"),
)


def label_of(request: httpx.Request) -> str:
    """What a request is about, as people say it: `write document`."""
    method = request.url.raw_path.rpartition(b"/")[2].decode()
    body = request.content
    kind = next((name for part, name in _KINDS if part in body), "files")
    condition = " if" if b'"if_match"' in body or b'"if_none_match"' in body else ""
    return f"{method} {kind}{condition}"
