"""Every request and every ledger call of an operation x every fault, then the reconciler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from nexus_bounty import OutcomeError
from nexus_bounty.mock import ALL_FAULTS, Fault, FaultKind
from nexus_bounty.operations import BountyOperations
from nexus_bounty.testing.virtual_time import EPOCH, run
from tests.support.sampling import sampled
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CID,
    LEDGER_FAULTS,
    PORT_FAULTS,
    Crash,
    CrashPlan,
    LedgerFault,
    PortFault,
    Process,
    World,
    a_bounty,
    a_world,
    broken_invariants,
    document,
    is_crash,
    statuses_ever,
)

KEY = "the-operation"

Act = Callable[[BountyOperations], Awaitable[object]]


@dataclass(frozen=True)
class Case:
    """An operation, what came before it, and the statuses that it is there to bring about."""

    name: str
    before: tuple[str, ...]
    act: Act
    brings: tuple[str, ...]


def _soon() -> timedelta:
    return timedelta(seconds=1)


ACTS: dict[str, Act] = {
    "create": lambda o: o.create(a_bounty(), idempotency_key=KEY),
    "create_short": lambda o: o.create(a_bounty(EPOCH + _soon()), idempotency_key="first"),
    "first_create": lambda o: o.create(a_bounty(), idempotency_key="first"),
    "first_claim": lambda o: o.claim(BOUNTY_ID, BOB, idempotency_key="second"),
    "claim": lambda o: o.claim(BOUNTY_ID, BOB, idempotency_key=KEY),
    "release": lambda o: o.release(BOUNTY_ID, BOB, idempotency_key=KEY),
    "settle": lambda o: o.settle(BOUNTY_ID, CID, idempotency_key=KEY),
    "cancel": lambda o: o.cancel(BOUNTY_ID, idempotency_key=KEY),
    "expire": lambda o: o.expire(BOUNTY_ID, idempotency_key=KEY),
}

CASES = (
    Case("create", (), ACTS["create"], ("open",)),
    Case("claim", ("first_create",), ACTS["claim"], ("claimed",)),
    Case("release", ("first_create", "first_claim"), ACTS["release"], ()),
    Case("settle", ("first_create", "first_claim"), ACTS["settle"], ("pending_settlement",)),
    Case("cancel", ("first_create",), ACTS["cancel"], ("cancelled",)),
    Case("cancel_claimed", ("first_create", "first_claim"), ACTS["cancel"], ("cancelled",)),
    Case("expire", ("create_short", "wait"), ACTS["expire"], ("expired",)),
)


@dataclass
class Trial:
    """One run, through to the end of the reconciler's work."""

    name: str
    verdict: str
    requests: int
    ledger_calls: int
    boundaries: int
    problems: list[str]


async def attempt(
    case: Case,
    *,
    fault: Fault | None = None,
    number: int = 0,
    ledger: LedgerFault | None = None,
    crash: int | None = None,
    impatient: bool = False,
    release: str | None = None,
    away: float = 0.0,
    broken: PortFault | None = None,
) -> Trial:
    """Run `case` under one fault or crash, then everything late, then the reconciler."""
    world = await a_world(release, away)
    await prepare(world, case)
    before = world.mock.oracle.received_total
    seen_before = len(statuses_ever(world.mock))
    if fault is not None:
        world.mock.inject(fault.on(at=before + number))
    plan = CrashPlan(at=crash)
    async with world.process(plan, ledger, impatient=impatient, broken=broken) as process:
        verdict = await verdict_of(case, process)
        calls = process.credits.calls
    requests = world.mock.oracle.received_total - before
    await world.later()
    before_reconciling = statuses_ever(world.mock)[seen_before:]
    problems = await world.reconcile()
    problems += await broken_invariants(world)
    brought = statuses_ever(world.mock)[seen_before:]
    # what is past its deadline is expired by the reconciler, whatever became of the operation
    landed = before_reconciling if case.name == "expire" else brought
    problems += disagreements(case, verdict, landed)
    problems += await repeated(world, case, verdict)
    name = f"{case.name}{' impatient' if impatient else ''}{f' on {release}' if release else ''}"
    name += f" #{number} {fault.name}" if fault else f" {ledger or broken or ''} crash {crash}"
    return Trial(name, verdict, requests, calls, plan.seen, problems)


async def prepare(world: World, case: Case) -> None:
    async with world.process(seed=7) as process:
        for each in case.before:
            if each == "wait":
                await world.later()
            else:
                await ACTS[each](process.operations)


async def verdict_of(case: Case, process: Process) -> str:
    try:
        await case.act(process.operations)
    except OutcomeError as error:
        return error.outcome.value
    except BaseException as error:
        if is_crash(error):
            return "crashed"
        raise
    return "committed"


def disagreements(case: Case, verdict: str, brought: list[str]) -> list[str]:
    """Whether the verdict disagrees with what the document was really brought to."""
    landed = [status for status in brought if status in case.brings]
    if verdict in ("committed", "post_commit") and case.brings and not landed:
        return [f"said {verdict}, and it was only ever {brought}"]
    if verdict == "pre_commit" and landed:
        return [f"said pre_commit, and it was {brought}"]
    return []


async def repeated(world: World, case: Case, verdict: str) -> list[str]:
    """The same operation with the same key from another process changes no verdict and no sum."""
    status = (document(world.mock) or {}).get("status")
    written = world.mock.oracle.applied_total
    again = "committed"
    async with world.process(seed=5) as process:
        with suppress(Crash):
            again = await verdict_of(case, process)
    problems = []
    if verdict == "committed" and again != "committed":
        problems.append(f"said committed, and {again} when asked again")
    if again == "unknown":
        problems.append(f"said {verdict}, and unknown when asked again on a healthy network")
    if verdict in ("committed", "post_commit"):
        now = (document(world.mock) or {}).get("status")
        if now != status:
            problems.append(f"asking again moved the bounty from {status} to {now}")
    if world.mock.oracle.applied_total != written:
        await world.later()
        problems += await world.reconcile()
    problems += [f"after a repeat: {each}" for each in await broken_invariants(world)]
    return problems


LONG_LATE = Fault(FaultKind.LATE, after_requests=1000)


ONE_OF_A_KIND = (
    *{fault.kind: fault for fault in reversed(ALL_FAULTS)}.values(),
    Fault(FaultKind.STATUS_BEFORE, status=503),
    LONG_LATE,
)
"""One specimen of every kind of fault; the others of a kind differ in how they are worded."""


EVERY_FAULT = (*ALL_FAULTS, LONG_LATE)


def request_trials(
    case: Case,
    *,
    sample: bool = False,
    impatient: bool = False,
    release: str | None = None,
    away: float = 0.0,
) -> Iterator[Trial]:
    """Every request that the operation sends x every fault, or a sample of one of a kind."""
    under = partial(attempt, case, impatient=impatient, release=release, away=away)
    calm = run(under())
    yield calm
    for number in range(1, calm.requests + 1):
        request = f"{case.name} {impatient} #{number}"
        for fault in sampled(ONE_OF_A_KIND, request) if sample else EVERY_FAULT:
            yield run(under(fault=fault, number=number))


def ledger_trials(case: Case, release: str | None = None) -> Iterator[Trial]:
    """Every call of the ledger x every way in which it can fail."""
    calm = run(attempt(case, release=release))
    for at in range(1, calm.ledger_calls + 1):
        for kind in LEDGER_FAULTS:
            yield run(attempt(case, ledger=LedgerFault(kind, at), release=release))


def port_trials(case: Case) -> Iterator[Trial]:
    """Every call of any port, ending in an error that the port does not promise, done or not."""
    calm = PortFault()
    run(attempt(case, broken=calm))
    for at in range(1, len(calm.calls) + 1):
        for kind in PORT_FAULTS:
            yield run(attempt(case, broken=PortFault(kind, at)))


def crash_trials(case: Case, release: str | None = None, away: float = 0.0) -> Iterator[Trial]:
    """A crash before and after every request and every ledger call."""
    calm = run(attempt(case, release=release, away=away))
    for boundary in range(1, calm.boundaries + 1):
        yield run(attempt(case, crash=boundary, release=release, away=away))
