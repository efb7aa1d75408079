"""A claim repeated with its key finds out what became of it, and takes no lease for that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from nexus_bounty import (
    BountyStatus,
    ClaimStateError,
    ClaimStatus,
    CommitUnknownError,
    IdempotencyMismatchError,
    PostCommitError,
    PreCommitError,
)
from nexus_bounty.idempotency import derived_id
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.operations import BountyOperations
from nexus_bounty.operations.services import known_bounty, target_of
from nexus_bounty.outcomes import Proof
from tests.contract.grove.test_moved_claims import grove_moves
from tests.operations.lives import DOCUMENT, KEY, outcome, posted, refusal
from tests.support.virtual import virtual
from tests.support.world import BOB, BOUNTY_ID, CAROL, CID, World, a_world, broken_invariants

PATHS: Final = ZonePaths("default")
LOCK: Final = PATHS.target_lock(target_of(BOUNTY_ID))
OWN: Final = derived_id("claim", KEY)
EARLIER: Final = derived_id("claim", "earlier")
HALF_AN_HOUR: Final = timedelta(minutes=30)

Act = Callable[[BountyOperations], Awaitable[Any]]


async def with_its_own(operations: BountyOperations) -> None:
    """Bob has claimed it with a lease of that very claim."""
    await operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY)


async def with_an_earlier_one(operations: BountyOperations) -> None:
    """Bob has claimed it twice: the second time with the lease that he had."""
    await operations.claim(BOUNTY_ID, BOB, idempotency_key="earlier")
    await operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY)


LEASES: Final[dict[str, tuple[Act, str]]] = {
    "own": (with_its_own, OWN),
    "earlier": (with_an_earlier_one, EARLIER),
}


async def released(operations: BountyOperations) -> None:
    await operations.release(BOUNTY_ID, BOB)


async def carol_has_it(operations: BountyOperations) -> None:
    await released(operations)
    await operations.claim(BOUNTY_ID, CAROL)


async def claimed_again(operations: BountyOperations) -> None:
    await released(operations)
    await operations.claim(BOUNTY_ID, BOB, idempotency_key="again")


async def lapsed(operations: BountyOperations) -> None:
    await asyncio.sleep(HALF_AN_HOUR.total_seconds() + 1)


async def taken_over(operations: BountyOperations) -> None:
    await lapsed(operations)
    await operations.claim(BOUNTY_ID, CAROL)


async def expired(operations: BountyOperations) -> None:
    await asyncio.sleep(timedelta(days=8).total_seconds())
    await operations.expire(BOUNTY_ID)


async def nothing(_operations: BountyOperations) -> None:
    """It is as it was."""


AFTER: Final[dict[str, Act]] = {
    "nothing": nothing,
    "released": released,
    "cancelled": lambda operations: operations.cancel(BOUNTY_ID),
    "settled": lambda operations: operations.settle(BOUNTY_ID, CID),
    "expired": expired,
    "claimed by another": carol_has_it,
    "claimed again": claimed_again,
    "lapsed": lapsed,
    "lapsed and taken over": taken_over,
}

whichever_lease = pytest.mark.parametrize("lease", LEASES)
in_this_process_or_another = pytest.mark.parametrize("seed", [1, 2])


async def leases(world: World) -> dict[str, bytes]:
    """All that is written about them."""
    await world.mock.settle()
    kept = (PATHS.claims, PATHS.target_locks, PATHS.active_claims)
    return {path: file.content for path, file in world.mock.files.items() if path.startswith(kept)}


@whichever_lease
@pytest.mark.parametrize("after", AFTER)
@in_this_process_or_another
@virtual
async def test_a_claim_that_landed_is_found_whatever_came_after(
    lease: str, after: str, seed: int
) -> None:
    """The bounty is shown as it stands, with the lease that it was claimed with, and none more."""
    make, claim_id = LEASES[lease]
    world = await a_world()
    async with world.process() as process, world.process(seed=2) as other:
        await posted(process.operations)
        await make(process.operations)
        await AFTER[after](process.operations)
        before = await leases(world)
        repeating = process if seed == 1 else other
        again = await repeating.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
        assert again.bounty == await known_bounty(other.operations.services, BOUNTY_ID)
        assert again.claim == await other.operations.services.claims.get(claim_id)
        assert await leases(world) == before
    assert not await broken_invariants(world)


@whichever_lease
@pytest.mark.parametrize("to_its_end", [True, False])
@in_this_process_or_another
@virtual
async def test_a_claim_is_found_after_grove_has_moved_its_lease_to_something_else(
    lease: str, to_its_end: bool, seed: int
) -> None:
    """Grove drops our evidence from the lease; the bounty has it. No lock is taken for it again."""
    make, claim_id = LEASES[lease]
    world = await a_world()
    async with world.process() as process, world.process(seed=2) as other:
        await posted(process.operations)
        await make(process.operations)
        await grove_moves(world.mock, claim_id, to_its_end=to_its_end)
        before = await leases(world)
        repeating = process if seed == 1 else other
        again = await repeating.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
        assert (again.bounty.claimed_by, again.bounty.claim_id) == (BOB, claim_id)
        assert again.claim is not None
        assert (again.claim.claim_id, again.claim.target_ref) == (claim_id, "paper:7")
        assert await leases(world) == before


async def only_the_lease(world: World) -> None:
    """Bob's process has died between his lease and his claim."""
    async with world.process(seed=3) as process:
        await posted(process.operations)
        match = RequestMatch("write", path=DOCUMENT)
        world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=match, times=None))
        task = asyncio.create_task(process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        world.mock.clear_faults()
        held = await process.operations.services.claims.get(OWN)
        assert held is not None


@pytest.mark.parametrize("to_its_end", [True, False])
@virtual
async def test_no_claim_is_made_with_a_lease_that_grove_moved_before_it_was_made(
    to_its_end: bool,
) -> None:
    """It is refused, and says where the lease is, which goes on there."""
    world = await a_world()
    await only_the_lease(world)
    await grove_moves(world.mock, OWN, to_its_end=to_its_end)
    async with world.process() as process:
        error = await refusal(process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        assert isinstance(error, ClaimStateError)
        assert "paper:7" in error.message
        bounty = await known_bounty(process.operations.services, BOUNTY_ID)
        assert bounty.status is BountyStatus.OPEN
        [kept] = await process.operations.services.claims.active_claims("paper:7")
        assert kept.claim_id == OWN
        result = await process.operations.claim(BOUNTY_ID, CAROL)
        assert result.bounty.claimed_by == CAROL


@in_this_process_or_another
@virtual
async def test_a_key_that_was_fenced_off_is_refused_before_a_lease_is_taken(seed: int) -> None:
    """It can never claim the bounty any more."""
    world = await a_world()
    async with world.process() as process, world.process(seed=2) as other:
        await posted(process.operations)
        await process.operations.services.store.resolve_operation(BOUNTY_ID, f"{KEY}:claim")
        before = await leases(world)
        repeating = process if seed == 1 else other
        error = await refusal(repeating.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        assert isinstance(error, PreCommitError)
        assert error.evidence.proof is Proof.FENCED
        assert await leases(world) == before


@virtual
async def test_the_lease_of_a_key_that_was_fenced_off_is_given_up() -> None:
    """An earlier call took it, and died; somebody has made sure of that call since."""
    world = await a_world()
    await only_the_lease(world)
    async with world.process() as process:
        services = process.operations.services
        await services.store.resolve_operation(BOUNTY_ID, f"{KEY}:claim")
        error = await refusal(process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        assert isinstance(error, PreCommitError)
        held = await services.claims.get(OWN)
        assert held is not None
        assert held.status is ClaimStatus.RELEASED


@virtual
async def test_a_claim_that_landed_while_this_process_remembered_otherwise_keeps_no_lease() -> None:
    """It was made with an earlier lease; others have had the bounty, and it is open as before."""
    world = await a_world()
    async with world.process() as process, world.process(seed=2) as other:
        await posted(process.operations)
        await known_bounty(other.operations.services, BOUNTY_ID)
        await with_an_earlier_one(process.operations)
        await carol_has_it(process.operations)
        await process.operations.release(BOUNTY_ID, CAROL)
        again = await other.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
        assert again.bounty.status is BountyStatus.OPEN
        assert again.claim is not None
        assert again.claim.claim_id == EARLIER
        assert await other.operations.services.claims.active_claims() == []
        assert (await other.operations.claim(BOUNTY_ID, CAROL)).bounty.claimed_by == CAROL
    assert not await broken_invariants(world)


@pytest.mark.parametrize("seed", [1, 2])
@virtual
async def test_what_became_of_a_lease_is_owed_where_it_cannot_be_read(seed: int) -> None:
    """The claim has landed all the same, and that is said."""
    world = await a_world()
    async with world.process() as process, world.process(seed=2) as other:
        await posted(process.operations)
        await with_its_own(process.operations)
        match = RequestMatch("read", path=PATHS.claim(OWN))
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=match, status=403, times=None))
        repeating = process if seed == 1 else other
        error = await refusal(repeating.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        assert isinstance(error, PostCommitError)
        assert list(error.pending) == ["renew_lease"]


@pytest.mark.parametrize("at", range(1, 6))
@whichever_lease
@virtual
async def test_a_claim_that_landed_is_never_called_undone_by_a_process_that_just_began(
    lease: str, at: int
) -> None:
    """Whichever of its requests fails for good."""
    make, _ = LEASES[lease]
    world = await a_world()
    async with world.process() as process, world.process(seed=2) as other:
        await posted(process.operations)
        await make(process.operations)
        await process.operations.cancel(BOUNTY_ID)
        await world.mock.settle()
        seen = await outcome(other.operations.services.store.get_bounty(BOUNTY_ID, fresh=False))
        assert seen == "committed"
        fault = Fault(FaultKind.STATUS_BEFORE, match=RequestMatch(nth=at), status=403, times=None)
        world.mock.inject(fault)
        said = await outcome(other.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        assert said in ("committed", "post_commit", "unknown")


@whichever_lease
@virtual
async def test_the_key_of_a_claim_is_no_other_agents(lease: str) -> None:
    """Nor does that one get a lease for it."""
    make, _ = LEASES[lease]
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        await make(process.operations)
        await released(process.operations)
        before = await leases(world)
        error = await refusal(process.operations.claim(BOUNTY_ID, CAROL, idempotency_key=KEY))
        assert isinstance(error, IdempotencyMismatchError)
        assert await leases(world) == before


@whichever_lease
@in_this_process_or_another
@virtual
async def test_a_claim_is_found_again_whose_lease_the_deadline_cut(lease: str, seed: int) -> None:
    """There was more time left when it was asked for first; it is the same call all the same."""
    make, claim_id = LEASES[lease]
    world = await a_world()
    async with world.process() as process, world.process(seed=2) as other:
        await posted(process.operations, timedelta(minutes=10))
        await make(process.operations)
        repeating = process if seed == 1 else other
        for wait in (5, 700):  # before the deadline, and after it
            await asyncio.sleep(wait)
            again = await repeating.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
            assert again.claim is not None
            assert again.claim.claim_id == again.bounty.claim_id == claim_id


@whichever_lease
@virtual
async def test_a_claim_goes_on_with_its_lease_that_the_deadline_cut(lease: str) -> None:
    """The call before had got no further; there was more time left then."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations, timedelta(minutes=10))
        if lease == "earlier":
            await process.operations.claim(BOUNTY_ID, BOB, idempotency_key="earlier")
        match = RequestMatch("write", path=DOCUMENT)
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=match, status=500, times=None))
        error = await refusal(process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        assert isinstance(error, CommitUnknownError)
        world.mock.clear_faults()
        await asyncio.sleep(5)
        again = await process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
        assert again.bounty.claim_id == LEASES[lease][1]
    assert not await broken_invariants(world)
