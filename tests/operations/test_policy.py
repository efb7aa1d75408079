"""Who may do what, how long leases may be, and what a deadline means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyStateError,
    BountyStatus,
    ClaimConflictError,
    InvalidInputError,
    NotAllowedError,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.operations import BountyOperations
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import EPOCH
from tests.operations.lives import claimed, outcome, posted, refusal
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    a_bounty,
    a_world,
    broken_invariants,
    document,
    with_other,
)

HOUR = timedelta(hours=1)
Act = Callable[[BountyOperations, str], Awaitable[object]]
ASKED: dict[str, tuple[Any, str, Act]] = {
    "create": (None, "alice", lambda o, a: o.create(a_bounty(), actor=a)),
    "claim": (posted, "bob", lambda o, a: o.claim(BOUNTY_ID, BOB, actor=a)),
    "renew": (claimed, "bob", lambda o, a: o.renew(BOUNTY_ID, BOB, actor=a)),
    "release": (claimed, "bob", lambda o, a: o.release(BOUNTY_ID, BOB, actor=a)),
    "settle": (claimed, "alice", lambda o, a: o.settle(BOUNTY_ID, CID, actor=a)),
    "cancel": (posted, "alice", lambda o, a: o.cancel(BOUNTY_ID, actor=a)),
}


@pytest.mark.parametrize("name", ASKED)
@virtual
async def test_a_stranger_is_refused_before_anything_is_written(name: str) -> None:
    """And told who may, who then does."""
    before, allowed, act = ASKED[name]
    world = await a_world()
    async with world.process() as process:
        if before is not None:
            await before(process.operations)
        await process.operations.services.store._client.cleanup.flush()  # type: ignore[attr-defined]
        applied = len(world.mock.log)
        error = await refusal(act(process.operations, "mallory"))
        assert isinstance(error, NotAllowedError)
        assert (error.actor, error.allowed) == ("mallory", (allowed,))
        assert len(world.mock.log) == applied
        assert await outcome(act(process.operations, allowed)) == "committed"


@virtual
async def test_a_lease_longer_than_the_longest_is_refused() -> None:
    """For claims and renewals; a thousand years are not granted."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        millennium = timedelta(days=365_000)
        error = await refusal(process.operations.claim(BOUNTY_ID, BOB, lease=millennium))
        assert isinstance(error, InvalidInputError)
        await process.operations.claim(BOUNTY_ID, BOB)
        error = await refusal(process.operations.renew(BOUNTY_ID, BOB, lease=millennium))
        assert isinstance(error, InvalidInputError)


@pytest.mark.parametrize("beyond", [False, True])
@virtual
async def test_a_lease_ends_with_its_bounty_unless_it_may_last_longer(beyond: bool) -> None:
    """Claims and renewals are cut at the deadline."""
    world = await a_world()
    async with world.process() as process:
        operations = with_other(process.operations, lease_beyond_deadline=beyond)
        await operations.create(a_bounty(EPOCH + HOUR))
        taken = await operations.claim(BOUNTY_ID, BOB, lease=5 * HOUR)
        renewed = await operations.renew(BOUNTY_ID, BOB, lease=6 * HOUR)
    for result, span in ((taken, 5 * HOUR), (renewed, 6 * HOUR)):
        assert result.claim is not None
        ends = result.claim.lease_expires_at
        assert (ends > EPOCH + HOUR) if beyond else (ends <= EPOCH + HOUR), span


@virtual
async def test_a_lease_that_has_lapsed_stops_nobody() -> None:
    """No reconciler has to run first; whoever held it is told when it comes back."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await posted(process.operations)
        await process.operations.claim(BOUNTY_ID, BOB, lease=HOUR, idempotency_key="bobs")
        error = await refusal(other.operations.claim(BOUNTY_ID, CAROL))
        assert isinstance(error, BountyStateError | ClaimConflictError)
        await asyncio.sleep(HOUR.total_seconds() + 1)
        taken = await other.operations.claim(BOUNTY_ID, CAROL)
        assert taken.bounty.claimed_by == CAROL
        for act in (
            process.operations.renew(BOUNTY_ID, BOB),
            process.operations.release(BOUNTY_ID, BOB),
        ):
            assert (await refusal(act)).outcome == "pre_commit"
        assert (await other.operations.settle(BOUNTY_ID, CID)).credits_with == "carol"
    assert not await broken_invariants(world)


@pytest.mark.parametrize("swept", [False, True], ids=["no sweep", "a sweep"])
@pytest.mark.parametrize("acceptance", [timedelta(0), 2 * HOUR], ids=["at once", "two hours"])
@pytest.mark.parametrize("late", [HOUR, 3 * HOUR], ids=["an hour late", "three hours late"])
@virtual
async def test_accepting_late_does_not_depend_on_whether_a_sweep_came_first(
    late: timedelta, acceptance: timedelta, swept: bool
) -> None:
    """Work can be accepted until the deadline and so long after it, and not a moment longer."""
    world = await a_world()
    async with world.process() as process:
        operations = with_other(process.operations, acceptance=acceptance, longest_lease=9 * HOUR)
        await operations.create(a_bounty(EPOCH + HOUR))
        await operations.claim(BOUNTY_ID, BOB, lease=9 * HOUR)
        await asyncio.sleep((HOUR + late).total_seconds())
        if swept:
            await Reconciler(operations, grace=timedelta(minutes=1)).run_once()
        settled = await outcome(operations.settle(BOUNTY_ID, CID))
        in_time = late < acceptance
        assert settled == ("committed" if in_time else "pre_commit")
        if not in_time:
            await outcome(operations.expire(BOUNTY_ID))
    status = (document(world.mock) or {})["status"]
    assert status == (BountyStatus.SETTLED if in_time else BountyStatus.EXPIRED)


@virtual
async def test_a_deadline_at_the_end_of_time_leaves_room_for_a_lease() -> None:
    """However long after it work could be accepted."""
    world = await a_world()
    async with world.process() as process:
        operations = with_other(process.operations, acceptance=timedelta(days=400))
        await operations.create(a_bounty(datetime.max.replace(tzinfo=UTC)))
        taken = await operations.claim(BOUNTY_ID, BOB, lease=HOUR)
        assert taken.claim is not None
        assert (await operations.renew(BOUNTY_ID, BOB, lease=HOUR)).claim is not None
        assert await outcome(operations.settle(BOUNTY_ID, CID)) == "committed"


@virtual
async def test_nobody_claims_their_own_bounty_by_storing_accents_in_another_way() -> None:
    """What another program posted may have them decomposed; the account is the same."""
    world = await a_world()
    async with world.process() as process:
        offer = msgspec.structs.replace(a_bounty(), creator=AgentIdentity(agent_id="jose\u0301"))
        await process.operations.services.store.create_bounty(offer)
        own = with_other(process.operations, credits=None)
        error = await refusal(own.claim(BOUNTY_ID, AgentIdentity(agent_id="jos\u00e9")))
        assert isinstance(error, BountyStateError)
        assert "cannot be paid from it" in error.message


@virtual
async def test_work_is_its_authors_however_the_accents_of_the_id_are_stored() -> None:
    """What the contribution says of its author, another program wrote."""
    world = await a_world()
    async with world.process() as process:
        work = await process.operations.services.contributions.get(CID)
        assert work is not None
        author = AgentIdentity(agent_id="jose\u0301")
        works = MemoryContributionStore([msgspec.structs.replace(work, agent=author)])
        operations = with_other(process.operations, contributions=works)
        await posted(operations)
        await operations.claim(BOUNTY_ID, AgentIdentity(agent_id="jos\u00e9"))
        settled = await operations.settle(BOUNTY_ID, CID)
        assert settled.credits_with == "jos\u00e9"
