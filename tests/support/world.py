"""A whole world for operations: Nexus, ledger, people; faults and crashes; and its own oracle."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec
from pydantic import SecretStr

from nexus_bounty import (
    AgentIdentity,
    Assignment,
    Bounty,
    BountyCriteria,
    CommitUnknownError,
    ConditionalCommit,
    Contribution,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
    PaymentError,
)
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.nexus.documents.commits import CommitStrategy
from nexus_bounty.operations import BountyOperations
from nexus_bounty.reconcile import Finding, Reconciler, ReconcileReport
from nexus_bounty.reconcile.doubts import OpenOperations
from nexus_bounty.testing.virtual_time import EPOCH, wall_clock
from tests.support import committed
from tests.support.racing import by_rename_on
from tests.support.transports import Bounded

ALICE = AgentIdentity(agent_id="alice")
BOB = AgentIdentity(agent_id="bob")
CAROL = AgentIdentity(agent_id="carol")
BOUNTY_ID = "b-1"
CID = "cid-1"
PRICE = 100
FUNDS = 1000
GRACE = timedelta(minutes=5)
Strategy = Callable[[NexusClient], CommitStrategy]
PATIENT, IMPATIENT = (NexusSettings(retry_attempts=attempts) for attempts in (8, 1))


class Crash(BaseException):
    """The process is gone: nothing after it runs, no `except Exception` sees it."""


def is_crash(error: BaseException) -> bool:
    """Whether it is a crash, or what is left of tasks that died together."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(Crash)[1] is None
    return isinstance(error, Crash)


@dataclass
class CrashPlan:
    """Kills the process at one boundary, counted over requests and ledger calls.

    From then on it does nothing, in none of its tasks.
    """

    at: int | None = None
    seen: int = 0

    @property
    def is_dead(self) -> bool:
        """Whether that has happened."""
        return self.at is not None and self.seen >= self.at

    def boundary(self) -> None:
        """One more boundary is reached."""
        if not self.is_dead:
            self.seen += 1
        if self.is_dead:
            raise Crash


@dataclass
class LedgerFault:
    """What goes wrong with the nth mutation of the ledger."""

    kind: str  # "refused" | "lost_before" | "lost_after" | "lost_always"
    at: int = 0
    of: str = ""  # the method that alone counts, if not every mutation does

    def __str__(self) -> str:
        return f"ledger {self.kind} {self.of}#{self.at}"


LEDGER_FAULTS = ("refused", "lost_before", "lost_after", "lost_always")


@dataclass
class FaultyCredits:
    """A ledger behind an unreliable line."""

    ledger: MemoryCredits
    plan: CrashPlan
    fault: LedgerFault | None = None
    calls: int = 0

    async def _through(self, method: str, call: Callable[[], Awaitable[Any]]) -> Any:
        fault = self.fault if self.fault and self.fault.of in ("", method) else None
        if fault is not None or self.fault is None:
            self.calls += 1
        hit = fault is not None and (
            self.calls == fault.at or (fault.kind == "lost_always" and self.calls > fault.at)
        )
        self.plan.boundary()
        if hit and fault and fault.kind == "refused":
            raise PaymentError("the credits service is closed for today")
        if hit and fault and fault.kind == "lost_before":
            raise CommitUnknownError("the answer was lost")
        result = await call()
        self.plan.boundary()
        if hit:
            raise CommitUnknownError("the answer was lost")
        return result

    async def reserve(self, reservation_id: str, **parameters: Any) -> Any:
        return await self._through(
            "reserve", lambda: self.ledger.reserve(reservation_id, **parameters)
        )

    async def assign(self, reservation_id: str, assignment: Assignment, **parameters: Any) -> Any:
        return await self._through(
            "assign", lambda: self.ledger.assign(reservation_id, assignment, **parameters)
        )

    async def unassign(self, reservation_id: str, key: str) -> Any:
        return await self._through("unassign", lambda: self.ledger.unassign(reservation_id, key))

    async def capture(self, reservation_id: str, **parameters: Any) -> Any:
        return await self._through(
            "capture", lambda: self.ledger.capture(reservation_id, **parameters)
        )

    async def void(self, reservation_id: str, **parameters: Any) -> Any:
        return await self._through("void", lambda: self.ledger.void(reservation_id, **parameters))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)


class UnexpectedError(Exception):
    """What an adapter lets through of its driver, although no port promises it."""


VIEWS = ("cleaning_up", "expecting", "looking_first", "sharing_names")


@dataclass
class PortFault:
    """The nth call of any port ends in an error that it does not promise, done or not."""

    kind: str = ""  # "broke_before" | "broke_after" | "broken_for_good"
    at: int = 0
    calls: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.kind} #{self.at} {self.calls[self.at - 1] if self.calls else ''}"

    def breaking(self, port: Any, name: str) -> Any:
        """The port, which breaks when its turn comes."""
        return Breaking(port, name, self)

    async def through(self, method: str, call: Callable[[], Awaitable[Any]]) -> Any:
        self.calls.append(method)
        hit = len(self.calls) == self.at
        if (hit and self.kind != "broke_after") or (
            self.kind == "broken_for_good" and len(self.calls) > self.at > 0
        ):
            raise UnexpectedError("connection reset")
        result = await call()
        if hit:
            raise UnexpectedError("connection reset")
        return result


PORT_FAULTS = ("broke_before", "broke_after", "broken_for_good")


@dataclass
class Breaking:
    """A port whose coroutines go by a `PortFault`."""

    port: Any
    name: str
    fault: PortFault

    def __getattr__(self, method: str) -> Any:
        real = getattr(self.port, method)
        if method in VIEWS:
            return lambda *given, **named: Breaking(real(*given, **named), self.name, self.fault)
        if not inspect.iscoroutinefunction(real):
            return real

        async def call(*given: Any, **named: Any) -> Any:
            return await self.fault.through(f"{self.name}.{method}", lambda: real(*given, **named))

        return call


@dataclass
class World:
    """The systems that outlive every process."""

    personality: str = "0.10-hypothetical"
    strategy: Strategy = ConditionalCommit
    signing_keys: tuple[SecretStr, ...] = ()
    away: float = 0.0
    """Seconds that a request travels, so that what is left for later rides with others."""
    mock: MockNexus = field(init=False)
    ledger: MemoryCredits = field(init=False)
    contributions: MemoryContributionStore = field(init=False)

    def __post_init__(self) -> None:
        self.mock = MockNexus(self.personality, clock=wall_clock)
        self.ledger = MemoryCredits(clock=wall_clock, identity="ledger")
        self.contributions = MemoryContributionStore(
            [Contribution(cid=CID, tags=["sorted"], scores={"speed": 2.0})]
        )

    async def _travels(self, stage: str) -> None:
        await asyncio.sleep(self.away if stage == "request" else 0)

    async def found(self) -> None:
        """Give the creator her funds."""
        await self.ledger.top_up("founding", account=ALICE.agent_id, amount=FUNDS)

    @asynccontextmanager
    async def process(
        self,
        plan: CrashPlan | None = None,
        fault: LedgerFault | None = None,
        *,
        impatient: bool = False,
        seed: int = 1,
        broken: PortFault | None = None,
    ) -> AsyncIterator[Process]:
        """One process's view of the world, with stores of its own."""
        plan = plan or CrashPlan()
        settings = IMPATIENT if impatient else PATIENT
        settings = settings.model_copy(update={"signing_keys": self.signing_keys})
        transport = Bounded(self.mock.transport(pause=self._travels), plan.boundary)
        client = NexusClient(settings=settings, transport=transport, random=Random(seed))
        credit = FaultyCredits(self.ledger, plan, fault)
        commit = self.strategy(client)

        def breaking(port: Any, name: str) -> Any:
            return port if broken is None else broken.breaking(port, name)

        operations = BountyOperations(
            breaking(NexusBountyStore(client, commit=commit, clock=wall_clock), "store"),
            credits=breaking(credit, "credits"),
            claims=breaking(NexusClaimStore(client, commit=commit, clock=wall_clock), "claims"),
            contributions=breaking(self.contributions, "contributions"),
            clock=wall_clock,
            random=Random(seed),
        )
        try:
            async with client:
                yield Process(operations, credit, plan)
        except BaseException as error:  # it may die while it cleans up, too
            if not (is_crash(error) and plan.is_dead):
                raise

    async def later(self) -> None:
        """Everything late arrives, and every operation is older than the grace period."""
        await self.mock.settle()
        await asyncio.sleep(2 * GRACE.total_seconds())

    async def reconcile(self) -> list[str]:
        """Another process reconciles until there is nothing to find; says what would not end."""
        self.mock.clear_faults()
        async with self.process(seed=99) as process:
            report = await Reconciler(process.operations, grace=GRACE).run_until_clean()
        return [f"left: {each.subject} {each.left}" for each in stranded(report)] + report.errors


def stranded(report: ReconcileReport) -> list[Finding]:
    """What a reconciler left, but for open entries of the journal: those only wait for a repeat."""
    return [each for each in report.left if each.sweep != OpenOperations.name]


async def a_world(release: str | None = None, away: float = 0.0) -> World:
    """A world whose creator has her funds; committed by rename on a release that was measured."""
    world = (
        World(away=away) if release is None else World(release, by_rename_on(release), away=away)
    )
    await world.found()
    return world


@dataclass
class Process:
    """What one process works with."""

    operations: BountyOperations
    credits: FaultyCredits
    plan: CrashPlan


def with_other(operations: BountyOperations, **options: Any) -> BountyOperations:
    """Operations on the same systems, but for those that are named, with other settings."""
    services = operations.services
    systems: dict[str, Any] = {
        "credits": services.credits,
        "claims": services.claims,
        "contributions": services.contributions,
        "clock": services.clock,
    }
    return BountyOperations(services.store, **(systems | options))


def a_bounty(deadline: datetime | None = None) -> Bounty:
    return Bounty(
        bounty_id=BOUNTY_ID,
        title="Sort it",
        creator=ALICE,
        amount=PRICE,
        criteria=BountyCriteria(
            description="sorted, fast",
            required_tags=["sorted"],
            metric_name="speed",
            metric_threshold=1.0,
            metric_direction="maximize",
        ),
        deadline=deadline or EPOCH + timedelta(days=7),
        created_at=EPOCH,
    )


# The oracle: what the files and the ledger say, without the code under test


def statuses_ever(mock: MockNexus) -> list[str]:
    """Every status that the bounty's document was ever really in, tombstones aside."""
    path = f"/zones/default/bounties/{BOUNTY_ID}.json"
    written = [
        msgspec.json.decode(entry.content)
        for entry in mock.log
        if entry.content is not None and committed.is_commit_of(entry.path, path)
    ]
    return [
        each["status"]
        for each in written
        if not all(op.get("aborted") for op in each["nexusBounty"]["ops"])
    ]


def document(mock: MockNexus) -> dict[str, Any] | None:
    content = committed.content_of(mock, f"/zones/default/bounties/{BOUNTY_ID}.json")
    value = None if content is None else msgspec.json.decode(content)
    if value is None or all(op.get("aborted") for op in value["nexusBounty"]["ops"]):
        return None
    return dict(value)


async def broken_invariants(world: World, *, at_rest: bool = True) -> list[str]:
    """Every invariant of the money that does not hold."""
    bounty = document(world.mock)
    reservations = [each async for each in world.ledger.reservations()]
    balances = {name: await world.ledger.balance(name) for name in ("alice", "bob", "carol")}
    broken = []
    total = sum(each.available + each.reserved for each in balances.values())
    if total != FUNDS:
        broken.append(f"credits were {FUNDS} and are {total}")
    reservations.sort(key=lambda each: each.status.value == "voided")  # of refused tries
    if len(reservations) > 1 and reservations[1].status.value != "voided":
        broken.append(f"{len(reservations)} reservations for one bounty")
    status = bounty["status"] if bounty else None
    held = reservations[0].status.value if reservations else None
    claimer = (bounty or {}).get("claimedBy", {}).get("agentId")
    right = {
        "open": held == "held",
        "claimed": held == "held",
        "pending_settlement": held == "held" and not at_rest,
        "draft": not at_rest,
        "completed": not at_rest,
        "settled": held == "captured" and reservations[0].captured_to == claimer,
        "cancelled": held in (None, "voided"),
        "expired": held in (None, "voided"),
        None: held is None,
    }
    if not right[status]:
        broken.append(f"the bounty is {status} and its reservation {held}")
    paid = balances["bob"].available + balances["carol"].available
    if paid != (PRICE if status == "settled" else 0):
        broken.append(f"the bounty is {status} and workers were paid {paid}")
    broken += _broken_leases(world.mock, bounty)
    rewards = committed.contents_in(world.mock, "/zones/default/rewards")
    if at_rest and len(rewards) != (1 if status == "settled" else 0):
        broken.append(f"the bounty is {status} and has {len(rewards)} rewards")
    return broken


def _broken_leases(mock: MockNexus, bounty: dict[str, Any] | None) -> list[str]:
    broken = []
    for content in committed.contents_in(mock, "/zones/default/claims").values():
        claim = msgspec.json.decode(content)
        holder = (bounty or {}).get("claimedBy", {}).get("agentId")
        claimed = bounty is not None and bounty["status"] == "claimed"
        if not _holds(claim):
            continue
        if not claimed or claim["agent"]["agentId"] != holder:
            broken.append(f"an active lease of {claim['agent']['agentId']} on a bounty it lacks")
    return broken


def _holds(claim: dict[str, Any]) -> bool:
    """Whether a lease is active and has not run out."""
    until = msgspec.convert(claim["leaseExpiresAt"], datetime)
    return claim["status"] == "active" and until > wall_clock()
