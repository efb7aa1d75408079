"""What is said of a call whose id an earlier one has left in doubt."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from nexus_bounty.calls_in_doubt import CallsInDoubt
from nexus_bounty.outcomes import (
    CommitUnknownError,
    Evidence,
    IdempotencyMismatchError,
    InsufficientCreditsError,
    OutcomeError,
    PaymentError,
    Proof,
)


def unseeing(proof: Proof = Proof.NEVER_SENT) -> PaymentError:
    refusal = PaymentError("could not connect", evidence=Evidence(proof=proof))
    return refusal.about("transfer", None, "x")


def ended(calls: CallsInDoubt, error: BaseException | None, call: str = "x") -> BaseException:
    """What a call is told that ends in `error`."""
    try:
        with calls.about(call):
            _ends_in(error)
    except BaseException as told:  # noqa: BLE001 - cancellations, too
        return told
    return AssertionError("it was told that it succeeded")


def _ends_in(error: BaseException | None) -> None:
    if error is not None:
        raise error


DOUBTS = [CommitUnknownError("lost"), asyncio.CancelledError(), RuntimeError("a driver's")]


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: type(doubt).__name__)
@pytest.mark.parametrize("proof", [Proof.NEVER_SENT, Proof.REFUSED, Proof.NONE])
def test_a_refusal_that_has_not_looked_leaves_the_doubt(doubt: BaseException, proof: Proof) -> None:
    """However often it is asked, of that call alone; what it says is told."""
    calls = CallsInDoubt()
    ended(calls, doubt)
    for _ in range(2):
        told = ended(calls, unseeing(proof))
        assert isinstance(told, CommitUnknownError)
        assert "could not connect" in told.message
        assert "ask again with the same id" in told.message
        assert (told.operation, told.idempotency_key) == ("transfer", "x")
        assert told.evidence.proof is Proof.NONE
    assert isinstance(ended(calls, unseeing(), "y"), PaymentError)


def test_a_success_ends_the_doubt() -> None:
    calls = CallsInDoubt()
    ended(calls, CommitUnknownError("lost"))
    ended(calls, None)
    assert isinstance(ended(calls, unseeing()), PaymentError)


@pytest.mark.parametrize(
    "refusal",
    [
        unseeing(Proof.DOCUMENT),
        InsufficientCreditsError("too little", available=0, required=1),
        IdempotencyMismatchError("it stands for another"),
    ],
    ids=lambda refusal: type(refusal).__name__,
)
def test_what_was_looked_for_is_told_and_may_have_been_another_wish(refusal: OutcomeError) -> None:
    """So it says nothing of the call in doubt to whoever asks for that again."""
    calls = CallsInDoubt()
    ended(calls, CommitUnknownError("lost"))
    assert ended(calls, refusal) is refusal
    assert isinstance(ended(calls, unseeing()), CommitUnknownError)


def test_a_call_that_has_not_ended_is_in_doubt_and_so_is_one_that_has_succeeded_beside_it() -> None:
    """Nobody may compensate for either."""
    calls = CallsInDoubt()
    with calls.about("x"):
        assert isinstance(ended(calls, unseeing()), CommitUnknownError)
    assert isinstance(ended(calls, unseeing()), PaymentError)
    slow = calls.about("x")
    slow.__enter__()
    ended(calls, None)
    with pytest.raises(CommitUnknownError):
        slow.__exit__(PaymentError, unseeing(), None)


def test_once_one_is_forgotten_nothing_is_ruled_out_any_more() -> None:
    """No id: each may have been that one."""
    calls = CallsInDoubt(most=2)
    for call in ("a", "b", "b", "a"):
        ended(calls, CommitUnknownError("lost"), call)
    assert isinstance(ended(calls, unseeing(), "never seen"), PaymentError)
    ended(calls, CommitUnknownError("lost"), "c")
    assert isinstance(ended(calls, unseeing(), "never seen"), CommitUnknownError)


def test_threads_that_share_it_lose_no_doubt_and_leave_none_behind() -> None:
    """A ledger serves any number of event loops, each in a thread of its own."""
    calls, before = CallsInDoubt(), sys.getswitchinterval()

    def busy(number: int) -> None:
        for _ in range(300):
            ended(calls, None if number % 2 else unseeing(Proof.DOCUMENT))

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(busy, range(4)))
    finally:
        sys.setswitchinterval(before)
    ended(calls, None)
    assert isinstance(ended(calls, unseeing()), PaymentError)
