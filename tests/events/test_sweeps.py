"""What the reconciler finds, repairs and leaves is told one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from nexus_bounty import BountyStatus, events
from nexus_bounty.events.stream import given
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.reconcile import Reconciler
from tests.events.support import Heard
from tests.reconcile.stranded import Hands
from tests.support.virtual import virtual
from tests.support.world import BOB, BOUNTY_ID, GRACE, World, a_world


@asynccontextmanager
async def a_stuck_draft() -> AsyncIterator[tuple[World, Hands, Heard]]:
    """A draft whose credits are held and that nobody opens, and operations that are watched."""
    world, heard = await a_world(), Heard()
    async with world.process(impatient=True) as process:
        hands = Hands.of(world, process)
        await hands.reserve()
        await hands.put(BountyStatus.DRAFT)
        await world.later()
        watched = replace(process.operations.services, observers=(heard,))
        process.operations.services = watched
        given([heard])
        yield world, hands, heard


@virtual
async def test_a_problem_is_told_of_when_it_is_found_and_when_it_is_repaired() -> None:
    async with a_stuck_draft() as (_, hands, heard):
        await Reconciler(hands.operations, grace=GRACE).run_once()
    found, repaired = heard.the(events.ProblemFound), heard.the(events.ProblemRepaired)
    assert (found.sweep, found.subject) == ("stuck drafts", BOUNTY_ID)
    assert found.problem == "is a draft whose credits are held"
    assert repaired.repaired == "opened"
    assert (repaired.sweep, repaired.subject) == (found.sweep, found.subject)
    assert heard.place(found) < heard.place(repaired)
    (ended,) = [each for each in heard.of(events.SweepEnded) if each.sweep == "stuck drafts"]
    assert (ended.found, ended.repaired, ended.error) == (1, 1, None)
    assert heard.place(repaired) < heard.place(ended)


@virtual
async def test_a_problem_that_is_left_alone_says_why_and_that_nothing_failed() -> None:
    async with a_stuck_draft() as (_, hands, heard):
        await Reconciler(hands.operations, grace=GRACE, dry_run=True).run_once()
    left = heard.the(events.ProblemLeft)
    assert (left.subject, left.why, left.failed) == (BOUNTY_ID, "dry run", False)
    assert heard.the(events.ProblemFound)
    assert heard.of(events.ProblemRepaired) == []


@virtual
async def test_a_repair_that_fails_is_told_of_without_what_the_server_said() -> None:
    async with a_stuck_draft() as (world, hands, heard):
        world.mock.inject(
            Fault(FaultKind.STATUS_BEFORE, status=403, match=RequestMatch("write"), times=None)
        )
        await Reconciler(hands.operations, grace=GRACE).run_once()
        world.mock.clear_faults()
    left = heard.the(events.ProblemLeft)
    assert (left.subject, left.why, left.failed) == (BOUNTY_ID, "PreCommitError", True)


@virtual
async def test_a_sweep_that_is_cut_short_says_so() -> None:
    async with a_stuck_draft() as (world, hands, heard):
        world.mock.inject(
            Fault(FaultKind.STATUS_BEFORE, status=403, match=RequestMatch("list"), times=None)
        )
        await Reconciler(hands.operations, grace=GRACE).run_once()
        world.mock.clear_faults()
    cut = {each.sweep: each.error for each in heard.of(events.SweepEnded) if each.error}
    assert cut["stuck drafts"] == "NexusError: refused: not permitted"


@virtual
async def test_what_a_port_ends_by_itself_is_told_of_as_found_and_repaired() -> None:
    async with a_stuck_draft() as (_, hands, heard):
        await hands.claims.claim_or_renew(
            "elsewhere:1",
            BOB,
            claim_id="c-1",
            lease=timedelta(seconds=1),
        )
        await asyncio.sleep(10 * GRACE.total_seconds())
        await Reconciler(hands.operations, grace=GRACE).run_once()
    ended = [each for each in heard.of(events.ProblemRepaired) if each.sweep == "leftovers"]
    assert [(each.subject, each.repaired) for each in ended] == [("c-1", "ended")]
    assert len([each for each in heard.of(events.ProblemFound) if each.sweep == "leftovers"]) == 1
