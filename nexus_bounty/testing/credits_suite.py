"""What every `CreditsService` must do."""
# ruff: noqa: S101, A002 - tests assert; nobody misses the builtin `credits`; a fixture to
# override names what it may use

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from nexus_bounty.ledger import TREASURY
from nexus_bounty.outcomes import (
    IdempotencyMismatchError,
    InsufficientCreditsError,
    InvalidInputError,
    Outcome,
    PaymentError,
    PreCommitError,
)
from nexus_bounty.partition import Partition
from nexus_bounty.ports import (
    Balance,
    CreditsService,
    Reservation,
    ReservationStatus,
    reference_of,
)
from nexus_bounty.testing.binding_suite import CreditsBindingContract
from nexus_bounty.testing.clock import ManualClock

HOUR = timedelta(hours=1)
NOT_AMOUNTS: tuple[Any, ...] = (0, -1, True, 1.0, "1", None, 2**53)


class CreditsServiceContract(CreditsBindingContract):
    """Override the fixture `credits`; override `fund` where clients may not top up."""

    async def test_a_reservation_with_a_timeout_is_the_same_when_it_is_asked_for_again_later(
        self, credits: CreditsService, clock: ManualClock
    ) -> None:
        """It ends so long after it was made; another timeout, or both ways, is another wish."""
        await self.fund(credits, "alice", 100)
        wish: dict[str, Any] = {"account": "alice", "amount": 30, "reference": "b-1"}
        made = await credits.reserve("r-1", timeout=HOUR, **wish)
        assert made.expires_at == clock.now + HOUR
        clock.advance(HOUR / 2)
        assert await credits.reserve("r-1", timeout=HOUR, **wish) == made
        assert await credits.reserve("r-1", expires_at=made.expires_at, **wish) == made
        with pytest.raises(IdempotencyMismatchError):
            await credits.reserve("r-1", timeout=2 * HOUR, **wish)
        with pytest.raises(InvalidInputError):
            await credits.reserve("r-2", timeout=HOUR, expires_at=clock.now + HOUR, **wish)
        clock.advance(HOUR)
        assert await self.has(credits, "alice") == (100, 0)
        again = await credits.reserve("r-1", timeout=HOUR, **wish)
        assert again.status is ReservationStatus.EXPIRED

    async def test_rewards_can_be_paid_from_the_treasury_of_the_peer(
        self, credits: CreditsService
    ) -> None:
        """It is filled and spent like any account; the same reward is paid once."""
        await self.fund(credits, TREASURY, 100)
        reward = "reward:reward:frontier_advance:frontier:alice:cid-1"  # as it names its transfers
        for _ in range(2):
            await credits.transfer(reward, from_account=TREASURY, to_account="alice", amount=30)
        assert await self.has(credits, TREASURY) == (70, 0)
        assert await self.has(credits, "alice") == (30, 0)
        with pytest.raises(InsufficientCreditsError):
            await credits.transfer("t-2", from_account=TREASURY, to_account="alice", amount=71)

    async def test_it_is_a_credits_service(self, credits: CreditsService) -> None:
        """The service has every method of the protocol."""
        assert isinstance(credits, CreditsService)

    async def test_an_account_never_heard_of_has_nothing(self, credits: CreditsService) -> None:
        """Asking for an unknown balance is not an error."""
        balance = await credits.balance("nobody")
        assert balance == Balance(account="nobody", available=0, reserved=0)

    async def test_a_top_up_brings_new_credits(self, credits: CreditsService) -> None:
        """A top-up adds to the account and to the total."""
        await self.fund(credits, "alice", 100)
        assert await self.has(credits, "alice") == (100, 0)
        assert await self.total(credits) == 100

    async def test_a_top_up_repeated_adds_nothing(self, credits: CreditsService) -> None:
        """The same id again brings no more credits."""
        await self.fund(credits, "alice", 100)
        await self.fund(credits, "alice", 100)
        assert await self.has(credits, "alice") == (100, 0)

    async def test_a_top_up_repeated_with_another_amount_is_refused(
        self, credits: CreditsService
    ) -> None:
        """An id stands for one amount."""
        await self.fund(credits, "alice", 100)
        with pytest.raises(IdempotencyMismatchError):
            await self.fund(credits, "alice", 101)
        assert await self.has(credits, "alice") == (100, 0)

    async def test_a_reservation_sets_credits_aside(self, credits: CreditsService) -> None:
        """Reserved credits are no longer free and still the account's."""
        await self.fund(credits, "alice", 100)
        made = await credits.reserve("r", account="alice", amount=30, reference="bounty-1")
        assert (made.status, made.amount, made.reference) == ("held", 30, "bounty-1")
        assert await self.has(credits, "alice") == (70, 30)

    async def test_a_reservation_can_be_looked_up(self, credits: CreditsService) -> None:
        """What `reserve` returned is what is found by its id."""
        await self.fund(credits, "alice", 100)
        made = await credits.reserve("r", account="alice", amount=30, reference="bounty-1")
        assert await credits.get_reservation("r") == made
        assert await credits.get_reservation("other") is None

    async def test_reserving_again_with_the_same_id_is_a_no_op(
        self, credits: CreditsService
    ) -> None:
        """The same id and parameters return the same reservation and hold no more."""
        await self.fund(credits, "alice", 100)
        first = await credits.reserve("r", account="alice", amount=60)
        assert await credits.reserve("r", account="alice", amount=60) == first
        assert await self.has(credits, "alice") == (40, 60)

    async def test_reserving_again_after_capture_returns_what_became_of_it(
        self, credits: CreditsService
    ) -> None:
        """A late repeat of `reserve` holds nothing a second time."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=60)
        captured = await credits.capture("r", to_account="bob")
        assert await credits.reserve("r", account="alice", amount=60) == captured
        assert await self.has(credits, "alice") == (40, 0)

    @pytest.mark.parametrize(
        "other",
        [
            {"account": "bob"},
            {"amount": 11},
            {"reference": "bounty-2"},
            {"expires_at": ManualClock().now + HOUR},
        ],
        ids=lambda other: next(iter(other)),
    )
    async def test_a_reservation_id_with_other_parameters_is_refused(
        self, credits: CreditsService, other: dict[str, Any]
    ) -> None:
        """An id stands for one account, amount, reference and expiry."""
        await self.fund(credits, "alice", 100)
        await self.fund(credits, "bob", 100)
        asked: dict[str, Any] = {"account": "alice", "amount": 10, "reference": "bounty-1"}
        made = await credits.reserve("r", **asked)
        with pytest.raises(IdempotencyMismatchError):
            await credits.reserve("r", **(asked | other))
        assert await credits.get_reservation("r") == made
        assert await self.has(credits, "alice") == (90, 10)

    async def test_an_account_cannot_reserve_more_than_it_has(
        self, credits: CreditsService
    ) -> None:
        """The refusal says what there is and what was asked, and leaves no trace."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r1", account="alice", amount=60)
        with pytest.raises(InsufficientCreditsError) as refusal:
            await credits.reserve("r2", account="alice", amount=41)
        assert (refusal.value.available, refusal.value.required) == (40, 41)
        assert refusal.value.outcome is Outcome.PRE_COMMIT
        assert await credits.get_reservation("r2") is None
        assert await self.has(credits, "alice") == (40, 60)

    async def test_an_id_refused_for_lack_of_credits_may_be_used_later(
        self, credits: CreditsService
    ) -> None:
        """A refusal is not remembered against the id."""
        with pytest.raises(InsufficientCreditsError):
            await credits.reserve("r", account="alice", amount=10)
        await self.fund(credits, "alice", 10)
        assert (await credits.reserve("r", account="alice", amount=10)).status == "held"

    @pytest.mark.parametrize("amount", NOT_AMOUNTS, ids=repr)
    async def test_what_is_no_amount_is_refused(self, credits: CreditsService, amount: Any) -> None:
        """Only an `int` from 1 to 2**53 - 1 is an amount; nothing is written otherwise."""
        await self.fund(credits, "alice", 100)
        with pytest.raises(InvalidInputError):
            await credits.reserve("r", account="alice", amount=amount)
        with pytest.raises(InvalidInputError):
            await credits.transfer("t", from_account="alice", to_account="bob", amount=amount)
        with pytest.raises(InvalidInputError):
            await credits.top_up("t", account="alice", amount=amount)
        assert await credits.get_reservation("r") is None
        assert await self.has(credits, "alice") == (100, 0)

    @pytest.mark.parametrize("name", ["", None, 7, "new\nline", "\ud800"], ids=repr)
    async def test_what_is_no_name_is_refused(self, credits: CreditsService, name: Any) -> None:
        """Ids and accounts are printable text."""
        await self.fund(credits, "alice", 100)
        with pytest.raises(InvalidInputError):
            await credits.reserve(name, account="alice", amount=1)
        with pytest.raises(InvalidInputError):
            await credits.reserve("r", account=name, amount=1)
        with pytest.raises(InvalidInputError):
            await credits.transfer("t", from_account="alice", to_account=name, amount=1)
        assert await self.has(credits, "alice") == (100, 0)

    async def test_a_capture_pays_the_reserved_credits(self, credits: CreditsService) -> None:
        """Captured credits leave the payer's escrow and are the payee's to use."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30)
        captured = await credits.capture("r", to_account="bob")
        assert (captured.status, captured.captured_to) == ("captured", "bob")
        assert await self.has(credits, "alice") == (70, 0)
        assert await self.has(credits, "bob") == (30, 0)

    async def test_a_capture_repeated_pays_once(self, credits: CreditsService) -> None:
        """Capturing to the same account again is a no-op."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30)
        first = await credits.capture("r", to_account="bob")
        assert await credits.capture("r", to_account="bob") == first
        assert await self.has(credits, "bob") == (30, 0)

    async def test_a_captured_reservation_cannot_be_captured_to_another(
        self, credits: CreditsService
    ) -> None:
        """What one agent was paid is not paid to another."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30)
        await credits.capture("r", to_account="bob")
        with pytest.raises(PaymentError):
            await credits.capture("r", to_account="carol")
        assert await self.has(credits, "bob") == (30, 0)
        assert await self.has(credits, "carol") == (0, 0)

    async def test_a_reservation_may_be_captured_by_its_own_account(
        self, credits: CreditsService
    ) -> None:
        """Paying oneself frees the credits and changes no total."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30)
        captured = await credits.capture("r", to_account="alice")
        assert captured.status is ReservationStatus.CAPTURED
        assert await self.has(credits, "alice") == (100, 0)

    async def test_an_unknown_reservation_can_be_neither_captured_nor_voided(
        self, credits: CreditsService
    ) -> None:
        """There is nothing to pay or give back."""
        with pytest.raises(PaymentError):
            await credits.capture("r", to_account="bob")
        with pytest.raises(PaymentError):
            await credits.void("r")

    async def test_a_void_gives_the_credits_back(self, credits: CreditsService) -> None:
        """Voided credits are free again, however often they are voided."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30)
        first = await credits.void("r")
        assert first.status is ReservationStatus.VOIDED
        assert await credits.void("r") == first
        assert await self.has(credits, "alice") == (100, 0)

    async def test_a_voided_reservation_cannot_be_captured(self, credits: CreditsService) -> None:
        """What went back to the payer is not paid."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30)
        await credits.void("r")
        with pytest.raises(PaymentError):
            await credits.capture("r", to_account="bob")
        assert await self.has(credits, "bob") == (0, 0)

    async def test_a_captured_reservation_cannot_be_voided(self, credits: CreditsService) -> None:
        """What was paid does not go back."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30)
        await credits.capture("r", to_account="bob")
        with pytest.raises(PaymentError):
            await credits.void("r")
        assert await self.has(credits, "alice") == (70, 0)

    async def test_an_expired_reservation_returns_by_itself(
        self, credits: CreditsService, clock: ManualClock
    ) -> None:
        """From the moment of expiry on, the credits are free."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30, expires_at=clock.now + HOUR)
        clock.advance(HOUR - timedelta(microseconds=1))
        assert await self.has(credits, "alice") == (70, 30)
        clock.advance(timedelta(microseconds=1))
        assert await self.has(credits, "alice") == (100, 0)
        found = await credits.get_reservation("r")
        assert found is not None
        assert found.status is ReservationStatus.EXPIRED

    async def test_an_expired_reservation_cannot_be_captured(
        self, credits: CreditsService, clock: ManualClock
    ) -> None:
        """Nobody is paid from credits that went back."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30, expires_at=clock.now + HOUR)
        clock.advance(HOUR)
        with pytest.raises(PaymentError):
            await credits.capture("r", to_account="bob")
        assert await self.has(credits, "alice") == (100, 0)
        assert await self.has(credits, "bob") == (0, 0)

    async def test_voiding_an_expired_reservation_changes_nothing(
        self, credits: CreditsService, clock: ManualClock
    ) -> None:
        """The credits are back already, once."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30, expires_at=clock.now + HOUR)
        clock.advance(HOUR)
        assert (await credits.void("r")).status is ReservationStatus.EXPIRED
        assert await self.has(credits, "alice") == (100, 0)

    async def test_what_has_expired_stays_expired_when_the_clock_goes_back(
        self, credits: CreditsService, clock: ManualClock
    ) -> None:
        """An expiry that was seen is final."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30, expires_at=clock.now + HOUR)
        clock.advance(HOUR)
        assert await self.has(credits, "alice") == (100, 0)
        clock.advance(-HOUR)
        with pytest.raises(PaymentError):
            await credits.capture("r", to_account="bob")

    async def test_a_refused_capture_of_an_expired_reservation_is_final(
        self, credits: CreditsService, clock: ManualClock
    ) -> None:
        """A refusal for being too late stands, whatever the clock says later."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30, expires_at=clock.now + HOUR)
        clock.advance(HOUR)
        with pytest.raises(PaymentError):
            await credits.capture("r", to_account="bob")
        clock.advance(-HOUR)
        with pytest.raises(PaymentError):
            await credits.capture("r", to_account="bob")

    async def test_a_captured_reservation_does_not_expire(
        self, credits: CreditsService, clock: ManualClock
    ) -> None:
        """Expiry is for held reservations only."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=30, expires_at=clock.now + HOUR)
        await credits.capture("r", to_account="bob")
        clock.advance(2 * HOUR)
        assert await self.has(credits, "alice") == (70, 0)
        assert await self.has(credits, "bob") == (30, 0)

    async def test_expired_credits_can_be_reserved_again(
        self, credits: CreditsService, clock: ManualClock
    ) -> None:
        """Credits that came back are there for the next reservation."""
        await self.fund(credits, "alice", 30)
        await credits.reserve("r1", account="alice", amount=30, expires_at=clock.now + HOUR)
        clock.advance(HOUR)
        await credits.reserve("r2", account="alice", amount=30)
        assert await self.has(credits, "alice") == (0, 30)

    async def test_a_reservation_cannot_begin_expired(
        self, credits: CreditsService, clock: ManualClock
    ) -> None:
        """An expiry that has passed, or without timezone, is refused before anything is held."""
        await self.fund(credits, "alice", 100)
        naive = datetime(2999, 1, 1)
        for expires_at in (clock.now, naive):
            with pytest.raises(PreCommitError):
                await credits.reserve("r", account="alice", amount=1, expires_at=expires_at)
        assert await credits.get_reservation("r") is None

    async def test_a_transfer_moves_free_credits(self, credits: CreditsService) -> None:
        """What one account loses the other gains."""
        await self.fund(credits, "alice", 100)
        made = await credits.transfer(
            "t", from_account="alice", to_account="bob", amount=25, memo="thanks"
        )
        assert (made.from_account, made.to_account) == ("alice", "bob")
        assert (made.amount, made.memo) == (25, "thanks")
        assert await self.has(credits, "alice") == (75, 0)
        assert await self.has(credits, "bob") == (25, 0)

    async def test_a_transfer_repeated_moves_once(self, credits: CreditsService) -> None:
        """The same id again is a no-op."""
        await self.fund(credits, "alice", 100)
        asked: dict[str, Any] = {"from_account": "alice", "to_account": "bob", "amount": 25}
        first = await credits.transfer("t", **asked)
        assert await credits.transfer("t", **asked) == first
        assert await self.has(credits, "bob") == (25, 0)

    @pytest.mark.parametrize(
        "other",
        [{"from_account": "carol"}, {"to_account": "carol"}, {"amount": 26}, {"memo": "other"}],
        ids=lambda other: next(iter(other)),
    )
    async def test_a_transfer_id_with_other_parameters_is_refused(
        self, credits: CreditsService, other: dict[str, Any]
    ) -> None:
        """An id stands for one movement."""
        await self.fund(credits, "alice", 100)
        await self.fund(credits, "carol", 100)
        asked: dict[str, Any] = {"from_account": "alice", "to_account": "bob", "amount": 25}
        await credits.transfer("t", **asked)
        with pytest.raises(IdempotencyMismatchError):
            await credits.transfer("t", **(asked | other))
        assert await self.has(credits, "alice") == (75, 0)
        assert await self.total(credits) == 200

    async def test_a_transfer_cannot_use_reserved_credits(self, credits: CreditsService) -> None:
        """Escrow is out of reach of its owner."""
        await self.fund(credits, "alice", 100)
        await credits.reserve("r", account="alice", amount=80)
        with pytest.raises(InsufficientCreditsError):
            await credits.transfer("t", from_account="alice", to_account="bob", amount=21)
        assert await self.has(credits, "alice") == (20, 80)

    async def test_a_transfer_to_oneself_is_refused(self, credits: CreditsService) -> None:
        """Two ends of a transfer are two accounts."""
        await self.fund(credits, "alice", 100)
        with pytest.raises(PreCommitError):
            await credits.transfer("t", from_account="alice", to_account="alice", amount=1)

    async def test_reservations_are_listed_oldest_first(self, credits: CreditsService) -> None:
        """The listing has every reservation, or those in one status."""
        await self.fund(credits, "alice", 100)
        for name in ("r1", "r2", "r3"):
            await credits.reserve(name, account="alice", amount=10)
        await credits.capture("r1", to_account="bob")
        await credits.void("r2")
        assert [item.reservation_id async for item in credits.reservations()] == ["r1", "r2", "r3"]
        held = credits.reservations(ReservationStatus.HELD)
        assert [item.reservation_id async for item in held] == ["r3"]
        voided = credits.reservations(ReservationStatus.VOIDED)
        assert [item.reservation_id async for item in voided] == ["r2"]

    async def test_reservations_are_listed_by_ranges_of_bounties(
        self, credits: CreditsService
    ) -> None:
        """Each is in the range of its bounty, whatever its zone."""
        await self.fund(credits, "alice", 100)
        references = [reference_of("z", "b-1"), reference_of("a/b", "b-2"), "b-3", ""]
        for number, reference in enumerate(references):
            await credits.reserve(f"r{number}", account="alice", amount=10, reference=reference)
        await credits.void("r0")
        listed = credits.reservations(bounties=Partition("b-1", "b-2"))
        assert [item.reservation_id async for item in listed] == ["r1"]
        listed = credits.reservations(ReservationStatus.HELD, bounties=Partition("b-1"))
        assert [item.reservation_id async for item in listed] == ["r1", "r2"]
        listed = credits.reservations(ReservationStatus.HELD, bounties=Partition("", "b-2"))
        assert [item.reservation_id async for item in listed] == ["r1"]

    async def test_a_long_listing_is_complete(self, credits: CreditsService) -> None:
        """No reservation is left out or told twice, however many there are."""
        await self.fund(credits, "alice", 1_000)
        names = [f"r{number:03}" for number in range(450)]
        for name in names:
            await credits.reserve(name, account="alice", amount=1)
        assert [item.reservation_id async for item in credits.reservations()] == names

    async def test_only_top_ups_change_the_total(
        self, credits: CreditsService, clock: ManualClock
    ) -> None:
        """Reserving, paying, voiding, expiring, transferring and refusals conserve credits."""
        await self.fund(credits, "alice", 100)
        for number in range(4):
            expires_at = clock.now + HOUR
            await credits.reserve(f"r{number}", account="alice", amount=20, expires_at=expires_at)
            assert await self.total(credits) == 100
        await credits.capture("r0", to_account="bob")
        await credits.void("r1")
        await credits.transfer("t", from_account="bob", to_account="carol", amount=5)
        with pytest.raises(InsufficientCreditsError):
            await credits.reserve("too-much", account="alice", amount=1_000)
        assert await self.total(credits) == 100
        clock.advance(HOUR)
        assert await self.total(credits) == 100
        assert await self.has(credits, "alice") == (80, 0)

    async def test_of_two_reserving_the_last_credits_one_wins(
        self, credits: CreditsService
    ) -> None:
        """Credits are never promised twice."""
        await self.fund(credits, "alice", 100)
        results = await asyncio.gather(
            *(credits.reserve(f"r{n}", account="alice", amount=100) for n in range(2)),
            return_exceptions=True,
        )
        won = [result for result in results if isinstance(result, Reservation)]
        lost = [result for result in results if isinstance(result, InsufficientCreditsError)]
        assert (len(won), len(lost)) == (1, 1)
        assert await self.has(credits, "alice") == (0, 100)

    async def test_of_a_capture_and_a_void_one_wins(self, credits: CreditsService) -> None:
        """A reservation ends once, however it is raced for."""
        await self.fund(credits, "alice", 100)
        for number in range(10):
            name = f"r{number}"
            await credits.reserve(name, account="alice", amount=10)
            results = await asyncio.gather(
                credits.capture(name, to_account="bob"), credits.void(name), return_exceptions=True
            )
            won = [result for result in results if isinstance(result, Reservation)]
            lost = [result for result in results if isinstance(result, PaymentError)]
            assert (len(won), len(lost)) == (1, 1)
            assert await credits.get_reservation(name) == won[0]
        assert await self.total(credits) == 100

    async def test_the_same_call_made_at_once_happens_once(self, credits: CreditsService) -> None:
        """Sixty-four callers with one id make one movement."""
        await self.fund(credits, "alice", 100)
        results = await asyncio.gather(
            *(credits.reserve("r", account="alice", amount=30) for _ in range(64))
        )
        assert results == [results[0]] * 64
        await asyncio.gather(*(credits.capture("r", to_account="bob") for _ in range(64)))
        assert await self.has(credits, "alice") == (70, 0)
        assert await self.has(credits, "bob") == (30, 0)
