"""What operations say of an adapter that lets an error of its driver through."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from nexus_bounty import (
    BountyOperations,
    CommitUnknownError,
    InsufficientCreditsError,
    PostCommitError,
    PreCommitError,
)
from tests.operations.operation_trials import ACTS
from tests.support.world import BOB, BOUNTY_ID, UnexpectedError, World, a_bounty, a_world


async def _breaks(*_given: Any, **_named: Any) -> Any:
    raise UnexpectedError("connection reset")


async def _led_up_to(world: World, *acts: str) -> None:
    async with world.process(seed=7) as process:
        for each in acts:
            await ACTS[each](process.operations)


async def test_a_payee_that_could_not_be_written_down_is_no_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pivot was not tried: nothing is settled, whatever the ledger has."""
    world = await a_world()
    await _led_up_to(world, "first_create", "first_claim")
    monkeypatch.setattr(world.ledger, "assign", _breaks)
    async with world.process() as process:
        with pytest.raises(PreCommitError, match="did not confirm whom to pay") as caught:
            await process.operations.settle(BOUNTY_ID, "cid-1")
        assert caught.value.evidence.observations[0].answer == "UnexpectedError: connection reset"


async def test_an_error_of_a_driver_is_asked_about_again_as_a_lost_answer_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, real, calls = await a_world(), None, []

    async def breaks_once(*given: Any, **named: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise UnexpectedError("connection reset")
        assert real is not None
        return await real(*given, **named)

    real = world.ledger.reserve
    monkeypatch.setattr(world.ledger, "reserve", breaks_once)
    async with world.process() as process:
        await process.operations.create(a_bounty())
    assert len(calls) == 2


async def test_what_could_not_be_reserved_tells_its_key_and_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await a_world()
    monkeypatch.setattr(world.ledger, "reserve", _breaks)
    async with world.process() as process:
        with pytest.raises(CommitUnknownError, match="UnexpectedError: connection reset") as caught:
            await process.operations.create(a_bounty(), idempotency_key="post-1")
    assert caught.value.idempotency_key == "post-1"
    assert caught.value.operation == "create"
    assert isinstance(caught.value.__cause__, UnexpectedError)


@pytest.mark.parametrize("broken", ["get_reservation", "void"])
async def test_a_refusal_stays_one_if_its_credits_cannot_be_looked_for(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """The draft is taken back by then: it cannot be opened, and the reconciler sees to the rest."""
    world = await a_world()
    monkeypatch.setattr(world.ledger, broken, _breaks)

    async def refuses(*_given: Any, **_named: Any) -> Any:
        raise InsufficientCreditsError("too little", available=0, required=100)

    monkeypatch.setattr(world.ledger, "reserve", refuses)
    async with world.process() as process:
        with pytest.raises(InsufficientCreditsError) as caught:
            await process.operations.create(a_bounty())
    owed = getattr(caught.value, "__notes__", [])
    assert bool(owed) is (broken == "get_reservation")  # there is nothing to be voided


async def test_a_lease_that_may_have_been_renewed_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await a_world()
    await _led_up_to(world, "first_create", "first_claim")
    async with world.process() as process:
        operations: BountyOperations = process.operations
        monkeypatch.setattr(type(operations.services.claims), "heartbeat", _breaks)
        with pytest.raises(CommitUnknownError, match="connection reset"):
            await operations.renew(BOUNTY_ID, BOB, lease=timedelta(minutes=5))


@pytest.mark.parametrize(
    ("act", "prepares", "status"),
    [
        ("first_claim", "prepare_claim", "claimed"),
        ("settle", "prepare_settlement", "settled"),
        ("settle", "prepare_reward", "settled"),
    ],
)
async def test_what_could_not_be_begun_ahead_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, act: str, prepares: str, status: str
) -> None:
    """It says nothing of the commit, which does it in its place."""
    world = await a_world()
    await _led_up_to(world, "first_create", *(["first_claim"] if act == "settle" else []))
    tried = []

    async def breaks(*_given: Any, **_named: Any) -> None:
        tried.append(prepares)
        raise UnexpectedError("connection reset")

    async with world.process(seed=7) as process:
        store = process.operations.services.store
        await store.get_bounty(BOUNTY_ID)
        monkeypatch.setattr(type(store), prepares, breaks)
        result: Any = await ACTS[act](process.operations)
    assert tried
    assert result.bounty.status == status
    assert not result.owed


class _WordlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it fails to say what it is")


async def test_an_error_that_fails_to_say_what_it_is_changes_no_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a claim that stands, whose lease cannot be looked at."""

    async def breaks(*_given: Any, **_named: Any) -> Any:
        raise _WordlessError

    world = await a_world()
    await _led_up_to(world, "first_create")
    async with world.process() as process:
        await process.operations.claim(BOUNTY_ID, BOB, idempotency_key="k-claim")
        monkeypatch.setattr(process.operations.services.claims, "get", breaks)
        with pytest.raises(PostCommitError, match="_WordlessError") as caught:
            await process.operations.claim(BOUNTY_ID, BOB, idempotency_key="k-claim")
    assert caught.value.pending == ("renew_lease",)
