"""What is said while it is not known what became of a request, and how that is found out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.outcomes import (
    CommitUnknownError,
    IdempotencyMismatchError,
    InsufficientCreditsError,
    PaymentError,
    PreCommitError,
    Proof,
)
from nexus_bounty.testing.clock import ManualClock
from nexus_bounty.testing.virtual_time import run
from nexus_bounty_nexuspay import NexusPayCredits
from tests.adapters.nexuspay.truth import HURRIED, PATIENT, Truth, credits_on

TRANSFER = RequestMatch("POST /api/v2/pay/transfer")
DEAD = Fault(FaultKind.REFUSE, times=None)
SILENT = Fault(FaultKind.TIMEOUT_BEFORE, times=None)
LATE = Fault(FaultKind.LATE, match=TRANSFER, after_requests=1000)


@asynccontextmanager
async def funded(
    settings=HURRIED, *, release: str = "0.9"
) -> AsyncIterator[tuple[MockNexus, NexusPayCredits]]:
    """A ledger in which alice has 100."""
    mock = MockNexus(release)
    async with credits_on(mock, settings) as service:
        await service.top_up("funds", account="alice", amount=100)
        yield mock, service


async def reserve(service: NexusPayCredits, amount: int = 10) -> None:
    await service.reserve("r", account="alice", amount=amount)


def test_a_request_that_nobody_answers_is_unknown_and_found_out_by_asking_again() -> None:
    """The first one arrives after all, later still than the answer, and changes nothing."""

    async def main() -> None:
        async with funded() as (mock, service):
            mock.inject(LATE)
            with pytest.raises(CommitUnknownError) as unknown:
                await reserve(service)
            assert unknown.value.idempotency_key == "r"
            assert [str(seen) for seen in unknown.value.evidence.observations]
            await reserve(service)
            await mock.settle()
            assert Truth(mock).count("reserve", "r") == 1
            assert (await service.balance("alice")).reserved == 10

    run(main())


def test_a_straggler_that_arrives_before_the_repeat_is_what_the_repeat_finds() -> None:
    """It was committed all along."""

    async def main() -> None:
        async with funded() as (mock, service):
            mock.inject(LATE)
            with pytest.raises(CommitUnknownError):
                await reserve(service)
            await mock.settle()
            sent = len(mock.core.pay.transfers)
            await reserve(service)
            assert len(mock.core.pay.transfers) == sent

    run(main())


def test_a_refusal_after_doubt_is_given_only_once_the_straggler_is_fenced_off() -> None:
    """Otherwise the straggler could still do what was just refused."""
    clock = ManualClock()

    async def main() -> None:
        mock = MockNexus("0.9")
        async with credits_on(mock, HURRIED, clock=clock) as service:
            await service.top_up("funds", account="alice", amount=100)
            expires_at = clock.now + timedelta(hours=1)
            mock.inject(LATE)
            with pytest.raises(CommitUnknownError):
                await service.reserve("r", account="alice", amount=9, expires_at=expires_at)
            clock.advance(timedelta(hours=2))
            with pytest.raises(PreCommitError, match="must lie in the future"):
                await service.reserve("r", account="alice", amount=9, expires_at=expires_at)
            await mock.settle()
            assert Truth(mock).count("reserve", "r") == 0
            assert await service.get_reservation("r") is None

    run(main())


def test_credits_without_answer_are_fenced_off_and_not_sent_again() -> None:
    """They count for nobody when they arrive, and the next top-up uses them."""

    async def main() -> None:
        async with funded(PATIENT) as (mock, service):
            mock.inject(LATE)
            with pytest.raises(PreCommitError) as fenced:
                await service.top_up("t", account="bob", amount=40)
            assert fenced.value.evidence.proof is Proof.FENCED
            assert "next top-up" in str(fenced.value)
            assert not isinstance(fenced.value, PaymentError)  # which says that none moved
            sent = [each for each in mock.requests if each.params.get("amount") == "0.40"]
            assert len(sent) == 1
            await mock.settle()
            truth = Truth(mock)
            assert (truth.taken, truth.issued, truth.count("top_up", "t")) == (140, 100, 0)
            assert await service.unassigned() == 40

            await service.top_up("t", account="bob", amount=50)
            truth = Truth(mock)
            assert (truth.taken, truth.issued, truth.unassigned) == (150, 150, 0)

    run(main())


def test_deposits_of_others_are_used_by_the_next_top_up() -> None:
    """Paid to the ledger's own name, with any program."""

    async def main() -> None:
        async with funded() as (mock, service):
            body = {"to": "nexus-bounty:default", "amount": "0.30"}
            await service._api.transfer(body, service._deadline())
            assert await service.unassigned() == 30
            await service.top_up("t", account="bob", amount=20)
            assert Truth(mock).taken == 130
            assert await service.unassigned() == 10
            assert (await service.verify()).ok

    run(main())


def test_nothing_is_called_unsent_on_a_dead_network_that_was_tried_before() -> None:
    """Neither what is unknown nor what has happened; what was never tried is."""

    async def main() -> None:
        async with funded() as (mock, service):
            await service.transfer("done", from_account="alice", to_account="bob", amount=1)
            mock.inject(LATE)
            with pytest.raises(CommitUnknownError):
                await reserve(service)
            mock.inject(DEAD)
            with pytest.raises(CommitUnknownError, match="tried before"):
                await reserve(service)
            with pytest.raises(CommitUnknownError, match="tried before"):
                await service.transfer("done", from_account="alice", to_account="bob", amount=1)
            with pytest.raises(PaymentError) as unsent:
                await service.reserve("new", account="alice", amount=10)
            assert unsent.value.evidence.proof is Proof.NEVER_SENT

    run(main())


def test_a_refused_repeat_does_not_make_what_happened_look_untried() -> None:
    """With other parameters it is another question."""

    async def main() -> None:
        async with funded() as (mock, service):
            await reserve(service)
            await service.capture("r", to_account="bob")
            with pytest.raises(IdempotencyMismatchError):
                await reserve(service, 11)
            with pytest.raises(PaymentError):
                await service.capture("r", to_account="carol")
            mock.inject(DEAD)
            with pytest.raises(CommitUnknownError):
                await reserve(service)
            with pytest.raises(CommitUnknownError):
                await service.capture("r", to_account="bob")

    run(main())


def test_a_caller_who_waits_for_a_call_of_the_same_key_knows_that_it_was_tried() -> None:
    """Its own request never leaves, which proves nothing about the other's."""

    async def main() -> None:
        async with funded() as (mock, service):
            mock.inject(LATE)
            first = asyncio.create_task(reserve(service))
            await asyncio.sleep(1)
            second = asyncio.create_task(reserve(service))
            await asyncio.sleep(1)
            mock.inject(SILENT)
            results = await asyncio.gather(first, second, return_exceptions=True)
            assert [type(each) for each in results] == [CommitUnknownError] * 2

    run(main())


def test_a_cancelled_call_may_have_happened_and_its_key_says() -> None:
    """At whichever request it is cancelled."""

    async def cancelled_at(nth: int) -> bool:
        async with funded() as (mock, service):
            mock.inject(
                Fault(FaultKind.TIMEOUT_AFTER, at=mock.requests[-1].number + nth, times=None)
            )
            call = asyncio.create_task(reserve(service))
            await asyncio.sleep(1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            mock.clear_faults()
            happened = Truth(mock).count("reserve", "r") == 1
            await reserve(service)
            assert Truth(mock).count("reserve", "r") == 1
            return happened

    assert [run(cancelled_at(nth)) for nth in (1, 2, 3)] == [False, True, True]


def test_an_expiry_that_could_not_be_written_down_leaves_a_read_unknown() -> None:
    """What is read must not turn out otherwise when the clock goes back."""
    clock = ManualClock()

    async def main() -> None:
        mock = MockNexus("0.9")
        async with credits_on(mock, HURRIED, clock=clock) as service:
            await service.top_up("funds", account="alice", amount=100)
            at = clock.now + timedelta(hours=1)
            await service.reserve("r", account="alice", amount=9, expires_at=at)
            clock.advance(timedelta(hours=1))
            mock.inject(Fault(FaultKind.DROP_BEFORE, match=TRANSFER, times=None))
            with pytest.raises(CommitUnknownError):
                await service.balance("alice")
            mock.clear_faults()
            assert (await service.balance("alice")).available == 100

    run(main())


def test_a_repeat_that_finds_its_work_done_while_something_expires_stays_tried() -> None:
    """The expiry is what could not be sent; the operation itself had happened."""
    clock = ManualClock()

    async def main() -> None:
        mock = MockNexus("0.9")
        async with credits_on(mock, HURRIED, clock=clock) as service:
            await service.top_up("funds", account="alice", amount=100)
            at = clock.now + timedelta(hours=1)
            await service.reserve("other", account="alice", amount=9, expires_at=at)
            await reserve(service)
            clock.advance(timedelta(hours=1))
            mock.inject(Fault(FaultKind.REFUSE, match=TRANSFER, times=None))
            for _ in range(2):
                with pytest.raises(CommitUnknownError):
                    await reserve(service)

    run(main())


def test_a_writer_that_is_overtaken_tries_again_on_what_the_others_left(monkeypatch) -> None:
    """Each try is displaced for good before the next is made."""

    async def main() -> None:
        async with funded() as (mock, service), credits_on(mock, PATIENT) as faster:
            transport, overtaken = service._api.transfer, 0

            async def send(body, deadline):
                nonlocal overtaken
                if overtaken < 3:
                    overtaken += 1
                    name = f"x{overtaken}"
                    await faster.transfer(name, from_account="alice", to_account="bob", amount=30)
                await transport(body, deadline)

            monkeypatch.setattr(service._api, "transfer", send)
            with pytest.raises(InsufficientCreditsError) as refused:
                await reserve(service, 40)
            assert (overtaken, refused.value.available) == (3, 10)
            await mock.settle()
            assert Truth(mock).balances["alice"] == 10

    run(main())


def test_a_shortage_is_no_obstacle_to_finding_out_about_an_earlier_try() -> None:
    """The straggler is fenced off before the refusal."""

    async def main() -> None:
        async with funded() as (mock, service):
            mock.inject(LATE)
            with pytest.raises(CommitUnknownError):
                await service.top_up("t", account="bob", amount=999_900)
            await service._api.transfer({"to": "bob", "amount": "1.00"}, service._deadline())
            with pytest.raises(InsufficientCreditsError):
                await service.top_up("t", account="bob", amount=999_900)
            await mock.settle()
            assert Truth(mock).count("top_up", "t") == 0
            assert await service.unassigned() == 999_900

    run(main())


def test_what_another_process_was_found_to_have_done_is_never_called_unsent() -> None:
    """Once this one has seen it."""

    async def main() -> None:
        async with funded() as (mock, service), credits_on(mock, HURRIED) as another:
            await reserve(another)
            await reserve(service)
            mock.inject(DEAD)
            with pytest.raises(CommitUnknownError, match="tried before"):
                await reserve(service)

    run(main())


def test_credits_that_were_taken_back_behind_the_ledgers_back_are_found_by_a_recount() -> None:
    """0.9 transfers negative amounts without complaint; a top-up does not make up for it."""

    async def main() -> None:
        async with funded() as (mock, service):
            body = {"to": "nexus-bounty:default", "amount": "-0.10"}
            await service._api.transfer(body, service._deadline())
            audit = await service.verify()
            assert audit.problems == ("10 more were issued than NexusPay has received",)
            await service.top_up("t", account="bob", amount=5)
            assert Truth(mock).taken == 95

    run(main())
