"""Runs one schedule: actors against the world while things go wrong, then healing, then the truth.

1  the actors do what they want, at the mercy of the schedule
2  the network heals; what is late arrives, now or later, or is lost by a restart
3  every unknown is resolved, in a few requests
4  the reconciler brings to rest what is not
5  every operation without a definite end is repeated with its key, and gets one
6  verdicts, invariants and the history of the store's calls are held against what was applied
"""

from __future__ import annotations

import asyncio
import contextvars
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Final
from unittest.mock import patch

from pydantic import SecretStr

from nexus_bounty import NexusClient, OutcomeError, UnsupportedServerError
from nexus_bounty.nexus.selection.auto_commit import AutoCommit, CommitOption
from nexus_bounty.nexus.selection.strategy_selection import MAX_AGE_OF_A_REFUSAL
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.reconcile.reconciler import SWEEPS
from nexus_bounty.testing.virtual_time import wall_clock
from tests.simulation import oracles, scenario, starts
from tests.simulation.actors import Done, Process, Surroundings, perform
from tests.simulation.decisions import QUIET, Decisions, Mood
from tests.simulation.history import INFO, History
from tests.simulation.linearizability import State, is_linearizable
from tests.simulation.network import MOST_REQUESTS, Actor, EndlessError, Network, is_endless
from tests.simulation.scenario import Scenario, Schedule
from tests.simulation.scheduler import Scheduler, acting
from tests.simulation.trace import Trace
from tests.support import committed
from tests.support.world import BOUNTY_ID, CID, GRACE, Strategy, stranded

REQUESTS_TO_RESOLVE: Final = {
    (scenario.ATOMIC, "content"): 3,
    (scenario.ATOMIC, "version"): 4,
    ("0.7.0", "content"): 4,
    ("0.9", "content"): 4,
    ("0.9.26", "content"): 4,
    ("0.10", "content"): 3,
}
"""When nobody else writes meanwhile: a late request that arrives right then costs as many more.

A version etag says nothing about content, so that the first look is two reads there. By rename, a
look is at the file and at the slot; then a fence is staged and renamed. The file follows later."""
REQUESTS_TO_CATCH_UP: Final = 3
"""For each slot whose winner has died and left the file behind: two reads at most, one write."""
REQUESTS_TO_PROBE: Final = 40
"""Where a process that found nothing out by then is the first to; odd servers are tried twice."""
CLEANED_UP: Final = 1.0
"""Seconds in which those who are alive have done what they left for later, twice over."""
MOST_RECONCILERS: Final = 3
LATE: Final = ("after resolving", "after reconciling", "lost")
"""When late requests arrive, other than at once."""

CoverageKey = tuple[str, str, str, str]
"""Operation, request or ledger call, what went wrong with it, verdict."""


@dataclass
class Result:
    """What a run showed."""

    violations: list[str]
    unresolved: int
    choices: dict[str, str]
    coverage: Counter[CoverageKey]
    trace: Callable[[], list[str]]
    operations: list[Done] = field(default_factory=list)
    requests: int = 0
    turns: list[tuple[str, int, str]] = field(default_factory=list)
    """Where something could have gone wrong: whose turn, the how manieth, and what for."""

    @property
    def text(self) -> str:
        """The whole trace."""
        return "\n".join(self.trace())


class Simulation:
    """One run of one schedule.

    Args:
        what: The scenario.
        decisions: The choices in it.
        mood: How often something goes wrong or changes places, where that is drawn.
        seed: Seeds jitter and keys.
        strategy: How documents are committed, if not as always.
        signing_keys: With which the zone is signed.
    """

    def __init__(
        self,
        what: Scenario,
        decisions: Decisions,
        *,
        mood: Mood = QUIET,
        seed: int = 0,
        strategy: Strategy | None = None,
        signing_keys: tuple[SecretStr, ...] = (),
    ) -> None:
        self.scenario = what
        self.decisions = decisions
        self.history = History()
        self.trace = Trace()
        self.scheduler = Scheduler(decisions, mood.switching, on_crash=self._crash)
        self.done: list[Done] = []
        self.violations: list[str] = []
        self.unresolved = 0
        self.coverage: Counter[CoverageKey] = Counter()
        self.start = starts.start(what.start, what.server, what.etag, signing_keys)
        self.mock = starts.a_server(what.server, what.etag)
        self.world = starts.a_world(self.start, self.mock)
        self.network = Network(self.mock, self.scheduler, decisions, self.trace, mood)
        self.watch = self.network.watch = oracles.Watch(self.world)
        self.at_rest = oracles.AtRest(self.world)
        self._around = Surroundings(
            self.network,
            self.history,
            self.world.ledger,
            self.world.contributions,
            seed,
            _by_trying if what.probes else strategy or starts.STRATEGIES[what.server],
            signing_keys,
        )
        self._processes: dict[str, Process] = {}
        self._made = 0
        self._over: asyncio.Future[None] | None = None
        self._late = ""

    def run(self) -> Result:
        """Run it on a clock of its own, with ids drawn from its seed."""
        chance = Random(self._around.seed)

        def drawn_id() -> uuid.UUID:
            return uuid.UUID(int=chance.getrandbits(128), version=4)

        try:
            with patch("uuid.uuid4", drawn_id):
                self.scheduler.run(self._whole(), self.start.at)
        except BaseException as error:
            if not is_endless(error):
                raise
            self.violations.append(f"never ends: {MOST_REQUESTS} requests")
        return Result(
            violations=self.violations,
            unresolved=self.unresolved,
            choices=self.decisions.made,
            coverage=self.coverage,
            trace=self._text,
            operations=self.done,
            requests=self.mock.oracle.received_total,
            turns=self.network.turns,
        )

    def _text(self) -> list[str]:
        digest = blake2b(digest_size=8)
        for entry in self.mock.log:
            # a pin says when the server was probed, by the machine's own clock
            etag = "" if entry.path.endswith("/probe.json") else entry.etag_after
            digest.update(f"{entry.request_number} {entry.path} {etag}\n".encode())
        told = [str(each) for each in self.done]
        return [*self.trace.lines(), *told, f"applied log {digest.hexdigest()}"]

    async def _whole(self) -> None:
        await self._act()
        self._heal()
        await self._resolve()
        await self._come_to_rest()
        await self._repeat()
        await self._judge()

    # 1: the actors

    async def _act(self) -> None:
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        for each in self.scenario.actors:
            if each.home not in self._processes:
                self._processes[each.home] = self._process(
                    each.home, skew=each.skew, impatient=each.impatient
                )
            actor = self.network.actors[each.name] = Actor(each.name, each.home)
            context = contextvars.copy_context()
            context.run(acting.set, each.name)
            actor.task = loop.create_task(self._live(each, actor), context=context)
        await self._over

    def _process(self, name: str, *, skew: int = 0, impatient: bool = False) -> Process:
        self._made += 1
        return Process(self._around, name, self._made, skew=skew, impatient=impatient)

    async def _live(self, who: scenario.Actor, actor: Actor) -> None:
        done: Done | None = None
        for number, step in enumerate(who.does):
            name, _, argument = step.partition(" ")
            if name != "again":
                keyless = self.scenario.keyless
                whose = who.name if keyless else who.keys or who.name
                key = f"{whose}-{number}-{name}"
                done = Done(who.name, who.home, name, key, argument or CID, is_keyless=keyless)
            elif done is not None:
                done = done.again(who.home)
            if done is not None:
                await self._do(actor, done)
        actor.operation = None
        self._check_over()

    async def _do(self, actor: Actor, done: Done) -> None:
        for other in self.done:
            if other.key == done.key and other.process != done.process:
                done.is_rivalled = other.is_rivalled = True
        self.done.append(done)
        actor.operation, actor.met = done.operation, []
        try:
            await perform(self._processes[actor.process], actor.name, done)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or not any(hazard.startswith("cancel") for _, hazard in actor.met):
                raise  # the run is over, or nobody has cancelled it
            task.uncancel()
            done.verdict, done.error = "cancelled", error
        except BaseException as error:
            if not is_endless(error):
                raise
            if self._over is not None and not self._over.done():
                self._over.set_exception(EndlessError())
        if self.scheduler.is_gone(actor.name):
            done.verdict = "crashed"
            await self.scheduler.stay_gone()
        self._told(done)
        self._cover(actor, done)

    def _told(self, done: Done) -> None:
        """An operation has just ended, and its caller has heard how."""
        done.told_at = self.mock.oracle.received_total
        self.violations += oracles.unkept(self.world, done)

    def _cover(self, actor: Actor, done: Done) -> None:
        for where, hazard in actor.met or [("-", "-")]:
            self.coverage[(done.operation, where, hazard, done.verdict)] += 1

    def _crash(self) -> None:
        self.history.gone |= {
            actor.process
            for actor in self.network.actors.values()
            if self.scheduler.is_gone(actor.name)
        }
        self._check_over()

    def _check_over(self) -> None:
        busy = any(
            actor.operation is not None and not self.scheduler.is_gone(actor.name)
            for actor in self.network.actors.values()
        )
        if not busy and self._over is not None and not self._over.done():
            self._over.set_result(None)

    # 2: healing

    def _heal(self) -> None:
        self.network.healed = True
        for done in self.done:
            if done.verdict in ("running", "crashed"):
                done.verdict = "crashed"
                self._cover(self.network.actors[done.actor], done)
        self.trace.note("-", "the network has healed")
        if self.mock.late_count:
            self._late = self.decisions.choose("late", LATE, 0.6)
        if self._late == "lost":
            self.mock.restart()

    async def _late_arrive(self, when: str) -> None:
        if self.mock.late_count and when in (self._late, "in the end"):
            self.trace.note("-", f"{self.mock.late_count} late requests arrive")
            await self.mock.settle()

    # 3: resolving

    async def _resolve(self) -> None:
        await self._late_arrive("")
        await self._until_open()
        if not self.decisions.choose("resolve", ("skip",), 0.4):
            for call in list(self.history.calls):
                if call.status == INFO and call.key and call.process not in self.history.gone:
                    await self._resolve_step(call.process, call.key)
        await self._late_arrive("after resolving")

    async def _until_open(self) -> None:
        """Wait for what a probe closed in bad times: it says by itself when it is looked at again.

        Until then nobody can write the zone, and so nobody can fence anything off. That is no lie,
        and it ends: only what is unknown afterwards is left unresolved.
        """
        told = any(isinstance(done.error, UnsupportedServerError) for done in self.done)
        by_itself = any(each.is_closed for each in self._processes.values())
        if told or by_itself or oracles.is_closed(self.mock):
            self.trace.note("-", "a probe has closed the zone for a while")
            await asyncio.sleep(MAX_AGE_OF_A_REFUSAL.total_seconds() + 1)

    async def _resolve_step(self, name: str, key: str) -> None:
        before, late = self.mock.oracle.received_total, self.mock.late_count
        lag = committed.lag(self.mock, oracles.DOCUMENT)
        try:
            found = await self._processes[name].store.resolve_operation(BOUNTY_ID, key)
        except OutcomeError as error:
            self.unresolved += 1
            self.violations.append(f"unresolved: {error.outcome.value} of a step by resolving it")
            return
        self.trace.note("-", f"resolved: {key} is {found.outcome.value}")
        requests = self.mock.oracle.received_total - before
        arrived = late - self.mock.late_count
        most = REQUESTS_TO_RESOLVE[self.scenario.server, self.scenario.etag]
        most = most * (1 + arrived) + REQUESTS_TO_CATCH_UP * lag
        if requests > most + (REQUESTS_TO_PROBE if self.scenario.probes else 0):
            self.violations.append(f"unresolved: it took {requests} requests to resolve a step")

    # 4: the reconciler

    async def _come_to_rest(self) -> None:
        await asyncio.sleep(CLEANED_UP)
        if self.scenario.thorough or await self.at_rest.wrong():
            await self._reconcile()
        await self._late_arrive("after reconciling")

    async def _reconcile(self) -> None:
        """Run reconcilers after the grace period until all is at rest, but no more than a few."""
        await asyncio.sleep(2 * GRACE.total_seconds())
        for _ in range(MOST_RECONCILERS):
            self.trace.note("-", "reconcile")
            report = await self._janitor().run_once()
            self.violations += [f"a sweep failed: {error}" for error in report.errors]
            if not await self.at_rest.wrong():
                break
        for left in stranded(report):
            if "poison" in left.subject:
                continue  # it is there to be named
            self.violations.append(f"left by the reconciler: {left.problem}: {left.left}")

    def _janitor(self) -> Reconciler:
        """A reconciler in a process of its own, with every sweep or with those that are needed."""
        process = self._process("reconciler")
        if self.scenario.thorough:
            return process.reconciler
        needed = oracles.sweeps_needed(self.mock)
        sweeps = [each for each in SWEEPS if type(each) in needed]
        return Reconciler(process.operations, grace=GRACE, sweeps=sweeps)

    # 5: asking again

    async def _repeat(self) -> None:
        last = {done.key: done for done in self.done}
        for done in last.values():
            if done.can_be_cleared_up:
                await self._repeat_one(done)
        await self._late_arrive("in the end")
        for _ in range(2):  # what the first has moved is young: what it left is the second's
            if await self.at_rest.wrong():
                await self._reconcile()

    async def _repeat_one(self, done: Done) -> None:
        crashed = done.process in self.history.gone
        process = self._process("heir") if crashed else self._processes[done.process]
        again = done.again(process.name)
        self.done.append(again)
        self.trace.note("-", f"once more: {done.operation} [{done.key}], which was {done.verdict}")
        await perform(process, done.actor, again)
        self._told(again)
        if not again.is_definite:
            self.unresolved += 1
            self.violations.append(
                f"unresolved: {done.operation} was {done.verdict}, and {again.verdict} once more"
            )

    # 6: the truth

    async def _judge(self) -> None:
        self.watch()
        self.violations += self.watch.wrong
        self.violations += [f"not at rest: {each}" for each in await self.at_rest.wrong()]
        truth = oracles.Truth.of(self.mock)
        self.violations += oracles.wrong_verdicts(truth, self.done)
        self.violations += oracles.unrecorded(truth, self.history, {each.key for each in self.done})
        if not is_linearizable(self.history.calls, _as_state(self.start)):
            self.violations.append("not linearizable")
            for call in self.history.calls:
                self.trace.note("-", f"call {call}")


def _by_trying(client: NexusClient) -> CommitOption:
    """How a process commits that is not told."""
    return AutoCommit(client, clock=wall_clock)


def _as_state(start: starts.Start) -> State:
    """The start as the linearizability model knows it."""
    entry = start.files.table.files.get(oracles.DOCUMENT)
    bounty = oracles.document_of(entry.content if entry else None)
    if bounty is None:
        return State()
    keys = frozenset(op["key"] for op in bounty["nexusBounty"]["ops"])
    holder = bounty.get("claimedBy", {}).get("agentId")
    return State(bounty["status"], holder, bounty.get("fulfilledByCid"), done=keys)


def run_seed(seed: int, strategy: Strategy | None = None) -> tuple[Schedule, Result]:
    """Draw a schedule from a seed and run it; returns it as it was, ready to be replayed."""
    random = Random(seed)
    what = scenario.drawn(random)
    mood = Mood.drawn(random)
    decisions = Decisions(chance=random)
    result = Simulation(what, decisions, mood=mood, seed=seed, strategy=strategy).run()
    return Schedule(scenario=what, choices=dict(decisions.made), seed=seed), result


def replay(schedule: Schedule, strategy: Strategy | None = None) -> Result:
    """Run a schedule again, choice by choice."""
    if schedule.scenario.stranger:
        from tests.simulation.hostile import replay_hostile  # which is a simulation, too

        return replay_hostile(schedule)
    decisions = Decisions(schedule.choices)
    seed = schedule.seed or 0
    return Simulation(schedule.scenario, decisions, seed=seed, strategy=strategy).run()
