"""A create that was refused can be tried again: with its key and with another one.

The reason may be gone, the draft was taken back, and nothing of the refused try, however late it
arrives, meets the new one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    BountyExistsError,
    BountyNotFoundError,
    BountyQuery,
    BountyStateError,
    BountyStatus,
    InsufficientCreditsError,
)
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.operations import BountyOperations
from nexus_bounty.operations.drafts import Try
from nexus_bounty.operations.explaining import clues_to, explanation_of
from nexus_bounty.outcomes import InvalidInputError, Outcome, PreCommitError, Proof
from nexus_bounty.ports import ReservationStatus, reference_of
from nexus_bounty.testing.virtual_time import EPOCH, run
from tests.operations.lives import KEY, SHORT, outcome, refusal
from tests.operations.operation_trials import EVERY_FAULT, ONE_OF_A_KIND
from tests.support.sampling import sample_and_all, sampled
from tests.support.virtual import virtual
from tests.support.world import (
    BOUNTY_ID,
    CAROL,
    FUNDS,
    Crash,
    CrashPlan,
    LedgerFault,
    World,
    a_bounty,
    a_world,
    document,
    is_crash,
)

DEAR = msgspec.structs.replace(a_bounty(), amount=FUNDS + 1)
"""More than its creator has, until there is a top-up."""
MARKERS = "/zones/default/indexes/bounties/status"
RELEASES = (None, "0.7.0", "0.10")
AGAIN = ("another", KEY)


async def create(operations: BountyOperations, key: str = KEY) -> Any:
    return await operations.create(DEAR, idempotency_key=key)


async def refused(world: World) -> None:
    """A create that its creator could not pay."""
    async with world.process(seed=11) as process:
        error = await refusal(create(process.operations))
        assert isinstance(error, InsufficientCreditsError)


async def topped_up(world: World) -> None:
    await world.ledger.top_up("more", account="alice", amount=FUNDS)


async def held(world: World) -> list[str]:
    """The ids of all reservations that are held."""
    found = [each async for each in world.ledger.reservations(ReservationStatus.HELD)]
    return [each.reservation_id for each in found]


async def is_posted(world: World) -> bool:
    """Whether the bounty is open, and its credits, and no others, are held."""
    bounty = document(world.mock) or {}
    return bounty.get("status") == "open" and await held(world) == [bounty["reservationId"]]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("key", AGAIN)
@virtual
async def test_after_the_top_up_the_same_bounty_can_be_posted(key: str, release: str) -> None:
    """With a new key and with the old one, in this process and in another."""
    for elsewhere in (False, True):
        world = await a_world(release)
        async with world.process() as process, world.process(seed=3) as other:
            await refusal(create(process.operations))
            await topped_up(world)
            operations = (other if elsewhere else process).operations
            posted = await create(operations, key)
            assert posted.bounty.bounty_id == BOUNTY_ID
            assert (await create(other.operations, key)).bounty == posted.bounty
            assert await process.operations.services.store.list_bounties() == [posted.bounty]
        assert await is_posted(world)
        await world.later()
        assert not await world.reconcile()


@pytest.mark.parametrize("fault", [None, LedgerFault("refused", 1, "reserve")])
@virtual
async def test_no_listing_shows_what_was_refused(fault: LedgerFault | None) -> None:
    """Whatever the ledger refuses it for; nobody finds, counts, claims or cancels it."""
    world = await a_world()
    async with world.process(fault=fault) as process:
        await refusal(create(process.operations))
        store: Any = process.operations.services.store
        assert await store.list_bounties() == []
        for status in BountyStatus:
            assert await store.list_bounties(BountyQuery(status=status)) == []
        assert await store.count_bounties() == 0
        assert [each async for each in store.walk_bounties()] == []
        assert await store.get_bounty(BOUNTY_ID) is None
        assert isinstance(
            await refusal(process.operations.claim(BOUNTY_ID, CAROL)), BountyNotFoundError
        )
        assert isinstance(await refusal(process.operations.cancel(BOUNTY_ID)), BountyNotFoundError)
    await world.later()
    assert not await world.reconcile()


@virtual
async def test_each_refusal_can_be_followed_by_another_try() -> None:
    """As often as it takes, and each with a reservation of its own."""
    world = await a_world()
    async with world.process() as process:
        for _ in range(3):
            error = await refusal(create(process.operations))
            assert isinstance(error, InsufficientCreditsError)
        await topped_up(world)
        await create(process.operations)
        history = await process.operations.services.store.get_history(BOUNTY_ID)
    assert [each.key.removeprefix(f"{KEY}:") for each in history] == [
        *("draft", "give-up", "draft-2", "give-up-2", "draft-3", "give-up-3", "draft-4", "open")
    ]
    assert await held(world) == [Try(KEY, BOUNTY_ID, 4).reservation_id]


@virtual
async def test_another_bounty_can_take_the_place() -> None:
    """With a new key it need not be the same; with the old key it must."""
    world = await a_world()
    await refused(world)
    async with world.process() as process:
        mismatch = process.operations.create(a_bounty(), idempotency_key=KEY)
        assert await outcome(mismatch) == "other_operation"
        posted = await process.operations.create(a_bounty(), idempotency_key="another")
    assert posted.bounty.amount == a_bounty().amount
    assert await is_posted(world)


@virtual
async def test_a_later_try_is_not_begun_after_the_deadline() -> None:
    """What was refused in time is no more than an offer that is late."""
    world = await a_world()
    soon = msgspec.structs.replace(DEAR, deadline=EPOCH + SHORT)
    async with world.process() as process:
        await refusal(process.operations.create(soon, idempotency_key=KEY))
        await topped_up(world)
        await world.later()
        error = await refusal(process.operations.create(soon, idempotency_key=KEY))
    assert isinstance(error, InvalidInputError)
    assert not await held(world)


# Nothing of a refused try meets the next one


@virtual
async def test_a_late_open_of_the_refused_try_does_not_open_the_next_one() -> None:
    """Its reservation was given back with its draft, so that it cannot be put in the next one's."""
    world = await a_world()
    await refused(world)
    first = Try(KEY, BOUNTY_ID).reservation_id
    async with world.process() as process, world.process(seed=3) as late:
        store = process.operations.services.store
        await store.create_bounty(Try("next", BOUNTY_ID).draft_of(DEAR))
        error = await refusal(
            late.operations.services.store.fund_bounty(
                BOUNTY_ID, first, idempotency_key=f"{KEY}:open"
            )
        )
        assert isinstance(error, BountyStateError)
        await late.operations.services.store.discard_draft(BOUNTY_ID, first)  # it was, before
    assert (document(world.mock) or {})["status"] == "draft"


@virtual
async def test_credits_that_a_late_request_reserves_go_back() -> None:
    """A reserve that was lost, repeated, refused, and arrives after the top-up."""
    world = await a_world()
    await refused(world)
    await topped_up(world)
    first = Try(KEY, BOUNTY_ID).reservation_id
    reference = reference_of("default", BOUNTY_ID)
    await world.ledger.reserve(first, account="alice", amount=FUNDS + 1, reference=reference)
    await world.later()
    assert not await world.reconcile()
    assert not await held(world)
    async with world.process() as process:
        await create(process.operations)
    assert await is_posted(world)


@virtual
async def test_credits_reserved_late_go_back_while_the_next_bounty_keeps_its_own() -> None:
    """The document names another reservation by then; the history still tells."""
    world = await a_world()
    await refused(world)
    await world.ledger.top_up("more", account="alice", amount=3 * FUNDS)
    async with world.process() as process:
        await create(process.operations, "another")
    first = Try(KEY, BOUNTY_ID).reservation_id
    reference = reference_of("default", BOUNTY_ID)
    await world.ledger.reserve(first, account="alice", amount=FUNDS + 1, reference=reference)
    await world.later()
    assert not await world.reconcile()
    assert await is_posted(world)


@virtual
async def test_a_repeat_of_the_refused_create_leaves_another_bounty_alone() -> None:
    """Be it a draft or open: what the old key made is gone, and this is none of it."""
    world = await a_world()
    await refused(world)
    await topped_up(world)
    next_one = Try("next", BOUNTY_ID)
    async with world.process() as process, world.process(seed=3) as late:
        store = process.operations.services.store
        await store.create_bounty(next_one.draft_of(DEAR), idempotency_key="next:draft")
        assert isinstance(await refusal(create(late.operations)), BountyExistsError)
        assert (document(world.mock) or {})["status"] == "draft"
        await create(process.operations, "next")
        assert isinstance(await refusal(create(late.operations)), BountyExistsError)
    assert await held(world) == [next_one.reservation_id]
    assert await is_posted(world)


@virtual
async def test_of_two_calls_with_one_key_one_may_be_refused_while_the_other_has_its_credits() -> (
    None
):
    """Although this call has its credits by then: they go back."""
    world = await a_world()
    async with world.process() as first, world.process(seed=3) as second:
        await refusal(create(first.operations))  # says what the two share
        await topped_up(world)
        draft = Try(KEY, BOUNTY_ID, 2)
        ledger: Any = second.operations.services.credits
        taken_back = asyncio.Event()

        async def refused_by_the_first(reservation_id: str, **terms: Any) -> Any:
            reservation = await world.ledger.reserve(reservation_id, **terms)
            await first.operations.services.store.discard_draft(BOUNTY_ID, draft.reservation_id)
            taken_back.set()
            return reservation

        ledger.reserve = refused_by_the_first
        assert await outcome(create(second.operations)) == "pre_commit"
        assert taken_back.is_set()
        assert not await held(world)
    await world.later()
    assert not await world.reconcile()


@virtual
async def test_a_call_that_another_with_its_key_refused_meanwhile_does_not_begin_anew() -> None:
    """The other one said that it can no longer happen, and this one had begun by then."""
    world = await a_world()
    await topped_up(world)
    async with world.process(CrashPlan(at=2)) as process:  # its journal entry stays open
        with suppress(Crash):
            await create(process.operations)
    async with world.process() as process, world.process(seed=3) as other:
        store = process.operations.services.store
        draft = Try(KEY, BOUNTY_ID).draft_of(
            msgspec.structs.replace(DEAR, ledger_id=await world.ledger.identity())
        )
        with suppress(PreCommitError):
            await store.create_bounty(draft, idempotency_key=f"{KEY}:draft")
        await store.discard_draft(BOUNTY_ID, draft.reservation_id or "")
        assert await outcome(create(other.operations)) == "pre_commit"
        assert await outcome(create(other.operations)) == "pre_commit"  # fenced off for good
        assert await outcome(create(other.operations, "another")) == "committed"
    assert await is_posted(world)


@pytest.mark.parametrize(("times", "verdict"), [(1, "pre_commit"), (None, "unknown")])
@virtual
async def test_a_draft_that_cannot_be_taken_back_is_kept_from_being_opened(
    times: int | None, verdict: str
) -> None:
    """Then the create never happens, whoever takes the draft back; else nobody knows yet."""
    world = await a_world()
    async with world.process() as process:
        await outcome(create(process.operations))
        taken_back = world.mock.request_count  # the last request of one that is refused
    world = await a_world()
    async with world.process() as process:
        for at in [taken_back] if times else range(taken_back, 3 * taken_back):
            world.mock.inject(Fault(FaultKind.STATUS_BEFORE, at=at, times=1, status=403))
        assert await outcome(create(process.operations)) == verdict
        assert (document(world.mock) or {})["status"] == "draft"
        world.mock.clear_faults()
        await topped_up(world)
        await world.later()
        assert not await world.reconcile()
    assert await held(world) == []
    assert not await is_posted(world)
    async with world.process(seed=5) as process:
        assert await outcome(create(process.operations, "another")) == "committed"


# Its markers


def markers(world: World) -> set[str]:
    """The statuses of which the bounty has a marker."""
    prefix = f"{MARKERS}/"
    return {path.removeprefix(prefix) for path in world.mock.files if path.startswith(prefix)}


@virtual
async def test_a_refused_create_leaves_no_marker_behind() -> None:
    """However often it is refused: listings do not grow slower by what does not exist."""
    world = await a_world()
    async with world.process() as process:
        for _ in range(2):
            await refusal(create(process.operations))
    assert markers(world) == set()


@virtual
async def test_a_marker_that_is_deleted_late_hides_no_bounty_that_was_created_since() -> None:
    """What a refused create tidies up are other markers than those of the next one."""
    world = await a_world()
    await refused(world)
    await topped_up(world)
    async with world.process() as process:
        await create(process.operations)
        for status in ("draft", "open"):  # the deletes of the refused one arrive now
            world.mock.core.table.remove(f"{MARKERS}/{status}/{BOUNTY_ID}")
        store: Any = process.operations.services.store
        (listed,) = await store.list_bounties(BountyQuery(status=BountyStatus.OPEN))
        assert listed.bounty_id == BOUNTY_ID
        await process.operations.cancel(BOUNTY_ID)
    await world.later()
    assert not await world.reconcile()
    assert {each.partition("/")[0] for each in markers(world)} == {"cancelled"}


@virtual
async def test_markers_that_a_crash_left_of_a_discarded_draft_are_removed() -> None:
    """By the audit of the index: nothing can make them needed again."""
    world = await a_world()
    await refused(world)
    left = [f"{MARKERS}/{each}/{BOUNTY_ID}" for each in ("draft", "open")]
    async with world.process() as process:
        store: Any = process.operations.services.store
        await store._client.write_many(dict.fromkeys(left, b""))
        assert markers(world) != set()
        await store.repair_index()
    assert markers(world) == set()


@pytest.mark.parametrize(
    ("release", "commit"),
    [
        (None, RequestMatch("write", "*/bounties/b-1.json")),
        ("0.7.0", RequestMatch("rename")),
        ("0.10", RequestMatch("write", "*/commits/b-1/1")),
    ],
)
@virtual
async def test_a_create_that_was_fenced_off_leaves_no_marker_behind(
    release: str | None, commit: RequestMatch
) -> None:
    """No request for its draft is answered: a tombstone in its place keeps it out."""
    world = await a_world(release)
    async with world.process(impatient=True) as process:
        world.mock.inject(Fault(FaultKind.RPC_ERROR_BEFORE, match=commit))
        error = await refusal(create(process.operations))
        history = await process.operations.services.store.get_history(BOUNTY_ID)
    assert error.evidence.proof is Proof.FENCED
    assert [each.aborted for each in history] == [True]
    assert markers(world) == set()


@virtual
async def test_a_repeat_that_was_fenced_off_before_leaves_the_markers_of_what_stands_there() -> (
    None
):
    """A bounty was created over the tombstone meanwhile, with another key."""
    world = await a_world()
    await topped_up(world)
    async with world.process() as process, world.process(seed=3) as late:
        await process.operations.services.store.resolve_operation(BOUNTY_ID, f"{KEY}:draft")
        await create(process.operations, "another")
        error = await refusal(create(late.operations))
    assert error.evidence.proof is Proof.FENCED
    assert f"open/{BOUNTY_ID}" in markers(world)
    assert await is_posted(world)


# Whatever fails while it is refused


@dataclass
class Refused:
    """How a refused create went, and a new one of the same bounty after everything."""

    verdict: str
    requests: int
    boundaries: int
    problems: list[str]


async def refused_under(
    fault: Fault | None = None,
    number: int = 0,
    *,
    crash: int | None = None,
    release: str | None = None,
    again: str = "another",
) -> Refused:
    """A create without credits under a fault or a crash, the reconciler, a top-up, a new try."""
    world = await a_world(release)
    if fault is not None:
        world.mock.inject(fault.on(at=number))
    plan = CrashPlan(at=crash)
    verdict = "crashed"
    async with world.process(plan) as process:
        try:
            verdict = await outcome(create(process.operations))
        except BaseException as error:
            if not is_crash(error):
                raise
    requests = world.mock.oracle.received_total
    await world.later()
    problems = await world.reconcile()
    if await held(world):
        problems.append("credits are held for what was refused")
    await topped_up(world)
    async with world.process(seed=5) as process:
        ended = await outcome(create(process.operations, again))
        if ended != "committed":
            problems.append(f"after the top-up the bounty is {ended}")
    await world.later()
    problems += await world.reconcile()
    if not await is_posted(world):
        problems.append(f"posted, and {document(world.mock)} with {await held(world)}")
    return Refused(verdict, requests, plan.seen, problems)


@sample_and_all
@pytest.mark.parametrize("release", [None, "0.10"])
def test_no_fault_at_any_request_of_a_refused_create_uses_up_the_id(
    release: str | None, sample: bool
) -> None:
    """The verdict is right, nothing is held, and the same bounty can be posted."""
    calm = run(refused_under(release=release))
    assert (calm.verdict, calm.problems) == ("pre_commit", [])
    for number in range(1, calm.requests + 1):
        request = f"refused create on {release} #{number}"
        for fault in sampled(ONE_OF_A_KIND, request) if sample else EVERY_FAULT:
            trial = run(refused_under(fault, number, release=release))
            assert not trial.problems, (number, fault.name, trial)
            assert trial.verdict == "pre_commit", (number, fault.name, trial)


@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.parametrize("release", [None, "0.10"])
def test_a_crash_at_any_boundary_of_a_refused_create_is_repaired(
    release: str | None, again: str
) -> None:
    """The reconciler takes back what the create would have, and either key posts the bounty."""
    calm = run(refused_under(release=release, again=again))
    for boundary in range(1, calm.boundaries + 1):
        trial = run(refused_under(crash=boundary, release=release, again=again))
        assert not trial.problems, (boundary, trial)


# What is told of it


@virtual
async def test_what_became_of_a_key_is_told_after_each_try() -> None:
    """Given up, then half-way, then posted."""
    world = await a_world()

    async def told() -> Outcome:
        async with world.process(seed=9) as process:
            services = process.operations.services
            clues = await clues_to(services, KEY)
            said = await explanation_of(services, KEY, BOUNTY_ID, None, clues)
            assert {each.step for each in said.steps} <= {"draft", "open", "give-up"}
            return said.outcome

    await refused(world)
    assert await told() is Outcome.PRE_COMMIT
    async with world.process(seed=3) as process:
        store = process.operations.services.store
        await topped_up(world)
        second = Try(KEY, BOUNTY_ID, 2)
        await store.create_bounty(second.draft_of(DEAR), idempotency_key=f"{KEY}:draft-2")
        assert await told() is Outcome.UNKNOWN
        await store.discard_draft(BOUNTY_ID, second.reservation_id)
        await create(process.operations)
    assert await told() is Outcome.COMMITTED
    assert await is_posted(world)
