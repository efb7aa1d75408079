"""The reconciler as a whole: one failure stops nothing else, and it waits while all is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import msgspec
import pytest

from nexus_bounty import Assignment, BountyStatus, CommitUnknownError
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.reconcile import Finding, Reconciler, ReconcileReport
from nexus_bounty.reconcile.reconciler import SWEEPS
from nexus_bounty.reconcile.sweep import Problem, Scope
from nexus_bounty.testing.virtual_time import EPOCH
from tests.reconcile.stranded import STRANDED, Hands, grown_old
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CID,
    GRACE,
    World,
    a_bounty,
    a_world,
    broken_invariants,
    with_other,
)

MINUTE = timedelta(minutes=1)
DOWN = Fault(FaultKind.REFUSE, match=RequestMatch(), times=None)


@dataclass
class Broken:
    """A sweep that finds one thing and then fails."""

    name: str = "broken"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        yield Problem("something", "is odd", reason="nobody knows")
        raise RuntimeError("out of luck")


@dataclass
class Stubborn:
    """A sweep, the repair of whose first finding fails."""

    name: str = "stubborn"
    repaired: int = 0

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        yield Problem("first", "is odd", self._fail)
        yield Problem("second", "is odd", self._repair)

    async def _fail(self) -> str:
        raise RuntimeError("out of luck")

    async def _repair(self) -> str:
        self.repaired += 1
        return "mended"


def a_stranded_world() -> asyncio.Future[World]:
    pending = next(each for each in STRANDED if each.name == "pending")
    return asyncio.ensure_future(grown_old(pending))


@virtual
async def test_a_sweep_that_fails_does_not_stop_the_others() -> None:
    """What it had found is reported, with the error that cut it short."""
    world = await a_stranded_world()
    async with world.process() as process:
        reconciler = Reconciler(process.operations, grace=GRACE, sweeps=(Broken(), *SWEEPS))
        report = await reconciler.run_once()
    first = report.sweeps[0]
    assert first.error == "RuntimeError: out of luck"
    assert [each.left for each in first.findings] == ["nobody knows"]
    assert report.errors == [first.error]
    assert not await broken_invariants(world)


@virtual
async def test_a_repair_that_fails_does_not_stop_the_sweep() -> None:
    """It is left with its reason, and the next one is repaired."""
    world = await a_world()
    sweep = Stubborn()
    async with world.process() as process:
        report = await Reconciler(process.operations, sweeps=(sweep,)).run_once()
    assert [each.left for each in report.findings] == ["RuntimeError: out of luck", None]
    assert sweep.repaired == 1
    assert not report.errors


@virtual
async def test_a_ledger_that_cannot_be_reached_stops_no_sweep_that_does_not_need_it() -> None:
    """Markers are mended, and what needs the ledger is left with its reason."""
    case = next(each for each in STRANDED if each.name == "missing marker")
    world = await grown_old(case)

    class Closed:
        def __getattr__(self, name: str) -> object:
            raise ConnectionError("the ledger is closed")

    async with world.process() as process:
        operations = with_other(process.operations, credits=Closed())
        report = await Reconciler(operations, grace=GRACE).run_once()
    assert [each.sweep for each in report.findings if each.repaired] == ["index markers"]
    assert set(report.errors) == {"ConnectionError: the ledger is closed"}


@virtual
async def test_what_cuts_a_sweep_short_is_said_without_advice_for_callers_of_operations() -> None:
    """Nobody has to repeat anything with a key because a ledger could not be read."""

    class Unread:
        def __getattr__(self, name: str) -> object:
            raise CommitUnknownError("the ledger cannot be read")

    async with World().process() as process:
        operations = with_other(process.operations, credits=Unread())
        report = await Reconciler(operations, grace=GRACE).run_once()
    assert set(report.errors) == {"CommitUnknownError: the ledger cannot be read"}


@virtual
async def test_findings_are_told_as_they_are_made_and_the_report_has_the_same() -> None:
    """In the same order."""
    world = await a_stranded_world()
    told: list[Finding] = []
    async with world.process() as process:
        report = await Reconciler(process.operations, grace=GRACE).run_once(told.append)
    assert told
    assert told == report.findings


@virtual
async def test_health_counts_runs_findings_and_failures_in_a_row() -> None:
    """And remembers when it last went well, and what went wrong last."""
    world = await a_stranded_world()
    async with world.process(impatient=True) as process:
        reconciler = Reconciler(process.operations, grace=GRACE)
        assert reconciler.health.runs == 0
        await reconciler.run_once()
        well = reconciler.health
        world.mock.inject(DOWN)
        await reconciler.run_once()
        await reconciler.run_once()
        ill = reconciler.health
        world.mock.clear_faults()
        await reconciler.run_once()
        again = reconciler.health
    assert (well.runs, well.failed_in_a_row, well.found, well.repaired) == (1, 0, 1, 1)
    assert well.last_success_at == well.last_run_at
    assert (ill.runs, ill.failed_in_a_row, ill.found) == (3, 2, 1)
    assert ill.last_error
    assert ill.last_success_at == well.last_success_at
    assert (again.runs, again.failed_in_a_row, again.last_error) == (4, 0, None)
    assert again.last_success_at == again.last_run_at


@virtual
async def test_what_is_left_is_counted_as_it_is_now() -> None:
    """Not added up over the runs."""
    case = next(each for each in STRANDED if each.name == "held for another zone")
    world = await grown_old(case)
    async with world.process() as process:
        reconciler = Reconciler(process.operations, grace=GRACE)
        for _ in range(3):
            await reconciler.run_once()
    assert reconciler.health.left_at_last == 1
    assert reconciler.health.found == 3
    assert reconciler.health.repaired == 0


async def _run_for(
    world: World, seconds: float, reports: list[tuple[float, ReconcileReport]]
) -> None:
    """Run for ever, for that long; remembers when each run ended."""
    loop = asyncio.get_running_loop()
    async with world.process(impatient=True) as process:
        reconciler = Reconciler(process.operations, grace=GRACE)

        def remember(report: ReconcileReport) -> None:
            reports.append((loop.time(), report))

        running = reconciler.run_forever(MINUTE, at_most=15 * MINUTE, on_report=remember)
        task = asyncio.ensure_future(running)
        await asyncio.sleep(seconds)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()


@virtual
async def test_it_runs_every_so_often_while_all_is_well() -> None:
    """Once a minute, as it was told."""
    world = await a_world()
    reports: list[tuple[float, ReconcileReport]] = []
    await _run_for(world, 601, reports)
    assert len(reports) == 11
    assert all(58 <= later - sooner <= 62 for (sooner, _), (later, _) in pairwise(reports))


@virtual
async def test_it_backs_off_while_the_server_is_down_and_comes_back_when_it_is_up() -> None:
    """Ever longer pauses with jitter, then the usual one; and what was left is ended."""
    world = await a_stranded_world()
    world.mock.inject(DOWN)
    reports: list[tuple[float, ReconcileReport]] = []
    start = asyncio.get_running_loop().time()

    async def come_back() -> None:
        await asyncio.sleep(2 * 3600)
        world.mock.clear_faults()

    back = asyncio.ensure_future(come_back())
    await _run_for(world, 4 * 3600, reports)
    await back
    down = [at for at, report in reports if report.errors]
    well = [at for at, report in reports if not report.errors]
    pauses = [later - sooner for sooner, later in pairwise(down)]
    longest = [min(120 * 2**number, 900) for number in range(len(pauses))]
    assert all(60 <= each <= most + 5 for each, most in zip(pauses, longest, strict=True))
    assert len({round(each) for each in pauses}) > len(pauses) / 2, "there is no jitter"
    assert max(pauses) > 300
    assert len(down) < 40
    assert well[0] - start <= 2 * 3600 + 905
    assert well[1] - well[0] == pytest.approx(60, abs=2)
    assert not await broken_invariants(world)


@virtual
async def test_a_cancelled_reconciler_stops_in_the_middle_and_the_next_one_goes_on() -> None:
    """Cancelled at every turn: nothing is swallowed, nothing is lost."""
    turns = 0
    while True:
        world = await a_stranded_world()
        async with world.process() as process:
            task = asyncio.ensure_future(Reconciler(process.operations, grace=GRACE).run_once())
            for _ in range(turns):
                await asyncio.sleep(0)
            cancelled = task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert task.cancelled() == cancelled
        await world.later()
        assert not await world.reconcile()
        assert not await broken_invariants(world)
        if not cancelled:
            break
        turns += 5
    assert turns > 20


@virtual
async def test_running_until_clean_stops_when_a_run_repairs_nothing() -> None:
    """One run to repair, one to see that it is clean."""
    world = await a_stranded_world()
    async with world.process() as process:
        reconciler = Reconciler(process.operations, grace=GRACE)
        report = await reconciler.run_until_clean()
    assert reconciler.health.runs == 2
    assert report.found == 0


@virtual
async def test_running_until_clean_gives_up_after_as_many_runs_as_told() -> None:
    """While the server stays down."""
    world = await a_world()
    world.mock.inject(DOWN)
    async with world.process(impatient=True) as process:
        reconciler = Reconciler(process.operations, grace=GRACE)
        report = await reconciler.run_until_clean(most=3)
    assert reconciler.health.runs == 3
    assert report.errors


@virtual
async def test_a_report_says_when_it_was_made() -> None:
    """By the clock of the operations."""
    world = await a_world()
    async with world.process() as process:
        await Hands.of(world, process).posted()
        await asyncio.sleep(60)
        report = await Reconciler(process.operations).run_once()
    assert EPOCH + MINUTE <= report.started_at <= report.finished_at
    assert {each.name for each in SWEEPS} <= {each.sweep for each in report.sweeps}


@virtual
async def test_a_zone_with_many_stranded_bounties_is_ended_in_one_run() -> None:
    """Each by itself; credits add up."""
    world = await a_world()
    await world.ledger.top_up("more", account="alice", amount=10_000)
    async with world.process() as process:
        hands = Hands.of(world, process)
        for number in range(30):
            bounty_id = f"{BOUNTY_ID}-{number}"
            await _strand(hands, bounty_id, number % 3)
    await world.later()
    async with world.process(seed=8) as process:
        report = await Reconciler(process.operations, grace=GRACE).run_once()
        second = await Reconciler(process.operations, grace=GRACE).run_once()
    assert report.repaired >= 30
    assert second.found == 0
    assert (await world.ledger.balance("bob")).available == 10 * 100
    assert (await world.ledger.balance("alice")).reserved == 10 * 100


async def _strand(hands: Hands, bounty_id: str, how: int) -> None:
    """A draft with credits, a draft without, or a settlement under way."""
    bounty = msgspec.structs.replace(a_bounty(), bounty_id=bounty_id)
    if how == 2:
        await hands.operations.create(bounty)
        await hands.operations.claim(bounty_id, BOB)
        standing = await hands.store.get_bounty(bounty_id)
        assert standing is not None
        each = Assignment(payee=BOB.agent_id, work=f"{CID}-{bounty_id}", key="pivot")
        await hands.world.ledger.assign(standing.reservation_id or "", each)
        await hands.store.begin_settlement(bounty_id, each.work)
        return
    escrow = f"r-{bounty_id}"
    draft = msgspec.structs.replace(bounty, status=BountyStatus.DRAFT, reservation_id=escrow)
    await hands.store.create_bounty(draft)
    if how == 1:
        await hands.reserve(escrow, bounty_id)
