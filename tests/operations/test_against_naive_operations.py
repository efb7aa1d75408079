"""The known bugs of code that takes a lost answer for a failure, and that ours has none of them.

Each partial failure is made at the exact request: the server applies it, and the answer is lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from nexus_bounty import NexusClient, NexusSettings, OutcomeError
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.operations import BountyOperations
from nexus_bounty.testing.virtual_time import run, wall_clock
from tests.support.naive_operations import NaiveOperations, NaiveStore
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CID,
    FUNDS,
    PRICE,
    LedgerFault,
    World,
    a_bounty,
    broken_invariants,
)

Naive = Callable[[NaiveOperations], Awaitable[object]]
Ours = Callable[[BountyOperations], Awaitable[object]]

DOCUMENT = "/zones/default/bounties/b-1.json"


def lost_answer(path: str, nth: int = 1) -> Fault:
    """The nth write of a file is applied, and its answer is lost with the connection."""
    match = RequestMatch(method="write", path=path, nth=nth)
    return Fault(FaultKind.DROP_AFTER, match=match)


def marker(status: str) -> str:
    return f"/zones/default/indexes/bounties/status/{status}/b-1"


@dataclass(frozen=True)
class Step:
    """One operation in both implementations, and what brings the world to where it begins."""

    naive: Naive
    ours: Ours
    naive_before: tuple[Naive, ...] = ()
    ours_before: tuple[Ours, ...] = ()


@dataclass(frozen=True)
class Bug:
    """One known bug: the operation, where its answer is lost, and what is wrong afterwards."""

    name: str
    step: Step
    symptom: str
    faults: tuple[Fault, ...] = ()
    ledger: LedgerFault | None = None
    outcomes: tuple[str, ...] = ("committed",)


NAIVE_LIFE: tuple[Naive, ...] = (
    lambda n: n.create(a_bounty()),
    lambda n: n.claim(BOUNTY_ID, BOB),
)
OUR_LIFE: tuple[Ours, ...] = (
    lambda o: o.create(a_bounty(), idempotency_key="create"),
    lambda o: o.claim(BOUNTY_ID, BOB, idempotency_key="claim"),
)


def our_settle(operations: BountyOperations) -> Awaitable[object]:
    return operations.settle(BOUNTY_ID, CID, idempotency_key="settle")


CREATE = Step(NAIVE_LIFE[0], OUR_LIFE[0])
CLAIM = Step(NAIVE_LIFE[1], OUR_LIFE[1], NAIVE_LIFE[:1], OUR_LIFE[:1])
SETTLE_THEN_PAY = Step(
    lambda n: n.settle_then_pay(BOUNTY_ID, CID), our_settle, NAIVE_LIFE, OUR_LIFE
)
PAY_THEN_SETTLE = Step(
    lambda n: n.pay_then_settle(BOUNTY_ID, CID), our_settle, NAIVE_LIFE, OUR_LIFE
)
CANCEL = Step(
    lambda n: n.cancel(BOUNTY_ID),
    lambda o: o.cancel(BOUNTY_ID, idempotency_key="cancel"),
    NAIVE_LIFE[:1],
    OUR_LIFE[:1],
)

CUT_OFF = Fault(FaultKind.REFUSE, match=RequestMatch(path=DOCUMENT, nth=2), times=None)
"""From the second request for the document on, the server cannot be reached."""

UNPAID = "settled and its escrow is held"
UNFUNDED = "open and its escrow is voided"
NO_LEASE = "claimed by bob and he has no lease"
PAID_EARLY = "claimed and its escrow is captured"

BUGS = (
    Bug(
        "settled before paid, the last answer lost",
        SETTLE_THEN_PAY,
        UNPAID,
        (lost_answer(DOCUMENT, nth=2),),
    ),
    Bug(
        "settled before paid, its marker late",
        SETTLE_THEN_PAY,
        UNPAID,
        (lost_answer(marker("settled")),),
    ),
    Bug(
        "settled before paid, the ledger refusing",
        SETTLE_THEN_PAY,
        UNPAID,
        ledger=LedgerFault("refused", 1, "capture"),
        outcomes=("post_commit",),
    ),
    Bug(
        "escrow given back after a create that committed, its marker late",
        CREATE,
        UNFUNDED,
        (lost_answer(marker("open")),),
    ),
    Bug(
        "escrow given back after a create that committed, its answer lost",
        CREATE,
        UNFUNDED,
        (lost_answer(DOCUMENT),),
    ),
    Bug(
        "lease released although the claim had persisted, its answer lost",
        CLAIM,
        NO_LEASE,
        (lost_answer(DOCUMENT),),
    ),
    Bug(
        "lease released although the claim had persisted, its marker late",
        CLAIM,
        NO_LEASE,
        (lost_answer(marker("claimed")),),
    ),
    Bug(
        "paid before the pivot",
        PAY_THEN_SETTLE,
        PAID_EARLY,
        (CUT_OFF,),
        outcomes=("pre_commit", "post_commit", "unknown"),
    ),
    Bug(
        "given back before it was cancelled",
        CANCEL,
        UNFUNDED,
        (CUT_OFF,),
        outcomes=("pre_commit", "unknown"),
    ),
)

each_bug = pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)


@dataclass
class Scene:
    """A world, and what each implementation makes of it; documents of both are understood."""

    world: World = field(default_factory=World)

    @asynccontextmanager
    async def naive(self, fault: LedgerFault | None = None) -> AsyncIterator[NaiveOperations]:
        async with self.world.process(fault=fault) as process:
            settings = NexusSettings(retry_attempts=1)
            client = NexusClient(settings=settings, transport=self.world.mock.transport())
            async with client:
                claims = NexusClaimStore(client, commit="conditional", clock=wall_clock)
                yield NaiveOperations(NaiveStore(client), process.credits, claims)

    async def wrong(self) -> list[str]:
        """What is wrong, read from the files and the ledger, whoever wrote them."""
        document = self._file(DOCUMENT)
        reservations = [each async for each in self.world.ledger.reservations()]
        escrow = reservations[0].status.value if reservations else "missing"
        status = document["status"] if document else "missing"
        right = {
            "missing": ("missing", "voided"),
            "draft": ("missing", "held", "voided"),
            "open": ("held",),
            "claimed": ("held",),
            "pending_settlement": ("held", "captured"),
            "completed": ("held", "captured"),
            "settled": ("captured",),
            "cancelled": ("missing", "voided"),
        }
        wrong = [] if escrow in right[status] else [f"it is {status} and its escrow is {escrow}"]
        total = await self.world.ledger.total()
        wrong += [] if total == FUNDS else [f"there are {total} credits"]
        if status == "claimed" and not self._leased_to("bob"):
            wrong.append("it is claimed by bob and he has no lease")
        return wrong

    def _leased_to(self, agent_id: str) -> bool:
        paths = [each for each in self.world.mock.files if each.startswith("/zones/default/claims")]
        claims = [self._file(each) or {} for each in paths]
        return any(
            each["status"] == "active" and each["agent"]["agentId"] == agent_id for each in claims
        )

    def _file(self, path: str) -> dict[str, Any] | None:
        content = self.world.mock.read_file(path)
        return None if content is None else dict(msgspec.json.decode(content))


async def naively(bug: Bug, *, spoiled: bool) -> list[str]:
    """What is wrong after the naive operation, with or without its fault."""
    scene = Scene()
    await scene.world.found()
    async with scene.naive() as naive:
        for step in bug.step.naive_before:
            await step(naive)
    if spoiled:
        scene.world.mock.inject(*bug.faults)
    async with scene.naive(bug.ledger if spoiled else None) as naive:
        with suppress(NexusError, OutcomeError):
            await bug.step.naive(naive)
    return await scene.wrong()


async def properly(bug: Bug) -> tuple[str, list[str], list[str]]:
    """Our verdict, what is wrong at once, and what is wrong after the reconciler."""
    scene = Scene()
    await scene.world.found()
    async with scene.world.process() as process:
        for step in bug.step.ours_before:
            await step(process.operations)
    scene.world.mock.inject(*bug.faults)
    verdict = "committed"
    async with scene.world.process(fault=bug.ledger, seed=2) as process:
        try:
            await bug.step.ours(process.operations)
        except OutcomeError as error:
            verdict = error.outcome.value
    at_once = await scene.wrong()
    await scene.world.later()
    in_the_end = await scene.world.reconcile() + await broken_invariants(scene.world)
    return verdict, at_once, [*in_the_end, *await scene.wrong()]


@each_bug
def test_the_naive_operation_is_right_as_long_as_nothing_fails(bug: Bug) -> None:
    """So that what breaks it is the fault, not the model."""
    assert run(naively(bug, spoiled=False)) == []


@each_bug
def test_the_naive_operation_breaks_the_invariant(bug: Bug) -> None:
    """The counter-example fails, exactly as known."""
    assert run(naively(bug, spoiled=True)) == [f"it is {bug.symptom}"]


@each_bug
def test_ours_keeps_the_invariant_under_the_very_same_fault(bug: Bug) -> None:
    """At once, and after the reconciler; and what was applied is said to be committed."""
    verdict, at_once, in_the_end = run(properly(bug))
    assert at_once == []
    assert in_the_end == []
    assert verdict in bug.outcomes


def test_a_lease_given_back_too_early_lets_another_agent_hold_what_is_not_theirs() -> None:
    """Why the third bug matters: the target is free for others while the document says bob."""

    async def scenario() -> tuple[str, str]:
        scene = Scene()
        await scene.world.found()
        async with scene.naive() as naive:
            await NAIVE_LIFE[0](naive)
            scene.world.mock.inject(lost_answer(DOCUMENT))
            with suppress(NexusError):
                await NAIVE_LIFE[1](naive)
        async with scene.world.process() as process:
            held = await process.operations.services.claims.active_claims(f"bounty:{BOUNTY_ID}")
        document = msgspec.json.decode(scene.world.mock.read_file(DOCUMENT) or b"{}")
        return document["claimedBy"]["agentId"], str(held)

    assert run(scenario()) == ("bob", "[]")


def test_a_naive_settle_leaves_the_price_where_nobody_looks_for_it() -> None:
    """Why the first bug matters: the claimer has nothing, and the bounty says it is over."""

    async def scenario() -> tuple[int, int]:
        scene = Scene()
        await scene.world.found()
        async with scene.naive() as naive:
            for step in NAIVE_LIFE:
                await step(naive)
            scene.world.mock.inject(lost_answer(DOCUMENT, nth=2))
            with suppress(NexusError):
                await naive.settle_then_pay(BOUNTY_ID, CID)
        paid = await scene.world.ledger.balance("bob")
        kept = await scene.world.ledger.balance("alice")
        return paid.available, kept.reserved

    assert run(scenario()) == (0, PRICE)
