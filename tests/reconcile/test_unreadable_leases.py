"""Bounties whose lease cannot be understood: named by the reconciler, and left alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

import msgspec
import pytest

from nexus_bounty import BountyStatus, NexusClient, PreCommitError
from nexus_bounty.idempotency import derived_id
from nexus_bounty.memory import MemoryJournal
from nexus_bounty.nexus.documents import UnreadableDocumentError
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.operations.explaining import explained
from nexus_bounty.operations.services import known_bounty, target_of
from nexus_bounty.outcomes import Outcome
from nexus_bounty.reconcile import Finding, Reconciler
from nexus_bounty.testing.virtual_time import wall_clock
from tests.operations.lives import KEY, posted, refusal
from tests.support.virtual import virtual
from tests.support.world import ALICE, BOB, BOUNTY_ID, CAROL, GRACE, World, a_bounty, a_world

PATHS: Final = ZonePaths("default")
LOCK: Final = PATHS.target_lock(target_of(BOUNTY_ID))
OWN: Final = derived_id("claim", KEY)
OTHER: Final = msgspec.structs.replace(a_bounty(), bounty_id="b-2")

with_each_body = pytest.mark.parametrize("body", [b"{}", b"mended by hand"])
with_each_lock = pytest.mark.parametrize("lock", ["whole", "emptied", "gone", "rubbish"])


async def damaged(body: bytes, lock: str = "whole") -> World:
    """Bob has claimed two bounties; of one the lease cannot be understood, and both run out."""
    world = await a_world()
    async with world.process() as process:
        await process.operations.services.credits.top_up("m", account=ALICE.agent_id, amount=1000)
        await posted(process.operations)
        await process.operations.create(OTHER)
        await process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
        await process.operations.claim(OTHER.bounty_id, BOB)
    async with NexusClient("http://nexus", transport=world.mock.transport()) as client:
        await client.write(PATHS.claim(OWN), body)
        match lock:
            case "emptied":
                await client.write(LOCK, b"")
            case "gone":
                await client.delete(LOCK)
            case "rubbish":
                await client.write(LOCK, b"\xff\xfe")
    await asyncio.sleep(timedelta(hours=1).total_seconds())
    return world


async def findings(world: World) -> list[Finding]:
    async with world.process(seed=2) as process:
        report = await Reconciler(process.operations, grace=GRACE).run_once()
        assert report.errors == []
        return report.findings


@with_each_body
@with_each_lock
@virtual
async def test_the_reconciler_names_it_and_reopens_only_the_other_one(
    body: bytes, lock: str
) -> None:
    """As a lease that cannot be understood; it does not say that there is none."""
    world = await damaged(body, lock)
    found = {each.subject: each for each in await findings(world)}
    for subject in (BOUNTY_ID, OWN):
        assert "cannot be understood" in found[subject].problem
        assert "a person has to decide" in (found[subject].left or "")
        assert not found[subject].failed
    assert OWN in found[BOUNTY_ID].problem
    assert found[OTHER.bounty_id].repaired == "released for others to claim"
    async with world.process(seed=3) as process:
        bounty = await known_bounty(process.operations.services, BOUNTY_ID)
        assert (bounty.status, bounty.claimed_by) == (BountyStatus.CLAIMED, BOB)


@virtual
async def test_a_lock_that_names_no_claim_stops_no_sweep() -> None:
    """The lease itself is gone; who holds its target instead nobody can tell."""
    world = await damaged(b"{}", "rubbish")
    async with NexusClient("http://nexus", transport=world.mock.transport()) as client:
        await client.delete(PATHS.claim(OWN))
    found = {each.subject: each for each in await findings(world)}
    assert LOCK in found[BOUNTY_ID].problem
    assert found[BOUNTY_ID].repaired is None
    assert found[OTHER.bounty_id].repaired == "released for others to claim"


@with_each_body
@with_each_lock
@virtual
async def test_nobody_else_claims_the_bounty(body: bytes, lock: str) -> None:
    """The refusal names the file."""
    world = await damaged(body, lock)
    async with world.process(seed=2) as process:
        error = await refusal(process.operations.claim(BOUNTY_ID, CAROL))
        assert isinstance(error, PreCommitError)
        assert PATHS.claim(OWN) in error.message


@with_each_body
@virtual
async def test_what_became_of_its_claim_is_told_all_the_same(body: bytes) -> None:
    """By the journal and the bounty; who has neither is told which file cannot be understood."""
    world = await damaged(body)
    async with world.process(seed=2) as process:
        services = process.operations.services
        told = await explained(services, KEY, None)
        assert told.outcome is Outcome.COMMITTED
        alone = replace(services, journal=MemoryJournal(clock=wall_clock))
        with pytest.raises(UnreadableDocumentError, match=PATHS.claim(OWN)):
            await explained(alone, KEY, None)


@with_each_body
@virtual
async def test_one_on_an_open_bounty_is_named_for_nobody_can_claim_that(body: bytes) -> None:
    """Another program took the lease, and has not moved the bounty on."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
    async with NexusClient("http://nexus", transport=world.mock.transport()) as client:
        await client.write(PATHS.claim("gc-1"), body)
        await client.write(LOCK, b"gc-1")
        await client.write(PATHS.active_claim(target_of(BOUNTY_ID), "gc-1"), b"")
    async with world.process(seed=2) as process:
        error = await refusal(process.operations.claim(BOUNTY_ID, BOB))
        assert PATHS.claim("gc-1") in error.message
    [found] = await findings(world)
    assert (found.subject, found.repaired) == ("gc-1", None)
    assert "cannot be understood" in found.problem
    assert "a person has to decide" in (found.left or "")
