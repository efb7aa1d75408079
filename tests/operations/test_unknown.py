"""What cannot be proven is unknown, and stays so until somebody can find out."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from nexus_bounty import Contribution, NexusSettings
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.operations import OperationResult
from nexus_bounty.operations.services import target_of
from nexus_bounty.outcomes import Outcome
from nexus_bounty.ports import ReservationStatus
from tests.operations import operation_trials
from tests.operations.lives import DOCUMENT, case_of, outcome, refusal
from tests.operations.operation_trials import CASES, Case
from tests.support.virtual import virtual
from tests.support.world import (
    BOUNTY_ID,
    PRICE,
    World,
    a_world,
    broken_invariants,
    document,
    statuses_ever,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@virtual
async def test_what_cannot_be_proven_is_unknown_under_the_operations_own_key(case: Case) -> None:
    """The server takes the deciding write and is never heard of again; the key finds it out."""
    world = await a_world()
    await operation_trials.prepare(world, case)
    silence = Fault(FaultKind.TIMEOUT_AFTER, match=RequestMatch(path=DOCUMENT, method="write"))
    reads = RequestMatch(path=DOCUMENT, method="read", predicate=_after_a_write(world))
    world.mock.inject(silence, Fault(FaultKind.DROP_BEFORE, match=reads, times=None))
    again = RequestMatch(path=DOCUMENT, method="write", nth=2)
    world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=again, times=None))
    async with world.process() as process:
        error = await refusal(case.act(process.operations))
        assert error.outcome in (Outcome.UNKNOWN, Outcome.POST_COMMIT)
        assert error.operation == case.name.removesuffix("_claimed")
        assert error.idempotency_key == operation_trials.KEY
        assert error.bounty_id == BOUNTY_ID
        world.mock.clear_faults()
        result = await case.act(process.operations)
    assert isinstance(result, OperationResult)
    assert not await broken_invariants(world)


def _after_a_write(world: World) -> Callable[[Any], bool]:
    """Whether the document has been written since now."""
    before = len(world.mock.history(DOCUMENT))
    return lambda _request: len(world.mock.history(DOCUMENT)) > before


def _cut_off(case: Case) -> list[Fault]:
    """The deciding write is late, and nothing about the document is heard from then on."""
    nth = 2 if case.name == "create" else 1
    write = RequestMatch(method="write", path=DOCUMENT, nth=nth)
    late = Fault(FaultKind.LATE, match=write, after_requests=10**6)
    after = RequestMatch(method="write", path=DOCUMENT, nth=nth + 1)
    return [late, Fault(FaultKind.TIMEOUT_BEFORE, match=after, times=None)]


@pytest.mark.parametrize("name", ["create", "claim", "expire"])
@virtual
async def test_an_unknown_operation_asked_again_on_a_dead_network_stays_unknown(name: str) -> None:
    """Its first attempt may still land, and it does."""
    await _unknown_then_dead(name)


@pytest.mark.parametrize("name", ["release", "settle", "cancel", "cancel_claimed"])
@virtual
async def test_an_unknown_transition_asked_again_on_a_dead_network_stays_unknown(name: str) -> None:
    """Its first attempt may still land, and it does."""
    await _unknown_then_dead(name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@virtual
async def test_nothing_is_taken_back_while_the_outcome_is_unknown(case: Case) -> None:
    """All is well again just when it was given up; the deciding write is still to land."""
    world = await a_world()
    await operation_trials.prepare(world, case)
    world.mock.inject(*(_for_a_minute(each) for each in (*_cut_off(case), _dead_reads(world))))
    async with world.process() as process:
        assert await outcome(case.act(process.operations)) == "unknown"
        leases = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert len(leases) == (case.name in ("claim", "release", "settle", "cancel_claimed"))
    assert [each.status async for each in world.ledger.reservations()] == [ReservationStatus.HELD]
    await world.mock.settle()
    world.mock.clear_faults()
    if case.name in ("create", "claim"):
        assert not await broken_invariants(world)


def _for_a_minute(fault: Fault) -> Fault:
    """The same, only until a little after an operation that begins now gives up."""
    assert fault.match is not None
    loop, only_if = asyncio.get_running_loop(), fault.match.predicate
    end = loop.time() + NexusSettings().operation_timeout + 5
    match = dataclasses.replace(
        fault.match,
        predicate=lambda request: loop.time() < end and (only_if is None or only_if(request)),
    )
    return fault.on(match)


def _dead_reads(world: World) -> Fault:
    """No read of the document is answered once the deciding write is under way."""
    late = RequestMatch(
        method="read", path=DOCUMENT, predicate=lambda _request: world.mock.late_count > 0
    )
    return Fault(FaultKind.TIMEOUT_BEFORE, match=late, times=None)


async def _unknown_then_dead(name: str) -> None:
    case = case_of(name)
    world = await a_world()
    await operation_trials.prepare(world, case)
    world.mock.inject(*_cut_off(case), _dead_reads(world))
    async with world.process() as process:
        assert await outcome(case.act(process.operations)) == "unknown"
        world.mock.clear_faults()
        world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=RequestMatch(), times=None))
        again = await outcome(case.act(process.operations))
        world.mock.clear_faults()
        before = len(statuses_ever(world.mock))
        await world.mock.settle()
        assert len(statuses_ever(world.mock)) > before, "it has landed"
        assert again == "unknown"


@virtual
async def test_an_unknown_settle_asked_again_without_contributions_is_ruled_out_first() -> None:
    """The place where work is looked up is down; the pivot, still under way, is fenced off."""
    case = case_of("settle")
    world = await a_world()
    await operation_trials.prepare(world, case)
    world.mock.inject(*_cut_off(case), _dead_reads(world))
    async with world.process() as process:
        assert await outcome(case.act(process.operations)) == "unknown"
        world.mock.clear_faults()
        services = process.operations.services
        process.operations.services = dataclasses.replace(services, contributions=Offline())
        again = await outcome(case.act(process.operations))
        await world.mock.settle()
    assert again == "pre_commit"
    assert (document(world.mock) or {})["status"] == "claimed"


@virtual
async def test_a_settle_that_landed_unheard_is_finished_without_contributions() -> None:
    """The same, but the pivot has landed before it is asked again: no work is to be looked up."""
    case = case_of("settle")
    world = await a_world()
    await operation_trials.prepare(world, case)
    world.mock.inject(*_cut_off(case), _dead_reads(world))
    async with world.process() as process:
        assert await outcome(case.act(process.operations)) == "unknown"
        await world.mock.settle()
        world.mock.clear_faults()
        services = process.operations.services
        process.operations.services = dataclasses.replace(services, contributions=Offline())
        assert await outcome(case.act(process.operations)) == "committed"
    assert (document(world.mock) or {})["status"] == "settled"
    assert (await world.ledger.balance("bob")).available == PRICE


class Offline:
    """A contribution store that cannot be reached."""

    async def get(self, cid: str) -> Contribution | None:
        raise ConnectionError("no route to host")
