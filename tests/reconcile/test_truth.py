"""What a report says of what was not repaired: left, failed, young, or ahead of its time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import msgspec
import pytest

from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.reconcile import Reconciler, ReconcileReport
from nexus_bounty.testing.virtual_time import wall_clock
from tests.reconcile.stranded import DOCUMENT, STRANDED, Hands, grown_old, stranded
from tests.support.virtual import virtual
from tests.support.world import BOUNTY_ID, GRACE, World, a_world, document

CASES = {each.name: each for each in STRANDED}


async def reconciled(world: World, *, dry_run: bool = False) -> ReconcileReport:
    async with world.process() as process:
        return await Reconciler(process.operations, grace=GRACE, dry_run=dry_run).run_once()


@virtual
async def test_a_repair_that_fails_is_told_from_what_is_left_to_people() -> None:
    """Another run tries the one again; the other waits for somebody to decide."""
    failing = await grown_old(CASES["pending"])
    refused = RequestMatch(method="write")
    failing.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=refused, times=None, status=403))
    report = await reconciled(failing)
    assert report.failed == report.unrepaired >= 1
    assert all(each.failed for each in report.left)
    undecided = await reconciled(await grown_old(CASES["draft of another amount"]))
    assert undecided.failed == 0
    assert [each.failed for each in undecided.left] == [False]


@virtual
async def test_what_is_young_is_counted_and_old_enough_a_moment_later() -> None:
    """It is never among what was found, nor is it "all well"."""
    world = await stranded(CASES["pending"])
    young = await reconciled(world)
    assert (young.found, young.young) == (0, 1)
    await asyncio.sleep(GRACE.total_seconds())
    old = await reconciled(world)
    assert (old.repaired, old.young) == (1, 0)


@virtual
async def test_an_operation_that_is_over_is_not_called_young() -> None:
    """Nor is one under way that has nothing half-way: a live lease is no problem."""
    world = await a_world()
    async with world.process() as process:
        hands = Hands.of(world, process)
        await hands.claimed()
        await hands.client.cleanup.flush()
        report = await Reconciler(process.operations, grace=GRACE).run_once()
    assert (report.found, report.young, report.errors) == (0, 0, [])


async def dated(world: World, when: datetime) -> None:
    """Let the document say that it was last touched then, as a wrong clock writes it."""
    async with world.process() as process:
        shown = document(world.mock)
        assert shown is not None
        content = msgspec.json.encode(shown | {"updatedAt": when.isoformat()})
        await Hands.of(world, process).client.write(DOCUMENT, content)


@pytest.mark.parametrize("name", ["draft with credits", "pending", "completed", "unrewarded"])
@virtual
async def test_what_was_touched_in_the_future_is_named_and_left(name: str) -> None:
    """It would be young for years, and nobody would ever hear of it."""
    world = await grown_old(CASES[name])
    await dated(world, wall_clock() + timedelta(days=365))
    for dry_run in (True, False):
        report = await reconciled(world, dry_run=dry_run)
        found = [each for each in report.left if each.sweep == CASES[name].sweep]
        assert [each.subject for each in found] == [BOUNTY_ID]
        assert "in the future" in str(found[0].left)
        assert not found[0].failed
        assert report.young == 0


@virtual
async def test_clocks_that_differ_a_little_make_something_young_not_ahead() -> None:
    """By less than the grace period: it is seen to once that is over."""
    world = await grown_old(CASES["pending"])
    await dated(world, wall_clock() + GRACE / 2)
    report = await reconciled(world)
    assert (report.young, report.found) == (1, 0)
    await asyncio.sleep(2 * GRACE.total_seconds())
    assert (await reconciled(world)).repaired == 1
