"""A newer Grove can move a live claim to another target: it holds that one alone from then on.

Written after `putClaimSpec`: the other target's lock and marker, then the claim's document, then
the first target's marker away and its lock emptied. Grove may die before the last two.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

import pytest

from nexus_bounty import (
    BountyStateError,
    BountyStatus,
    ClaimConflictError,
    ClaimStateError,
    IdempotencyMismatchError,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client.settings import ClaimShape
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.operations.services import known_bounty, target_of
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import wall_clock
from tests.contract.grove import newer
from tests.operations.lives import claimed, paid, refusal
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    GRACE,
    PRICE,
    Process,
    World,
    a_world,
)

PATHS = ZonePaths("default")
FIRST, OTHER = target_of(BOUNTY_ID), "paper:7"
HOUR = timedelta(hours=1)


async def grove_moves(mock: MockNexus, claim_id: str, *, to_its_end: bool) -> None:
    """The claim of that id, from the first target to the other."""
    document = json.loads(mock.read_file(PATHS.claim(claim_id)) or b"")
    is_split = "spec" in document
    split = document if is_split else newer.converted(newer.read_claim(newer.stored(document)))
    split["spec"] |= {"targetRef": OTHER, "generation": split["spec"]["generation"] + 1}
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        await client.write(PATHS.target_lock(OTHER), claim_id.encode())
        await client.write(PATHS.active_claim(OTHER, claim_id), b"")
        await client.write(PATHS.claim(claim_id), json.dumps(split).encode())
        if to_its_end:
            await client.delete(PATHS.active_claim(FIRST, claim_id))
            await client.write(PATHS.target_lock(FIRST), b"")


@virtual
@pytest.mark.parametrize("to_its_end", [True, False])
async def test_a_claim_that_grove_moved_holds_its_new_target_alone(to_its_end: bool) -> None:
    """The first one is free, and the claim is not ended for that; it is listed once."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    settings = NexusSettings(bulk_size=1)
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        claims = NexusClaimStore(client, commit="conditional", clock=wall_clock)
        await claims.claim_or_renew(FIRST, BOB, claim_id="moved", lease=HOUR)
        await grove_moves(mock, "moved", to_its_end=to_its_end)
        assert [each.claim_id for each in await claims.active_claims(OTHER)] == ["moved"]
        assert [each.claim_id for each in await claims.active_claims()] == ["moved"]
        assert await claims.active_claims(FIRST) == []
        taken = await claims.claim_or_renew(FIRST, CAROL, claim_id="taken", lease=HOUR)
        held = {each.claim_id: each.target_ref for each in await claims.active_claims()}
        assert held == {"moved": OTHER, taken.claim_id: FIRST}
        with pytest.raises(ClaimConflictError):
            await claims.claim_or_renew(OTHER, CAROL, claim_id="refused", lease=HOUR)


@virtual
@pytest.mark.parametrize("to_its_end", [True, False])
@pytest.mark.parametrize("shape", ["flat", "split"])
async def test_a_lease_that_is_asked_for_again_after_grove_moved_it_locks_nothing(
    shape: ClaimShape, to_its_end: bool
) -> None:
    """A split claim still says that it is the one; of a flat one Grove has dropped that."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    settings = NexusSettings(claim_shape=shape)
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        claims = NexusClaimStore(client, commit="conditional", clock=wall_clock)
        take = partial(
            claims.claim_or_renew, FIRST, BOB, claim_id="moved", lease=HOUR, idempotency_key="k"
        )
        await take()
        await grove_moves(mock, "moved", to_its_end=to_its_end)
        before = mock.read_file(PATHS.target_lock(FIRST))
        if shape == "split":
            assert (await take()).target_ref == OTHER
        else:
            with pytest.raises(IdempotencyMismatchError, match=OTHER):
                await take()
        assert mock.read_file(PATHS.target_lock(FIRST)) == before


async def claimed_and_moved(world: World, *, to_its_end: bool = True) -> None:
    """Bob has claimed the bounty, and his lease is on something else now."""
    async with world.process() as process:
        result = await claimed(process.operations)
    await grove_moves(world.mock, result.claim.claim_id, to_its_end=to_its_end)


@virtual
@pytest.mark.parametrize("to_its_end", [True, False])
async def test_a_bounty_whose_lease_grove_moved_away_can_be_claimed(to_its_end: bool) -> None:
    """Although that lease is alive."""
    world = await a_world()
    await claimed_and_moved(world, to_its_end=to_its_end)
    async with world.process(seed=2) as process:
        result = await process.operations.claim(BOUNTY_ID, CAROL)
        assert result.bounty.claimed_by == CAROL
        [kept] = await process.operations.services.claims.active_claims(OTHER)
        assert kept.agent == BOB


@virtual
async def test_a_bounty_whose_lease_grove_moved_away_is_reopened() -> None:
    """By the reconciler, which leaves the lease alone."""
    world = await a_world()
    await claimed_and_moved(world)
    async with world.process(seed=2) as process:
        services = process.operations.services
        await services.claims.heartbeat(
            (await known_bounty(services, BOUNTY_ID)).claim_id or "", lease=timedelta(days=1)
        )
    await world.later()
    async with world.process(seed=3) as process:
        report = await Reconciler(process.operations, grace=GRACE).run_until_clean()
        services = process.operations.services
        assert (report.errors, report.left) == ([], [])
        assert (await known_bounty(services, BOUNTY_ID)).status is BountyStatus.OPEN
        assert [each.agent for each in await services.claims.active_claims(OTHER)] == [BOB]


@virtual
async def test_a_lease_that_grove_moved_away_is_not_renewed_as_that_of_the_bounty() -> None:
    """It is refused, with where the lease is, and not extended there either."""
    world = await a_world()
    await claimed_and_moved(world)
    async with world.process(seed=2) as process:
        claims = process.operations.services.claims
        before = await claims.active_claims(OTHER)
        error = await refusal(process.operations.renew(BOUNTY_ID, BOB))
        assert await claims.active_claims(OTHER) == before
    assert isinstance(error, BountyStateError)
    assert OTHER in error.message


ENDS: Final[dict[str, Callable[[Process], Awaitable[Any]]]] = {
    "settle": lambda process: process.operations.settle(BOUNTY_ID, CID),
    "release": lambda process: process.operations.release(BOUNTY_ID, BOB),
    "cancel": lambda process: process.operations.cancel(BOUNTY_ID),
}


@virtual
@pytest.mark.parametrize("to_its_end", [True, False])
@pytest.mark.parametrize("end", ENDS)
async def test_what_ends_a_bounty_leaves_the_lease_alone_that_grove_moved_away(
    end: str, to_its_end: bool
) -> None:
    """Bob still has his other target afterwards, and everybody the credits that are theirs."""
    world = await a_world()
    await claimed_and_moved(world, to_its_end=to_its_end)
    async with world.process(seed=2) as process:
        result = await ENDS[end](process)
        assert not result.owed
        [kept] = await process.operations.services.claims.active_claims(OTHER)
        assert kept.agent == BOB
    assert await paid(world) == (PRICE if end == "settle" else 0)


@virtual
async def test_a_completion_that_was_begun_before_grove_moved_the_claim_leaves_it_alone() -> None:
    """What was prepared is overtaken, and what stands then is on something else."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    settings = NexusSettings(claim_shape="split")
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        claims = NexusClaimStore(client, commit="conditional", clock=wall_clock)
        await claims.claim_or_renew(FIRST, BOB, claim_id="moved", lease=HOUR)
        await claims.prepare_completion("moved", target_ref=FIRST)
        await grove_moves(mock, "moved", to_its_end=True)
        with pytest.raises(ClaimStateError, match=OTHER):
            await claims.complete("moved", target_ref=FIRST)
        assert [each.claim_id for each in await claims.active_claims(OTHER)] == ["moved"]
