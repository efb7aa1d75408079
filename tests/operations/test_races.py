"""Operations of several processes at once."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from nexus_bounty import AgentIdentity
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.operations import BountyOperations
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import run
from tests.operations import operation_trials
from tests.operations.lives import SHORT, Act, claimed, nothing, outcome, posted
from tests.operations.operation_trials import CASES, Case
from tests.support.sampling import every_nth, sample_and_all
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    Crash,
    CrashPlan,
    World,
    a_bounty,
    a_world,
    broken_invariants,
    document,
)


class Jittery:
    """A ledger that takes its time, before and after."""

    def __init__(self, ledger: MemoryCredits, pause: Callable[[str], Awaitable[None]]) -> None:
        self._ledger = ledger
        self._pause = pause

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._ledger, name)
        if name not in ("reserve", "capture", "void", "get_reservation"):
            return call

        async def slow(*args: Any, **named: Any) -> Any:
            await self._pause("request")
            result = await call(*args, **named)
            await self._pause("response")
            return result

        return slow


def _jitter(world: World, seed: int) -> None:
    """From now on every request and every call of the ledger takes a while of its own."""
    random = Random(seed)
    lengths = random.choice([(0.0,), (0.0, 0.01), (0.0, 0.01, 0.1, 1.0), (0.0, 0.0, 0.0, 5.0)])

    async def pause(_stage: str) -> None:
        for _ in range(random.randrange(3)):
            await asyncio.sleep(random.choice(lengths))

    changed: Any = world
    changed.mock.transport = functools.partial(type(world.mock).transport, world.mock, pause=pause)
    changed.ledger = Jittery(world.ledger, pause)


@dataclass(frozen=True)
class Race:
    """Operations of different processes at once, and in which status it may end."""

    name: str
    before: Act | None
    rivals: tuple[Act, ...]
    ends: tuple[str | None, ...]
    winners: tuple[int, ...] = (0, 1, 2, 3)
    """How many of the rivals may be told that theirs is committed."""


async def _due(operations: BountyOperations) -> None:
    await claimed(operations, SHORT)
    await asyncio.sleep(61)


async def _sweep(operations: BountyOperations) -> None:
    """A reconciler that leaves nobody in peace."""
    reconciler = Reconciler(operations, grace=timedelta(0))
    for _ in range(3):
        await reconciler.run_once()


def _claim_for(agent: AgentIdentity) -> Act:
    return lambda o: o.claim(BOUNTY_ID, agent, idempotency_key=agent.agent_id)


def _cancel(operations: BountyOperations) -> Awaitable[Any]:
    return operations.cancel(BOUNTY_ID, idempotency_key="cancel")


def _settle(operations: BountyOperations) -> Awaitable[Any]:
    return operations.settle(BOUNTY_ID, CID, idempotency_key="settle")


def _settle_too(operations: BountyOperations) -> Awaitable[Any]:
    return operations.settle(BOUNTY_ID, CID, idempotency_key="settle-too")


def _expire(operations: BountyOperations) -> Awaitable[Any]:
    return operations.expire(BOUNTY_ID, idempotency_key="expire")


def _release(operations: BountyOperations) -> Awaitable[Any]:
    return operations.release(BOUNTY_ID, BOB, idempotency_key="release")


RACES = (
    Race("two agents claim", posted, (_claim_for(BOB), _claim_for(CAROL)), ("claimed",), (1,)),
    Race("one claim, asked twice", posted, (_claim_for(BOB), _claim_for(BOB)), ("claimed",), (2,)),
    Race("one create, asked twice", None, (posted, posted), ("open",), (2,)),
    Race(
        "two creates of one id",
        None,
        (posted, lambda o: o.create(a_bounty(), idempotency_key="theirs")),
        ("open",),
        (1,),
    ),
    Race("one settle, asked twice", claimed, (_settle, _settle), ("settled",), (2,)),
    Race("two settles", claimed, (_settle, _settle_too), ("settled",), (1, 2)),
    Race("cancel and claim", posted, (_cancel, _claim_for(BOB)), ("cancelled",), (1, 2)),
    Race("cancel and create", None, (posted, _cancel), ("open", "cancelled", None)),
    Race("settle and cancel", claimed, (_settle, _cancel), ("settled", "cancelled"), (1,)),
    Race("settle and expire", _due, (_settle, _expire), ("settled", "expired"), (1,)),
    Race("settle and release", claimed, (_settle, _release), ("settled", "open"), (1,)),
    Race("expire and cancel", _due, (_expire, _cancel), ("expired", "cancelled"), (1,)),
    Race("release and claim", claimed, (_release, _claim_for(CAROL)), ("open", "claimed"), (1, 2)),
    Race(
        "release, cancel and claim",
        claimed,
        (_release, _cancel, _claim_for(CAROL)),
        ("cancelled",),
        (1, 2, 3),
    ),
    Race("two reconcilers", claimed, (_sweep, _sweep, _settle), ("settled",)),
    Race("reconciler and create", None, (posted, _sweep), ("open", "cancelled")),
    Race("reconciler and claim", posted, (_claim_for(BOB), _sweep), ("claimed", "open")),
    Race("reconciler and release", claimed, (_release, _sweep), ("open",), (2,)),
    Race("reconciler and settle", claimed, (_settle, _sweep, _sweep), ("settled",), (3,)),
    Race("reconciler and cancel", claimed, (_cancel, _sweep), ("cancelled",), (2,)),
    Race("reconciler and expire", _due, (_expire, _sweep), ("expired",), (1, 2)),
    Race(
        "reconciler, settle and cancel",
        claimed,
        (_settle, _cancel, _sweep),
        ("settled", "cancelled"),
    ),
)


async def _raced(race: Race, seed: int) -> list[str]:
    """Run the rivals at once under one schedule, then the reconciler; says what is wrong."""
    world = await a_world()
    async with world.process(seed=99) as process:
        await (race.before or nothing)(process.operations)
    _jitter(world, seed)

    async def rival(number: int, act: Act) -> str:
        async with world.process(seed=number) as process:
            return await outcome(act(process.operations))

    ended = await asyncio.gather(*(rival(*each) for each in enumerate(race.rivals, 1)))
    wrong = [f"lost: {each}" for each in await broken_invariants(world, at_rest=False)]
    wrong += [] if ended.count("committed") in race.winners else ["too many or too few winners"]
    wrong += ["nobody knows"] if "unknown" in ended else []
    await world.later()
    wrong += await world.reconcile()
    wrong += await broken_invariants(world)
    status = (document(world.mock) or {}).get("status")
    wrong += [] if status in race.ends else [f"it ended {status}"]
    return [f"seed {seed}, {ended}: {each}" for each in wrong]


@pytest.mark.parametrize("race", every_nth(2, RACES), ids=lambda race: race.name)
def test_whoever_is_faster_the_invariants_hold(race: Race) -> None:
    """Many schedules: right when all have ended, and nothing is stranded after reconciling."""
    assert not [each for seed in range(4) for each in run(_raced(race, seed))]


@pytest.mark.parametrize("seed", [40, 52])
def test_a_settlement_that_is_put_on_record_under_a_cancel_keeps_no_credits(seed: int) -> None:
    """The cancel had looked at the reservation before: it looks again, and fences it off."""
    (race,) = [each for each in RACES if each.name == "settle and cancel"]
    assert not run(_raced(race, seed))


@pytest.mark.exhaustive
@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_whoever_is_faster_the_invariants_hold_in_many_more_schedules(race: Race) -> None:
    """The same, many more times."""
    assert not [each for seed in range(300) for each in run(_raced(race, seed))]


@sample_and_all
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_two_reconcilers_at_once_end_what_any_crash_left(case: Case, sample: bool) -> None:
    """They get in each other's way at every step, and neither undoes the other's."""

    async def crashed_at(boundary: int | None) -> tuple[int, list[str]]:
        world = await a_world()
        await operation_trials.prepare(world, case)
        plan = CrashPlan(at=boundary)
        async with world.process(plan) as process:
            with suppress(Crash):
                await case.act(process.operations)
        await world.later()
        _jitter(world, boundary or 0)
        wrong = itertools.chain(*await asyncio.gather(world.reconcile(), world.reconcile()))
        left = [] if boundary is None else [each for each in wrong if "left" not in each]
        left += await world.reconcile() + await broken_invariants(world)
        return plan.seen, [f"{boundary}: {each}" for each in left]

    boundaries, wrong = run(crashed_at(None))
    for boundary in range(1, boundaries + 1, 5 if sample else 1):
        wrong += run(crashed_at(boundary))[1]
    assert not wrong
