"""A ledger whose answer is lost, and which then cannot be reached: the second proves nothing.

The ledger here remembers nothing of calls that it did not answer, as one of another library's may
not: what is said of the operation does not rely on that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nexus_bounty.outcomes import (
    CommitUnknownError,
    Evidence,
    InsufficientCreditsError,
    Observation,
    OutcomeError,
    PaymentError,
    PostCommitError,
    PreCommitError,
    Proof,
)
from nexus_bounty.ports import ReservationStatus
from tests.operations.operation_trials import ACTS
from tests.support.virtual import virtual
from tests.support.world import BOB, BOUNTY_ID, World, a_bounty, a_world, broken_invariants

SEEN = Observation(action="transaction", target="a ledger", answer="connection refused")


def unreachable(proof: Proof) -> PaymentError:
    return PaymentError(
        "could not connect, nothing has changed",
        evidence=Evidence(proof=proof, observations=[SEEN]),
    )


class Cut:
    """Lets the first call of a method through, loses its answer, and refuses all after it."""

    def __init__(self, world: World, method: str, refusal: OutcomeError) -> None:
        self.world, self.method, self.refusal = world, method, refusal
        self.real: Callable[..., Awaitable[Any]] = getattr(world.ledger, method)
        self.calls = 0

    async def __call__(self, *given: Any, **named: Any) -> Any:
        self.calls += 1
        if self.calls > 1:
            raise self.refusal
        await self.real(*given, **named)
        raise CommitUnknownError("no answer to COMMIT")


UNSEEING = [Proof.NEVER_SENT, Proof.REFUSED, Proof.NONE]


async def _world_before(*acts: str) -> World:
    world = await a_world()
    async with world.process(seed=7) as process:
        for each in acts:
            await ACTS[each](process.operations)
    return world


def _cut(monkeypatch: pytest.MonkeyPatch, world: World, method: str, refusal: OutcomeError) -> Cut:
    cut = Cut(world, method, refusal)
    monkeypatch.setattr(world.ledger, method, cut)
    return cut


async def _reserved(world: World) -> list[ReservationStatus]:
    return [each.status async for each in world.ledger.reservations()]


@pytest.mark.parametrize("key", [None, "post-1"])
@pytest.mark.parametrize("proof", UNSEEING)
@virtual
async def test_a_create_whose_credits_may_be_held_says_so(
    monkeypatch: pytest.MonkeyPatch, proof: Proof, key: str | None
) -> None:
    """They are; the same key posts it once the ledger is back."""
    world = await _world_before()
    cut = _cut(monkeypatch, world, "reserve", unreachable(proof))
    async with world.process() as process:
        with pytest.raises(CommitUnknownError, match="ask again with the same id") as told:
            await process.operations.create(a_bounty(), idempotency_key=key)
        assert "nothing has changed" not in str(told.value)
        # one call was made, which asked twice: it is not another that is in doubt
        assert "an earlier try, of this call or of another with the same id" in str(told.value)
        assert told.value.evidence.proof is Proof.NONE
        assert told.value.evidence.observations[-1].answer == "connection refused"
        assert told.value.idempotency_key is not None
        assert cut.calls > 1
        assert await _reserved(world) == [ReservationStatus.HELD]
        monkeypatch.undo()
        done = await process.operations.create(
            a_bounty(), idempotency_key=told.value.idempotency_key
        )
    assert done.bounty.status == "open"
    assert await _reserved(world) == [ReservationStatus.HELD]
    assert not await broken_invariants(world)


@virtual
async def test_a_create_that_was_refused_for_what_is_on_record_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ledger has looked, and would have found the reservation."""
    world = await a_world()
    refusal = InsufficientCreditsError("too little", available=0, required=1)
    cut = _cut(monkeypatch, world, "reserve", refusal)
    async with world.process() as process:
        with pytest.raises(InsufficientCreditsError):
            await process.operations.create(a_bounty())
    assert cut.calls == 2


@pytest.mark.parametrize("proof", UNSEEING)
@virtual
async def test_a_settlement_whose_payee_may_be_on_record_says_so(
    monkeypatch: pytest.MonkeyPatch, proof: Proof
) -> None:
    """It never came to its pivot, so it did not happen; another settles, with whatever key."""
    world = await _world_before("first_create", "first_claim")
    _cut(monkeypatch, world, "assign", unreachable(proof))
    async with world.process() as process:
        with pytest.raises(PreCommitError, match=f"may have {BOB.agent_id} on record") as told:
            await process.operations.settle(BOUNTY_ID, "cid-1", idempotency_key="pay-1")
        assert not isinstance(told.value, PaymentError)
        assert "No credits moved" not in str(told.value)
        assert "stay in escrow" in str(told.value)
        (held,) = [each async for each in world.ledger.reservations()]
        assert held.assignment is not None
        monkeypatch.undo()
        done = await process.operations.settle(BOUNTY_ID, "cid-1", idempotency_key="pay-2")
    assert done.bounty.status == "settled"
    assert not await broken_invariants(world)


@pytest.mark.parametrize(
    ("method", "act", "before"),
    [
        ("capture", "settle", ("first_create", "first_claim")),
        ("void", "cancel", ("first_create",)),
    ],
)
@virtual
async def test_what_moves_after_the_commit_is_owed_and_nobody_says_that_nothing_moved(
    monkeypatch: pytest.MonkeyPatch, method: str, act: str, before: tuple[str, ...]
) -> None:
    world = await _world_before(*before)
    _cut(monkeypatch, world, method, unreachable(Proof.NEVER_SENT))
    async with world.process() as process:
        with pytest.raises(PostCommitError) as told:
            await ACTS[act](process.operations)
    assert "is still not known" in str(told.value)
