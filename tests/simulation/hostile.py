"""A stranger among the actors, who forges what whoever can write the zone can forge.

With signing on, no schedule moves money against the record of the ledger and of what honest
programs committed, and nobody is told wrongly what became of an operation. Without it a weaker
promise holds, the one that the threat model makes: nothing is made or lost, the stranger is paid
nothing, and whoever is paid is who the ledger had on record.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

import msgspec
from pydantic import SecretStr

from nexus_bounty.ledger.accounts import MINT
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.mock import MockNexus
from tests.simulation import oracles, scenario
from tests.simulation.actors import Done, perform
from tests.simulation.decisions import QUIET, Decisions, Mood
from tests.simulation.forgeries import MADE_UP, OF_DOCUMENTS, OTHERS, forge
from tests.simulation.oracles import DECIDED_BY, DOCUMENT, Truth
from tests.simulation.scenario import ATOMIC, Scenario, Schedule
from tests.simulation.scheduler import acting
from tests.simulation.simulation import Result, Simulation
from tests.simulation.starts import CONTRIBUTIONS, OTHER_CID, POOR_CID
from tests.support import committed
from tests.support.world import ALICE, BOB, CAROL, FUNDS, GRACE, PRICE, World

MALLORY: Final = "mallory"
FORGERIES: Final = 4
"""How many things the stranger does at most."""
RECONCILERS: Final = 1
SEEDS_A_JOB: Final = 50
SERVERS: Final = (ATOMIC, ATOMIC, "0.10", "0.7.0")
WORKS: Final = tuple(
    msgspec.structs.replace(each, agent=CAROL if each.cid == OTHER_CID else BOB)
    for each in CONTRIBUTIONS
)
"""Every contribution names its author: nobody can be paid for another's work."""
KEYS: Final = (SecretStr("a-key-of-the-zone-that-mallory-has-not"),)


class HostileSimulation(Simulation):
    """One run with the stranger in it; only the money and the verdicts are looked at."""

    def __init__(self, what: Scenario, decisions: Decisions, **options: Any) -> None:
        self.signed = what.stranger == "without the key"
        super().__init__(what, decisions, signing_keys=KEYS if self.signed else (), **options)
        self._around = replace(self._around, contributions=MemoryContributionStore(WORKS))
        self.begun = oracles.bounty_on(self.mock) or {}
        self.watch = self.network.watch = MoneyWatch(self.world, self.signed, self.begun)

    async def _whole(self) -> None:
        context = contextvars.copy_context()
        context.run(acting.set, MALLORY)
        forging = asyncio.get_running_loop().create_task(self._forge(), context=context)
        await self._act()
        self._heal()
        await self._late_arrive("")
        await self._reconcile()
        await self._repeat()
        await self._late_arrive("in the end")
        await self._reconcile()
        forging.cancel()
        await self._judge()

    async def _forge(self) -> None:
        for _ in range(FORGERIES):
            name, number = await self.scheduler.turn()
            keys = [f"{MADE_UP}{each}" for each in self._steps_under_way()]
            possible = [*OF_DOCUMENTS, *OTHERS, *keys]
            what = self.decisions.choose(f"{name}.{number}.forges", possible, 0.8)
            if what:
                self.trace.note(name, f"forges: {what}")
                forge(self.mock, what)

    def _steps_under_way(self) -> list[str]:
        steps = ((each, DECIDED_BY.get(each.operation)) for each in self.done)
        return [f"{done.key}:{step}" for done, step in steps if step and not done.is_definite]

    def _told(self, done: Done) -> None:
        done.told_at = self.mock.oracle.received_total

    async def _reconcile(self) -> None:
        await asyncio.sleep(2 * GRACE.total_seconds())
        for _ in range(RECONCILERS):
            report = await self._process("reconciler").reconciler.run_once()
            self.violations += [f"a sweep failed: {error}" for error in report.errors]

    async def _repeat(self) -> None:
        last = {done.key: done for done in self.done}
        for done in last.values():
            if done.can_be_cleared_up:
                again = done.again("heir")
                self.done.append(again)
                await perform(self._process("heir"), done.actor, again)
                self._told(again)

    async def _judge(self) -> None:
        self.watch()
        self.violations += self.watch.wrong
        if self.signed:
            truth = honest(self.mock, self.begun)
            self.violations += oracles.wrong_verdicts(truth, self.done)


def honest(mock: MockNexus, begun: dict[str, Any]) -> Truth:
    """What honest programs have committed: the stranger's writes are in no log.

    `begun` is the bounty that the run starts with. Where names are won, the file only follows: what
    an honest program writes there may be what the stranger made of a slot.
    """
    truth = Truth()
    is_file = mock.personality.name == ATOMIC
    for each in oracles.records_of(begun):
        truth.step_landed(each["key"], begun, 0)
    if begun:
        truth.brought_to(begun)
    for entry in mock.log:
        if entry.content is None or not committed.is_commit_of(entry.path, DOCUMENT):
            continue
        if entry.path == DOCUMENT and not is_file:
            continue
        value = msgspec.json.decode(entry.content)
        records = oracles.records_of(value)
        if records and not records[-1].get("aborted"):
            truth.step_landed(records[-1]["key"], value, entry.request_number)
            truth.brought_to(value)
    return truth


class MoneyWatch(oracles.Watch):
    """Looks at the ledger at every instant, and at no document."""

    def __init__(self, world: World, signed: bool, begun: dict[str, Any]) -> None:
        super().__init__(world)
        self.signed = signed
        self.begun = begun

    def _look(self, book: Any) -> Iterable[str]:
        total = sum(amount for name, amount in book._balances.items() if name != MINT)
        if total != FUNDS or total != -book._balances[MINT]:
            yield f"at some time: there are {total} credits of {FUNDS}"
        if any(MALLORY in name and amount for name, amount in book._balances.items()):
            yield "at some time: the stranger has credits"
        reservations = list(book._reservations.values())
        if len(reservations) > 1 and self.signed:
            yield f"at some time: {len(reservations)} reservations for one bounty"
        for each in reservations:
            yield from self._wrong(each)

    def _wrong(self, reservation: Any) -> Iterator[str]:
        if (reservation.account, reservation.amount) != (ALICE.agent_id, PRICE):
            yield f"at some time: {reservation.amount} of {reservation.account} are reserved"
        assignment, paid_to = reservation.assignment, reservation.captured_to
        if paid_to is not None and (assignment is None or assignment.payee != paid_to):
            yield f"at some time: {paid_to} is paid, and not on record"
        if self.signed:
            yield from self._against_what_was_committed(reservation)

    def _against_what_was_committed(self, reservation: Any) -> Iterator[str]:
        truth, assignment = honest(self.world.mock, self.begun), reservation.assignment
        began = assignment is not None and assignment.key in truth.landed
        ended = any(status in ("cancelled", "expired") for status, _ in truth.statuses)
        if reservation.status == "captured" and not began:
            yield "at some time: paid, and no settlement was committed"
        if reservation.status == "captured" and assignment and assignment.work == POOR_CID:
            yield "at some time: paid for what does not fulfil it"
        if reservation.status == "voided" and (began or not ended):
            yield "at some time: given back, although it was to be paid, or had not ended"


def drawn(random: Random) -> Scenario:
    """A scenario at random, with a stranger in it."""
    what = scenario.drawn(random)
    return msgspec.structs.replace(
        what,
        server=random.choice(SERVERS),
        etag="content",
        thorough=True,
        stranger=random.choice(("without the key", "without the key", "in a zone without keys")),
    )


def run_hostile_seed(seed: int) -> tuple[Schedule, Result]:
    """Draw a schedule with a stranger in it from a seed, and run it."""
    random = Random(f"hostile {seed}")
    what = drawn(random)
    mood = _restless(Mood.drawn(random), random)
    decisions = Decisions(chance=random)
    result = HostileSimulation(what, decisions, mood=mood, seed=seed).run()
    return Schedule(scenario=what, choices=dict(decisions.made), seed=seed), result


def _restless(mood: Mood, random: Random) -> Mood:
    """The mood with more going to and fro: the stranger gets in between."""
    return Mood(mood.rate, mood.aftershocks, mood.focused, random.choice((0.2, 0.4, 0.6)))


@dataclass(frozen=True)
class HostileSeeds:
    """The schedules drawn from some seeds, with a stranger in each."""

    first: int
    last: int
    name: str = "random schedules with a stranger"

    def ran(self) -> Iterator[tuple[Schedule, Result]]:
        """Run them."""
        return map(run_hostile_seed, range(self.first, self.last + 1))


def jobs(first: int, last: int) -> Iterator[HostileSeeds]:
    """The jobs for an interval of seeds, one in five: these schedules take longer."""
    end = first + (last - first + 5) // 5
    for start in range(first, end, SEEDS_A_JOB):
        yield HostileSeeds(start, min(start + SEEDS_A_JOB, end) - 1)


def replay_hostile(schedule: Schedule) -> Result:
    """Run a schedule again, choice by choice."""
    decisions = Decisions(schedule.choices)
    return HostileSimulation(
        schedule.scenario, decisions, mood=QUIET, seed=schedule.seed or 0
    ).run()
