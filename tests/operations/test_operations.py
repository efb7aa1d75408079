"""What each operation returns, refuses and repeats; races between them; two faults at once."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyExistsError,
    BountyNotFoundError,
    BountyStateError,
    BountyStatus,
    Contribution,
    IdempotencyMismatchError,
    InsufficientCreditsError,
    NexusSettings,
    OutcomeError,
    PaymentError,
    PostCommitError,
    PreCommitError,
)
from nexus_bounty.criteria import unmet
from nexus_bounty.idempotency import derived_id
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.operations import BountyOperations, OperationResult
from nexus_bounty.operations.services import target_of
from nexus_bounty.outcomes import (
    ClaimConflictError,
    ClaimStateError,
    CriteriaNotMetError,
    InvalidInputError,
    Outcome,
    Proof,
)
from nexus_bounty.ports import ReservationStatus
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import EPOCH, run
from tests.operations import operation_trials
from tests.operations.operation_trials import CASES, ONE_OF_A_KIND, Case
from tests.support.sampling import sample_and_all
from tests.support.virtual import virtual
from tests.support.world import (
    ALICE,
    BOB,
    BOUNTY_ID,
    CID,
    FUNDS,
    LEDGER_FAULTS,
    PRICE,
    Crash,
    CrashPlan,
    LedgerFault,
    World,
    a_bounty,
    broken_invariants,
    document,
    statuses_ever,
)

CAROL = AgentIdentity(agent_id="carol")
KEY = "the-key"
DOCUMENT = f"/zones/default/bounties/{BOUNTY_ID}.json"
SHORT = timedelta(minutes=1)

Act = Callable[[BountyOperations], Awaitable[Any]]


async def a_world() -> World:
    world = World()
    await world.found()
    return world


async def posted(operations: BountyOperations, deadline: timedelta | None = None) -> Any:
    bounty = a_bounty(EPOCH + deadline if deadline else None)
    return await operations.create(bounty, idempotency_key="create")


async def claimed(operations: BountyOperations, deadline: timedelta | None = None) -> Any:
    await posted(operations, deadline)
    return await operations.claim(BOUNTY_ID, BOB, idempotency_key="claim")


async def settled(operations: BountyOperations) -> Any:
    await claimed(operations)
    return await operations.settle(BOUNTY_ID, CID, idempotency_key="settle")


async def refusal(act: Awaitable[object]) -> OutcomeError:
    with pytest.raises(OutcomeError) as caught:
        await act
    return caught.value


async def outcome(act: Awaitable[object]) -> str:
    try:
        await act
    except OutcomeError as error:
        return error.outcome.value
    return "committed"


# Results


@virtual
async def test_a_create_says_that_the_credits_are_in_escrow() -> None:
    """Done in order, nothing owed, the reservation attached."""
    world = await a_world()
    async with world.process() as process:
        result = await posted(process.operations)
    assert result.operation == "create"
    assert result.idempotency_key == "create"
    assert result.done == ("write_draft", "reserve_credits", "open_bounty")
    assert not result.owed
    assert result.bounty.status is BountyStatus.OPEN
    assert result.credits_with == f"escrow for {BOUNTY_ID}"
    assert result.reservation.status is ReservationStatus.HELD
    assert result.reservation.amount == PRICE
    assert result.bounty.reservation_id == result.reservation.reservation_id


@virtual
async def test_a_claim_gives_the_bounty_and_the_lease_to_the_agent() -> None:
    """Both name the same claim."""
    world = await a_world()
    async with world.process() as process:
        result = await claimed(process.operations)
    assert result.done == ("take_lease", "commit_claim")
    assert result.bounty.claimed_by == BOB
    assert result.claim.agent == BOB
    assert result.bounty.claim_id == result.claim.claim_id
    assert result.claim.lease_expires_at == EPOCH + timedelta(minutes=30)


@virtual
async def test_a_renewal_extends_the_lease_and_changes_nothing_else() -> None:
    """From now, by the length asked for."""
    world = await a_world()
    async with world.process() as process:
        before = await claimed(process.operations)
        await asyncio.sleep(600)
        result: Any = await process.operations.renew(BOUNTY_ID, BOB, lease=timedelta(hours=1))
        again: Any = await process.operations.claim(BOUNTY_ID, BOB, lease=timedelta(hours=2))
    assert result.done == ("extend_lease",)
    assert result.claim.lease_expires_at == EPOCH + timedelta(minutes=70)
    assert result.claim.claim_id == before.claim.claim_id
    assert again.claim.lease_expires_at == EPOCH + timedelta(minutes=130)
    assert again.bounty.claim_id == before.bounty.claim_id
    assert not await broken_invariants(world)


@virtual
async def test_a_released_bounty_can_be_claimed_by_another_agent() -> None:
    """The lease is free at once."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        result = await process.operations.release(BOUNTY_ID, BOB, idempotency_key=KEY)
        again = await process.operations.claim(BOUNTY_ID, CAROL)
    assert result.done == ("commit_open", "release_lease")
    assert result.bounty.status is BountyStatus.OPEN
    assert result.bounty.claimed_by is None
    assert again.bounty.claimed_by == CAROL
    assert not await broken_invariants(world)


@virtual
async def test_a_settle_pays_the_claimer_records_the_reward_and_ends_the_claim() -> None:
    """The five steps in order."""
    world = await a_world()
    async with world.process() as process:
        result = await settled(process.operations)
        rewards = await process.operations.services.store.list_rewards()
        claim = await process.operations.services.claims.get(result.bounty.claim_id)
    assert result.done == (
        "commit_pending_settlement",
        "capture_payment",
        "commit_settled",
        "record_reward",
        "complete_claim",
    )
    assert result.credits_with == "bob"
    assert result.reservation.captured_to == "bob"
    assert [each.reward_id for each in rewards] == [result.reward.reward_id]
    assert (result.reward.recipient, result.reward.amount) == (BOB, PRICE)
    assert claim is not None
    assert claim.status.value == "completed"
    assert (await world.ledger.balance("bob")).available == PRICE


@pytest.mark.parametrize("state", [posted, claimed])
@virtual
async def test_a_cancel_gives_the_credits_and_the_target_back(state: Act) -> None:
    """To the creator, whoever had claimed it."""
    world = await a_world()
    async with world.process() as process:
        await state(process.operations)
        result: Any = await process.operations.cancel(BOUNTY_ID, idempotency_key=KEY)
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert result.done == ("commit_cancelled", "void_reservation", "release_lease")
    assert result.credits_with == "alice"
    assert result.reservation.status is ReservationStatus.VOIDED
    assert not held
    assert (await world.ledger.balance("alice")).available == FUNDS


@virtual
async def test_expiring_what_is_due_reports_each_bounty_and_lets_the_others_go_on() -> None:
    """One that cannot be expired is a failure with its outcome, not the end of all."""
    world = await a_world()
    async with world.process() as process:
        for name in ("b-1", "b-2", "b-3"):
            bounty = msgspec.structs.replace(a_bounty(EPOCH + SHORT), bounty_id=name)
            await process.operations.create(bounty)
        await asyncio.sleep(120)
        lost = RequestMatch(path="*b-2*", method="write")
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=lost, times=None, status=403))
        result = await process.operations.expire_due()
    assert {each.bounty.bounty_id for each in result.expired} == {"b-1", "b-3"}
    assert {each.credits_with for each in result.expired} == {"alice"}
    (failed,) = result.failed
    assert (failed.bounty_id, failed.outcome) == ("b-2", "pre_commit")
    assert (await world.ledger.balance("alice")).reserved == PRICE


@virtual
async def test_a_bounty_without_an_id_gets_one_from_its_key() -> None:
    """So that a repeat meets its own document."""
    world = await a_world()
    bounty = msgspec.structs.replace(a_bounty(), bounty_id=Bounty.__struct_defaults__[0])
    async with world.process() as process, world.process(seed=2) as other:
        first = await process.operations.create(bounty, idempotency_key=KEY)
        again = await other.operations.create(bounty, idempotency_key=KEY)
    assert first.bounty.bounty_id == again.bounty.bounty_id
    assert first.bounty.bounty_id.startswith("bounty-")
    assert (await world.ledger.balance("alice")).reserved == PRICE


# Errors


@dataclass(frozen=True)
class Refused:
    """An operation that is refused: what came before, what is asked, and the error for it."""

    name: str
    before: Act | None
    ask: Act
    error: type[PreCommitError]
    operation: str


async def _nothing(_operations: BountyOperations) -> None: ...


async def _past_deadline(operations: BountyOperations) -> None:
    await posted(operations, SHORT)
    await asyncio.sleep(120)


def _ask(name: str, *args: Any) -> Act:
    return lambda o: getattr(o, name)(*args, idempotency_key=KEY)


REFUSED = (
    Refused("claim nothing", None, _ask("claim", "b-1", BOB), BountyNotFoundError, "claim"),
    Refused("release nothing", None, _ask("release", "b-1", BOB), BountyNotFoundError, "release"),
    Refused("settle nothing", None, _ask("settle", "b-1", CID), BountyNotFoundError, "settle"),
    Refused("cancel nothing", None, _ask("cancel", "b-1"), BountyNotFoundError, "cancel"),
    Refused("expire nothing", None, _ask("expire", "b-1"), BountyNotFoundError, "expire"),
    Refused("create twice", posted, _ask("create", a_bounty()), BountyExistsError, "create"),
    Refused("claim one's own", posted, _ask("claim", "b-1", ALICE), BountyStateError, "claim"),
    Refused("claim twice", claimed, _ask("claim", "b-1", CAROL), BountyStateError, "claim"),
    Refused("claim late", _past_deadline, _ask("claim", "b-1", BOB), BountyStateError, "claim"),
    Refused("claim settled", settled, _ask("claim", "b-1", CAROL), BountyStateError, "claim"),
    Refused("release open", posted, _ask("release", "b-1", BOB), BountyStateError, "release"),
    Refused(
        "release another's", claimed, _ask("release", "b-1", CAROL), BountyStateError, "release"
    ),
    Refused("release settled", settled, _ask("release", "b-1", BOB), BountyStateError, "release"),
    Refused("settle open", posted, _ask("settle", "b-1", CID), BountyStateError, "settle"),
    Refused("settle settled", settled, _ask("settle", "b-1", CID), BountyStateError, "settle"),
    Refused("settle unmet", claimed, _ask("settle", "b-1", "slow"), CriteriaNotMetError, "settle"),
    Refused(
        "settle unheard", claimed, _ask("settle", "b-1", "none"), CriteriaNotMetError, "settle"
    ),
    Refused("cancel settled", settled, _ask("cancel", "b-1"), BountyStateError, "cancel"),
    Refused("expire early", claimed, _ask("expire", "b-1"), BountyStateError, "expire"),
)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
@virtual
async def test_a_refusal_speaks_of_the_whole_operation_and_leaves_all_as_it_was(
    case: Refused,
) -> None:
    """Its name, key and bounty, with evidence; the document, the leases and the money untouched."""
    world = await a_world()
    world.contributions.add(Contribution(cid="slow", tags=["sorted"], scores={"speed": 0.5}))
    async with world.process() as process:
        await (case.before or _nothing)(process.operations)
    before = {path: world.mock.read_file(path) for path in world.mock.files if "/claims/" in path}
    before[DOCUMENT] = world.mock.read_file(DOCUMENT)
    money = [await world.ledger.balance(name) for name in ("alice", "bob", "carol")]
    async with world.process(seed=2) as process:
        error = await refusal(case.ask(process.operations))
    assert type(error) is case.error
    assert error.outcome is Outcome.PRE_COMMIT
    assert (error.operation, error.idempotency_key) == (case.operation, KEY)
    assert error.bounty_id == BOUNTY_ID
    assert error.evidence.proof is not Proof.NONE
    assert {path: world.mock.read_file(path) for path in before} == before
    assert [await world.ledger.balance(name) for name in ("alice", "bob", "carol")] == money


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


def _when(world: World, status: str) -> Callable[[Any], bool]:
    return lambda _request: (document(world.mock) or {}).get("status") == status


def _after_a_write(world: World) -> Callable[[Any], bool]:
    """Whether the document has been written since now."""
    before = len(world.mock.history(DOCUMENT))
    return lambda _request: len(world.mock.history(DOCUMENT)) > before


@virtual
async def test_an_operation_without_a_key_makes_one_and_its_error_says_which() -> None:
    """Repeating the call with it finds out, or finishes."""
    world = await a_world()
    async with world.process() as process:
        world.mock.inject(
            Fault(FaultKind.DROP_BEFORE, match=RequestMatch(path=DOCUMENT), times=None)
        )
        world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=RequestMatch(), times=None))
        error = await refusal(process.operations.create(a_bounty()))
        assert error.idempotency_key
        world.mock.clear_faults()
        again = await process.operations.create(a_bounty(), idempotency_key=error.idempotency_key)
    assert again.idempotency_key == error.idempotency_key
    assert not await broken_invariants(world)


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda o: o.create(a_bounty(), idempotency_key="k" * 201), "idempotency_key"),
        (lambda o: o.create(a_bounty(), idempotency_key=""), "idempotency_key"),
        (lambda o: o.create(msgspec.structs.replace(a_bounty(), amount=0)), "amount"),
        (
            lambda o: o.create(msgspec.structs.replace(a_bounty(), status=BountyStatus.CLAIMED)),
            "status",
        ),
        (lambda o: o.claim("", BOB), "bounty_id"),
        (lambda o: o.claim("b-1", BOB, lease=timedelta(0)), "lease"),
        (lambda o: o.settle("b-1", ""), "contribution_cid"),
        (lambda o: o.release("b-1", AgentIdentity(agent_id="")), "agent"),
        (lambda o: o.cancel("a/b"), "bounty_id"),
    ],
)
@virtual
async def test_wrong_input_is_refused_before_anything_is_sent(ask: Act, field: str) -> None:
    """Naming the field."""
    world = await a_world()
    async with world.process() as process:
        error = await refusal(ask(process.operations))
    assert isinstance(error, InvalidInputError)
    assert error.field.startswith(field)
    assert world.mock.oracle.received_total == 0


# Repeats


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_repeat_finishes_what_a_crash_left_at_any_boundary(case: Case) -> None:
    """At once, in another process, without the reconciler: all is done and all invariants hold."""

    async def crashed_at(boundary: int | None) -> tuple[int, list[str]]:
        world = await a_world()
        await operation_trials.prepare(world, case)
        plan = CrashPlan(at=boundary)
        async with world.process(plan) as process:
            with suppress(Crash):
                await case.act(process.operations)
        await world.mock.settle()
        async with world.process(seed=5) as process:
            said = await outcome(case.act(process.operations))
        wrong = [] if said == "committed" else [f"{boundary}: its repeat said {said}"]
        return plan.seen, wrong + [f"{boundary}: {each}" for each in await broken_invariants(world)]

    boundaries, wrong = run(crashed_at(None))
    for boundary in range(1, boundaries + 1):
        wrong += run(crashed_at(boundary))[1]
    assert not wrong


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@virtual
async def test_a_repeat_in_the_same_process_or_another_returns_the_same_and_writes_nothing(
    case: Case,
) -> None:
    """However often, and the documents, the money and the result stay as they are."""
    world = await a_world()
    await operation_trials.prepare(world, case)
    async with world.process() as process, world.process(seed=4) as other:
        first: Any = await case.act(process.operations)
        await asyncio.sleep(1)  # it cleans up
        files = {path: world.mock.read_file(path) for path in world.mock.files}
        for each in (process, other, other):
            again: Any = await case.act(each.operations)
            assert again.bounty == first.bounty
            assert again.done == first.done
            assert again.credits_with == first.credits_with
            assert again.idempotency_key == first.idempotency_key
    assert {path: world.mock.read_file(path) for path in world.mock.files} == files
    assert not await broken_invariants(world)


@virtual
async def test_a_deadline_that_has_passed_is_refused_before_anything_is_written() -> None:
    """Whether it was posted before is looked up, no more."""
    world = await a_world()
    async with world.process() as process:
        error = await refusal(process.operations.create(a_bounty(EPOCH - SHORT)))
    assert isinstance(error, InvalidInputError)
    assert error.field == "deadline"
    assert not world.mock.log


@virtual
async def test_a_repeated_create_returns_the_reservation_as_the_first_did() -> None:
    """The result is the same, not only the bounty."""
    world = await a_world()
    async with world.process() as process:
        first = await posted(process.operations)
        again = await posted(process.operations)
    assert again.reservation == first.reservation


MISMATCHES: dict[str, tuple[Act, Act]] = {
    "create with another amount": (
        posted,
        lambda o: o.create(
            msgspec.structs.replace(a_bounty(), amount=PRICE + 1), idempotency_key="create"
        ),
    ),
    "create with other criteria": (
        posted,
        lambda o: o.create(
            msgspec.structs.replace(a_bounty(), criteria=BountyCriteria(description="any")),
            idempotency_key="create",
        ),
    ),
    "create by another": (
        posted,
        lambda o: o.create(
            msgspec.structs.replace(a_bounty(), creator=BOB), idempotency_key="create"
        ),
    ),
    "claim for another": (claimed, lambda o: o.claim(BOUNTY_ID, CAROL, idempotency_key="claim")),
    "claim for longer": (
        claimed,
        lambda o: o.claim(BOUNTY_ID, BOB, lease=timedelta(hours=9), idempotency_key="claim"),
    ),
    "settle with another": (
        settled,
        lambda o: o.settle(BOUNTY_ID, "cid-2", idempotency_key="settle"),
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
@virtual
async def test_the_same_key_with_other_parameters_is_refused(name: str) -> None:
    """In the same process and in another; what it stands for is left as it is."""
    before, ask = MISMATCHES[name]
    world = await a_world()
    world.contributions.add(Contribution(cid="cid-2", tags=["sorted"], scores={"speed": 9.0}))
    async with world.process() as process, world.process(seed=3) as other:
        await before(process.operations)
        standing = world.mock.read_file(DOCUMENT)
        for each in (process, other):
            error = await refusal(ask(each.operations))
            assert isinstance(error, IdempotencyMismatchError)
            assert error.idempotency_key == name.split()[0]
    assert world.mock.read_file(DOCUMENT) == standing
    assert not await broken_invariants(world)


@virtual
async def test_a_key_reused_for_another_bounty_never_touches_the_escrow_of_the_first() -> None:
    """Refused, and the first bounty keeps its credits."""
    world = await a_world()
    other = msgspec.structs.replace(a_bounty(), bounty_id="b-2")
    async with world.process() as process:
        await process.operations.create(a_bounty(), idempotency_key=KEY)
        await outcome(process.operations.create(other, idempotency_key=KEY))
    reservations = [each async for each in world.ledger.reservations()]
    assert [each.status for each in reservations if each.reference == BOUNTY_ID] == [
        ReservationStatus.HELD
    ]


@virtual
async def test_a_create_repeated_after_its_deadline_does_not_say_that_it_never_happened() -> None:
    """It was posted, and its credits are still held."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations, SHORT)
        await asyncio.sleep(120)
        assert await outcome(posted(process.operations, SHORT)) != "pre_commit"


@virtual
async def test_a_claim_repeated_after_others_claimed_does_not_say_that_it_never_happened() -> None:
    """It was claimed, released, and claimed by another since."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await process.operations.release(BOUNTY_ID, BOB)
        await process.operations.claim(BOUNTY_ID, CAROL)
        again = process.operations.claim(BOUNTY_ID, BOB, idempotency_key="claim")
        assert await outcome(again) != "pre_commit"
    assert not await broken_invariants(world)


@virtual
async def test_a_repeated_release_leaves_a_later_claim_alone() -> None:
    """The agent has claimed again since: its new lease stays."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await process.operations.release(BOUNTY_ID, BOB, idempotency_key=KEY)
        again: Any = await process.operations.claim(BOUNTY_ID, BOB)
        await process.operations.release(BOUNTY_ID, BOB, idempotency_key=KEY)
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert [each.claim_id for each in held] == [again.claim.claim_id]


@virtual
async def test_a_release_ends_the_lease_that_the_bounty_has_now() -> None:
    """Another process of the same agent has released and claimed it since."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await claimed(process.operations)
        await other.operations.release(BOUNTY_ID, BOB)
        await other.operations.claim(BOUNTY_ID, BOB)
        await process.operations.release(BOUNTY_ID, BOB)
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert not held
    assert not await broken_invariants(world)


@pytest.mark.parametrize(("key", "again"), [("create", posted), ("claim", claimed)])
@virtual
async def test_a_repeat_says_where_the_credits_are_now(key: str, again: Act) -> None:
    """They have been paid since."""
    world = await a_world()
    async with world.process() as process:
        await settled(process.operations)
        assert (await again(process.operations)).credits_with == "bob", key


# A key asked again while the server cannot be reached


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
    case = next(each for each in CASES if each.name == name)
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
async def test_a_committed_create_asked_again_on_a_dead_network_is_not_called_undone() -> None:
    """This very process has seen it committed."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=RequestMatch(), times=None))
        assert await outcome(posted(process.operations)) != "pre_commit"


@virtual
async def test_an_unknown_settle_asked_again_without_contributions_is_ruled_out_first() -> None:
    """The place where work is looked up is down; the pivot, still under way, is fenced off."""
    case = next(each for each in CASES if each.name == "settle")
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
async def test_a_settle_that_landed_unheard_is_not_called_undone_without_contributions() -> None:
    """The same, but the pivot has landed before it is asked again: the rest is owed."""
    case = next(each for each in CASES if each.name == "settle")
    world = await a_world()
    await operation_trials.prepare(world, case)
    world.mock.inject(*_cut_off(case), _dead_reads(world))
    async with world.process() as process:
        assert await outcome(case.act(process.operations)) == "unknown"
        await world.mock.settle()
        world.mock.clear_faults()
        services = process.operations.services
        process.operations.services = dataclasses.replace(services, contributions=Offline())
        error = await refusal(case.act(process.operations))
    assert isinstance(error, PostCommitError)
    assert "capture_payment" in error.pending
    assert error.bounty is not None
    assert error.bounty.status == "pending_settlement"
    assert (await world.ledger.balance("bob")).available == 0


class Offline:
    """A contribution store that cannot be reached."""

    async def get(self, cid: str) -> Contribution | None:
        raise ConnectionError("no route to host")


# Money


@virtual
async def test_without_enough_credits_nothing_is_posted_and_nothing_is_held() -> None:
    """The draft is cancelled; a repeat says the same, even when there are credits by then."""
    world = await a_world()
    dear = msgspec.structs.replace(a_bounty(), amount=FUNDS + 1)
    async with world.process() as process, world.process(seed=3) as other:
        error = await refusal(process.operations.create(dear, idempotency_key=KEY))
        assert isinstance(error, InsufficientCreditsError)
        assert (error.available, error.required) == (FUNDS, FUNDS + 1)
        assert (document(world.mock) or {})["status"] == "cancelled"
        assert (await world.ledger.balance("alice")).available == FUNDS
        await world.ledger.top_up("more", account="alice", amount=FUNDS)
        for each in (process, other):
            again = await refusal(each.operations.create(dear, idempotency_key=KEY))
            assert again.outcome is Outcome.PRE_COMMIT
            assert again.idempotency_key == KEY
    assert (await world.ledger.balance("alice")).reserved == 0
    await world.later()
    assert not await world.reconcile()


@virtual
async def test_a_create_that_cannot_take_its_draft_back_is_unknown_until_somebody_can() -> None:
    """The ledger refuses, and the server is gone: the draft may still be there for all to see."""
    world = await a_world()
    drafted = RequestMatch(predicate=_when(world, "draft"))
    world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=drafted, times=None))
    async with world.process(fault=LedgerFault("refused", 1)) as process:
        world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=drafted, times=None))
        error = await refusal(process.operations.create(a_bounty(), idempotency_key=KEY))
    assert error.outcome is Outcome.UNKNOWN
    assert "closed for today" in str(error)
    assert (document(world.mock) or {})["status"] == "draft"
    await world.later()
    assert not await world.reconcile()
    assert (document(world.mock) or {})["status"] == "cancelled"


@virtual
async def test_a_create_whose_reservation_was_given_back_meanwhile_is_not_posted() -> None:
    """A reservation that is there is not enough: it has to be held."""
    world = await a_world()
    async with world.process(CrashPlan(at=6)) as process:
        with suppress(Crash):
            await process.operations.create(a_bounty(), idempotency_key=KEY)
    (reservation,) = [each async for each in world.ledger.reservations()]
    assert (document(world.mock) or {})["status"] == "draft"
    await world.ledger.void(reservation.reservation_id)
    async with world.process() as process:
        error = await refusal(process.operations.create(a_bounty(), idempotency_key=KEY))
    assert isinstance(error, PaymentError)
    assert (document(world.mock) or {})["status"] == "cancelled"
    assert not await broken_invariants(world)


@virtual
async def test_a_create_that_could_not_open_its_bounty_gives_the_credits_back_at_once() -> None:
    """Pre-commit, and nothing is left for the reconciler."""
    world = await a_world()
    second = RequestMatch(method="write", path=DOCUMENT, nth=2)
    world.mock.inject(Fault(FaultKind.RPC_ERROR_BEFORE, match=second))
    async with world.process(impatient=True) as process:
        assert await outcome(posted(process.operations)) == "pre_commit"
    assert (await world.ledger.balance("alice")).available == FUNDS
    assert not await broken_invariants(world)


@pytest.mark.parametrize("kind", ["lost_before", "lost_after"])
@pytest.mark.parametrize(
    "case", [each for each in CASES if each.name in ("create", "settle", "cancel")]
)
@virtual
async def test_a_lost_answer_of_the_ledger_is_asked_for_again(case: Case, kind: str) -> None:
    """By the same id, so that nothing is done twice, and the operation goes on."""
    world = await a_world()
    await operation_trials.prepare(world, case)
    async with world.process(fault=LedgerFault(kind, 1)) as process:
        assert await outcome(case.act(process.operations)) == "committed"
        assert process.credits.calls == 2
    assert not await broken_invariants(world)


@dataclass(frozen=True)
class CleanUp:
    """A request for something that is not needed any more, and the step that is owed without it."""

    case: str
    method: str
    path: str
    owed: str


CLEAN_UPS = (
    CleanUp("settle", "write", "*/claims/*", "complete_claim"),
    CleanUp("cancel_claimed", "write", "*/claims/*", "release_lease"),
    CleanUp("release", "write", "*/claims/*", "release_lease"),
)


@pytest.mark.parametrize("clean_up", CLEAN_UPS, ids=lambda each: f"{each.case} {each.path}")
@virtual
async def test_a_failed_clean_up_is_owed_and_the_operation_stands(clean_up: CleanUp) -> None:
    """Named in the result, not done; the reconciler does it."""
    case = next(each for each in CASES if each.name == clean_up.case)
    world = await a_world()
    await operation_trials.prepare(world, case)
    request = RequestMatch(method=clean_up.method, path=clean_up.path)
    world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=request, times=None, status=403))
    async with world.process() as process:
        result: Any = await case.act(process.operations)
    assert list(result.owed) == [clean_up.owed]
    assert clean_up.owed not in result.done
    await world.later()
    assert not await world.reconcile()
    assert not await broken_invariants(world)


@pytest.mark.parametrize("name", ["claim", "settle", "cancel", "cancel_claimed", "expire"])
def test_a_stale_marker_that_cannot_be_removed_is_named_in_the_log_and_left_to_the_reconciler(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is removed after the operation, which stands."""
    run(_leaving_markers(name))
    assert "still to be removed" in caplog.text
    assert "the reconciler does it" in caplog.text


async def _leaving_markers(name: str) -> None:
    case = next(each for each in CASES if each.name == name)
    world = await a_world()
    await operation_trials.prepare(world, case)
    for method in ("delete", "delete_batch"):
        refused = RequestMatch(method=method)
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=refused, times=None, status=403))
    async with world.process() as process:
        assert await outcome(case.act(process.operations)) == "committed"
    assert await _disagreeing(world)
    await world.later()
    assert not await world.reconcile()
    assert not await _disagreeing(world)


async def _disagreeing(world: World) -> list[str]:
    async with world.process() as process:
        index = await process.operations.services.store.list_index_statuses()
    return [each.status for each in index if not each.healthy]


@virtual
async def test_two_bounties_for_the_price_of_one_end_with_one_posted() -> None:
    """Both created at once: the ledger decides, and the loser holds nothing."""
    world = await a_world()
    offers = [
        msgspec.structs.replace(a_bounty(), bounty_id=name, amount=FUNDS) for name in ("b-1", "b-2")
    ]
    async with world.process() as process:
        ended = await asyncio.gather(
            *(
                outcome(process.operations.create(each, idempotency_key=each.bounty_id))
                for each in offers
            )
        )
    assert sorted(ended) == ["committed", "pre_commit"]
    assert (await world.ledger.balance("alice")).reserved == FUNDS


@pytest.mark.parametrize("agent_id", ["system:mint", "system:mallory"])
@virtual
async def test_an_agent_that_the_ledger_cannot_pay_never_gets_past_the_pivot(agent_id: str) -> None:
    """Refused when it claims, or at the latest when it settles; the credits are not stranded."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        await outcome(process.operations.claim(BOUNTY_ID, AgentIdentity(agent_id=agent_id)))
        await outcome(process.operations.settle(BOUNTY_ID, CID))
    await world.later()
    assert not await world.reconcile()
    assert (document(world.mock) or {})["status"] != "pending_settlement"


# Claiming


@virtual
async def test_creators_may_claim_their_own_bounties_where_that_is_allowed() -> None:
    """By a setting."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        services = process.operations.services
        allowed = BountyOperations(
            services.store,
            credits=services.credits,
            claims=services.claims,
            contributions=services.contributions,
            allow_self_claims=True,
            clock=services.clock,
        )
        assert (await allowed.claim(BOUNTY_ID, ALICE)).bounty.claimed_by == ALICE
        assert (await allowed.settle(BOUNTY_ID, CID)).credits_with == "alice"
    assert (await world.ledger.balance("alice")).available == FUNDS


@virtual
async def test_a_refused_claim_leaves_no_lease_behind() -> None:
    """The bounty was cancelled between the look and the lease: the lease is given back."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await posted(process.operations)
        await other.operations.cancel(BOUNTY_ID)
        error = await refusal(process.operations.claim(BOUNTY_ID, BOB))
        assert isinstance(error, BountyStateError)
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert not held
    assert not await broken_invariants(world)


@virtual
async def test_a_renewal_that_did_not_happen_leaves_the_lease_of_the_claim_as_it_is() -> None:
    """Claimed again with another key, fenced off: the agent still holds the bounty."""
    world = await a_world()
    async with world.process(impatient=True) as process:
        first = await claimed(process.operations)
        failing = RequestMatch(method="write", path=DOCUMENT)
        world.mock.inject(Fault(FaultKind.RPC_ERROR_BEFORE, match=failing))
        again = process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
        assert await outcome(again) == "pre_commit"
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert [each.claim_id for each in held] == [first.claim.claim_id]
    assert not await broken_invariants(world)


@virtual
async def test_a_claim_is_not_committed_with_a_lease_that_has_run_out() -> None:
    """A crash after the lease, a repeat an hour later: refused, and fenced off for good."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        await process.operations.services.claims.claim_or_renew(
            target_of(BOUNTY_ID),
            BOB,
            claim_id=derived_id("claim", KEY),
            lease=timedelta(minutes=30),
            intent_summary="Claiming bounty: Sort it",
            idempotency_key=f"{KEY}:lease",
        )
        await asyncio.sleep(3600)
        error = await refusal(process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        assert isinstance(error, ClaimStateError)
        assert (await process.operations.claim(BOUNTY_ID, CAROL)).bounty.claimed_by == CAROL
    assert not await broken_invariants(world)


@virtual
async def test_a_lease_held_by_another_agent_is_a_conflict_and_stays() -> None:
    """The document is still open: the other one is just committing."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        claims = process.operations.services.claims
        await claims.claim_or_renew(
            target_of(BOUNTY_ID), CAROL, claim_id="theirs", lease=timedelta(hours=1)
        )
        error = await refusal(process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        assert isinstance(error, ClaimConflictError)
        assert (error.operation, error.bounty_id, error.idempotency_key) == ("claim", "b-1", KEY)
        held = await claims.active_claims(target_of(BOUNTY_ID))
    assert [each.claim_id for each in held] == ["theirs"]


@virtual
async def test_a_lease_that_has_run_out_cannot_be_renewed() -> None:
    """Its bounty may be somebody else's soon."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await asyncio.sleep(3600)
        error = await refusal(process.operations.renew(BOUNTY_ID, BOB))
    assert isinstance(error, ClaimStateError)
    assert (error.operation, error.bounty_id) == ("renew", BOUNTY_ID)


@pytest.mark.parametrize("agent", [CAROL, ALICE])
@virtual
async def test_only_the_holder_can_renew(agent: AgentIdentity) -> None:
    """And the lease stays as long as it was."""
    world = await a_world()
    async with world.process() as process:
        before = await claimed(process.operations)
        error = await refusal(process.operations.renew(BOUNTY_ID, agent, lease=timedelta(days=1)))
        after = await process.operations.services.claims.get(before.claim.claim_id)
    assert isinstance(error, BountyStateError)
    assert after == before.claim


# Settling


FAST = BountyCriteria(description="d", metric_name="m", metric_threshold=1.5)
TAGGED = BountyCriteria(description="d", required_tags=["a", "b"])


def _with(criteria: BountyCriteria, **changes: Any) -> BountyCriteria:
    return msgspec.structs.replace(criteria, **changes)


@pytest.mark.parametrize(
    ("criteria", "scores", "tags", "lacking"),
    [
        (BountyCriteria(description="anything"), {}, [], 0),
        (_with(FAST, metric_direction="maximize"), {"m": 1.5}, [], 0),
        (_with(FAST, metric_direction="maximize"), {"m": 1.6}, [], 0),
        (_with(FAST, metric_direction="maximize"), {"m": 1.49}, [], 1),
        (_with(FAST, metric_direction="minimize"), {"m": 1.5}, [], 0),
        (_with(FAST, metric_direction="minimize"), {"m": 1.4}, [], 0),
        (_with(FAST, metric_direction="minimize"), {"m": 1.51}, [], 1),
        (FAST, {"m": 1.5}, [], 0),
        (FAST, {"m": 1.4}, [], 0),
        (FAST, {"m": 1.6}, [], 1),
        (FAST, {}, [], 1),
        (FAST, {"other": 1.0}, [], 1),
        (_with(FAST, metric_threshold=0.0, metric_direction="maximize"), {"m": 0.0}, [], 0),
        (_with(FAST, metric_threshold=0.0, metric_direction="maximize"), {"m": -0.1}, [], 1),
        pytest.param(_with(FAST, metric_direction="maximize"), {"m": float("nan")}, [], 1),
        pytest.param(_with(FAST, metric_direction="minimize"), {"m": float("nan")}, [], 1),
        (BountyCriteria(description="d", metric_name="m"), {}, [], 0),
        (TAGGED, {}, ["b", "a", "c"], 0),
        (TAGGED, {}, ["a"], 1),
        (TAGGED, {}, [], 2),
        (TAGGED, {}, ["A", "B"], 2),
        (_with(TAGGED, metric_name="m", metric_threshold=1.0), {"m": 2.0}, ["a"], 2),
    ],
)
def test_a_contribution_lacks_what_the_criteria_ask_and_it_does_not_have(
    criteria: BountyCriteria, scores: dict[str, float], tags: list[str], lacking: int
) -> None:
    """A threshold is met by equality; a score that is missing, or no number, meets none."""
    found = unmet(criteria, Contribution(cid="c", scores=scores, tags=tags))
    assert len(found) == lacking, found


@virtual
async def test_a_settle_that_is_refused_can_be_repeated_with_better_work() -> None:
    """The bounty is still claimed, and the same key is free for what fulfils it."""
    world = await a_world()
    world.contributions.add(Contribution(cid="slow", tags=["sorted"], scores={"speed": 0.1}))
    async with world.process() as process:
        await claimed(process.operations)
        error = await refusal(process.operations.settle(BOUNTY_ID, "slow", idempotency_key=KEY))
        assert isinstance(error, CriteriaNotMetError)
        assert "speed of at least 1.0" in str(error)
        result = await process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY)
    assert result.bounty.fulfilled_by_cid == CID
    assert not await broken_invariants(world)


@virtual
async def test_a_bounty_past_the_pivot_is_settled_with_its_contribution_or_not_at_all() -> None:
    """A crash left it there; neither the same key nor another one brings in another work."""
    world = await a_world()
    world.contributions.add(Contribution(cid="cid-2", tags=["sorted"], scores={"speed": 9.0}))
    async with world.process() as process:
        await claimed(process.operations)
        await process.operations.services.store.begin_settlement(
            BOUNTY_ID, CID, idempotency_key="settle:begin"
        )
    async with world.process(seed=3) as process:
        other = await refusal(process.operations.settle(BOUNTY_ID, "cid-2", idempotency_key="x"))
        same = await refusal(
            process.operations.settle(BOUNTY_ID, "cid-2", idempotency_key="settle")
        )
        assert isinstance(other, BountyStateError)
        assert isinstance(same, IdempotencyMismatchError)
        for act in (process.operations.cancel(BOUNTY_ID), process.operations.expire(BOUNTY_ID)):
            assert isinstance(await refusal(act), BountyStateError)
        result = await process.operations.settle(BOUNTY_ID, CID, idempotency_key="settle")
    assert result.bounty.status is BountyStatus.SETTLED
    assert not await broken_invariants(world)


@virtual
async def test_a_completed_bounty_is_not_settled_with_another_contribution() -> None:
    """Others have completed it with theirs."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await process.operations.services.store.complete_bounty(BOUNTY_ID, CID)
        error = await outcome(process.operations.settle(BOUNTY_ID, "another"))
    assert error == "pre_commit"
    assert (document(world.mock) or {})["status"] == "completed"


@virtual
async def test_a_settle_owing_its_last_commit_is_finished_by_a_repeat() -> None:
    """Restartable with the same key from any point."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    async with world.process(impatient=True) as process:
        for nth in (2, 3):  # the step and, once it is fenced off, the same under another key
            write = RequestMatch(method="write", path=DOCUMENT, nth=nth)
            world.mock.inject(Fault(FaultKind.RPC_ERROR_BEFORE, match=write))
        act = process.operations.settle
        assert await outcome(act(BOUNTY_ID, CID, idempotency_key=KEY)) == "post_commit"
        assert await outcome(act(BOUNTY_ID, CID, idempotency_key=KEY)) == "committed"


@virtual
async def test_a_reward_that_was_fenced_off_can_be_recorded_later() -> None:
    """One failed try must not keep it out for good."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    async with world.process(impatient=True) as process:
        reward = RequestMatch(method="write", path="*/rewards/*")
        world.mock.inject(Fault(FaultKind.RPC_ERROR_BEFORE, match=reward))
        await outcome(process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY))
    await world.later()
    assert not await world.reconcile()
    assert not await broken_invariants(world)


@virtual
async def test_criteria_are_checked_on_the_bounty_as_it_stands_not_as_it_is_remembered() -> None:
    """It was claimed elsewhere since this process has seen it."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await posted(process.operations)
        await other.operations.claim(BOUNTY_ID, BOB)
        error = await refusal(process.operations.settle(BOUNTY_ID, "no-such-work"))
    assert isinstance(error, CriteriaNotMetError)
    assert (document(world.mock) or {})["status"] == "claimed"


@virtual
async def test_what_nobody_has_claimed_is_not_settled_whoever_claims_it_meanwhile() -> None:
    """Nobody has looked at the work when it is found open; a claim right then changes nothing."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await posted(process.operations)
        store: Any = process.operations.services.store
        begin = store.begin_settlement

        async def claimed_first(*arguments: Any, **named: Any) -> Any:
            await other.operations.claim(BOUNTY_ID, BOB)
            return await begin(*arguments, **named)

        store.begin_settlement = claimed_first
        error = await refusal(process.operations.settle(BOUNTY_ID, "no-such-work"))
    assert isinstance(error, BountyStateError)
    assert error.current_status == "open"
    assert "pending_settlement" not in statuses_ever(world.mock)
    assert not await broken_invariants(world)


@virtual
async def test_operations_with_one_key_at_once_wait_for_each_other() -> None:
    """The one that cannot even look does not call undone what the other is about to do."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        pivot = RequestMatch(method="write", path=DOCUMENT)
        world.mock.inject(Fault(FaultKind.TIMEOUT_BEFORE, match=pivot))
        look = RequestMatch(method="read", path=DOCUMENT, nth=2)
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=look, status=403))
        act = process.operations.settle
        twins = [outcome(act(BOUNTY_ID, CID, idempotency_key=KEY)) for _ in range(2)]
        assert await asyncio.gather(*twins) == ["committed", "post_commit"]
    assert not await broken_invariants(world)


@virtual
async def test_a_claimer_whose_lease_has_run_out_is_paid_all_the_same() -> None:
    """The document says whose it is; the lease has ended by itself, and nothing is owed."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await asyncio.sleep(7200)
        result = await process.operations.settle(BOUNTY_ID, CID)
    assert not result.owed
    assert result.credits_with == "bob"


@virtual
async def test_what_is_paid_already_is_not_said_to_be_owed() -> None:
    """Only the steps that are left, in their order."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        last = RequestMatch(method="write", path=DOCUMENT, nth=2)
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=last, status=403))
        error: Any = await refusal(process.operations.settle(BOUNTY_ID, CID))
    assert error.outcome is Outcome.POST_COMMIT
    assert error.pending == ("commit_settled", "record_reward", "complete_claim")
    assert (await world.ledger.balance("bob")).available == PRICE


@virtual
async def test_what_the_ledger_has_not_paid_is_owed_by_name() -> None:
    """The error attaches the bounty and lists the steps in order; a repeat does them."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    async with world.process(fault=LedgerFault("refused", 1)) as process:
        error: Any = await refusal(process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY))
        assert error.outcome is Outcome.POST_COMMIT
        assert error.pending[:3] == ("capture_payment", "commit_settled", "record_reward")
        assert error.bounty.status is BountyStatus.PENDING_SETTLEMENT
        assert (error.operation, error.idempotency_key) == ("settle", KEY)
        result = await process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY)
    assert result.credits_with == "bob"
    assert not await broken_invariants(world)


@virtual
async def test_what_could_not_be_given_back_is_owed_by_name() -> None:
    """A cancel that is committed says so, and its repeat gives the credits back."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    async with world.process(fault=LedgerFault("refused", 1)) as process:
        error: Any = await refusal(process.operations.cancel(BOUNTY_ID, idempotency_key=KEY))
        assert error.outcome is Outcome.POST_COMMIT
        assert error.pending[:2] == ("void_reservation", "release_lease")
        assert not (await process.operations.cancel(BOUNTY_ID, idempotency_key=KEY)).owed
    assert not await broken_invariants(world)


@virtual
async def test_a_failed_create_ends_in_an_outcome_even_where_nothing_is_remembered() -> None:
    """Whatever fails while giving up, callers need only know `OutcomeError`."""
    world = await a_world()
    async with world.process(fault=LedgerFault("refused", 1)) as process:
        store: Any = process.operations.services.store
        store._memory._capacity = 0
        gone = RequestMatch(method="read", path=DOCUMENT, predicate=_when(world, "cancelled"))
        world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=gone, times=None))
        assert await outcome(process.operations.create(a_bounty(), idempotency_key=KEY)) in (
            "pre_commit",
            "unknown",
        )


@virtual
async def test_a_lock_that_names_rubbish_ends_a_claim_in_an_outcome() -> None:
    """The claim that holds the target cannot be understood: nothing is known, nothing is taken."""
    world = await a_world()
    async with world.process() as process:
        first = await claimed(process.operations)
        await process.operations.release(BOUNTY_ID, BOB)
        store: Any = process.operations.services.store
        await store._client.write(f"/zones/default/claims/{first.claim.claim_id}.json", b"{}")
    async with world.process(seed=2) as process:
        assert await outcome(process.operations.claim(BOUNTY_ID, CAROL)) in (
            "pre_commit",
            "unknown",
        )


# Races


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
        await (race.before or _nothing)(process.operations)
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


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_whoever_is_faster_the_invariants_hold(race: Race) -> None:
    """Many schedules: right when all have ended, and nothing is stranded after reconciling."""
    assert not [each for seed in range(4) for each in run(_raced(race, seed))]


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


# Two faults


@dataclass(frozen=True)
class Mishap:
    """One thing that goes wrong: with a request, with a call of the ledger, or with the process."""

    number: int
    fault: Fault | None = None
    ledger: str | None = None

    def __str__(self) -> str:
        return f"#{self.number} {self.fault or self.ledger or 'crash'}"


async def _with_two(case: Case, mishaps: tuple[Mishap, Mishap]) -> list[str]:
    """Run `case` under both, then all that is late, then the reconciler, then a repeat."""
    world = await a_world()
    await operation_trials.prepare(world, case)
    before = world.mock.oracle.received_total
    seen_before = len(statuses_ever(world.mock))
    ledger, plan = None, CrashPlan()
    for each in mishaps:
        if each.fault:
            world.mock.inject(each.fault.on(at=before + each.number))
        elif each.ledger:
            ledger = LedgerFault(each.ledger, each.number)
        else:
            plan.at = each.number
    async with world.process(plan, ledger) as process:
        said = await operation_trials.verdict_of(case, process)
    await world.later()
    at_first = statuses_ever(world.mock)[seen_before:]
    wrong = await world.reconcile() + await broken_invariants(world)
    brought = statuses_ever(world.mock)[seen_before:]
    wrong += operation_trials.disagreements(
        case, said, at_first if case.name == "expire" else brought
    )
    wrong += await operation_trials.repeated(world, case, said)
    return [f"{case.name} {mishaps[0]}, {mishaps[1]}: {said}: {each}" for each in wrong]


def _pairs(case: Case) -> Iterator[tuple[Mishap, Mishap]]:
    """Every fault at every request, with every later fault, ledger failure or crash."""
    calm = run(operation_trials.attempt(case))
    requests = range(1, calm.requests + 1)
    first = [Mishap(number, fault) for number in requests for fault in ONE_OF_A_KIND]
    ledger = [
        Mishap(number, ledger=kind)
        for number in range(1, calm.ledger_calls + 1)
        for kind in LEDGER_FAULTS
    ]
    crashes = [Mishap(number) for number in range(1, calm.boundaries + 6)]
    for one in first:
        for number in range(one.number + 1, calm.requests + 6):
            yield from ((one, Mishap(number, fault)) for fault in ONE_OF_A_KIND)
        yield from ((one, other) for other in (*ledger, *crashes))
    yield from itertools.product(ledger, crashes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_two_faults_leak_nothing_either(case: Case) -> None:
    """A sample of all pairs, the same every time."""
    pairs = Random(case.name).sample(list(_pairs(case)), 12)
    assert not [each for pair in pairs for each in run(_with_two(case, pair))]


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_two_faults_leak_credits_or_lie(case: Case) -> None:
    """All pairs."""
    assert not [each for pair in _pairs(case) for each in run(_with_two(case, pair))]
