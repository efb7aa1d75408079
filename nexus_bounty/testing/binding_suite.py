"""What every `CreditsService` must refuse: evidence that does not fit the reservation it names."""
# ruff: noqa: S101, A002, ARG002 - tests assert; nobody misses the builtin `credits`; a fixture to
# override names what it may use

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio

from nexus_bounty.outcomes import AssignedError, InvalidInputError, PaymentError
from nexus_bounty.ports import (
    Assignment,
    CreditsService,
    EscrowTerms,
    Reservation,
    ReservationStatus,
)
from nexus_bounty.testing.clock import ManualClock

TERMS: Final = EscrowTerms(account="alice", amount=30, reference="zone:z/bounty:b-1")
WRONG_TERMS: Final = (
    {"account": "bob"},
    {"amount": 29},
    {"reference": "zone:z/bounty:b-2"},
    {"reference": "zone:y/bounty:b-1"},
)
TO_BOB: Final = Assignment(payee="bob", work="cid-1", key="settle-1")


class CreditsBindingContract:
    """The part of `CreditsServiceContract` about what a reservation is bound to."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The clock that the service under test must go by."""
        return ManualClock()

    @pytest_asyncio.fixture
    async def credits(self, clock: ManualClock) -> AsyncIterator[CreditsService]:
        """An empty service that goes by `clock`."""
        raise NotImplementedError
        yield

    async def fund(self, credits: CreditsService, account: str, amount: int) -> None:
        """Give an account credits to begin with."""
        await credits.top_up(f"fund-{account}", account=account, amount=amount)

    async def total(self, credits: CreditsService) -> int:
        """All credits of the accounts that these tests use."""
        balances = [await credits.balance(name) for name in ("alice", "bob", "carol")]
        return sum(balance.available + balance.reserved for balance in balances)

    async def has(self, credits: CreditsService, account: str) -> tuple[int, int]:
        """What an account has, free and reserved."""
        balance = await credits.balance(account)
        return balance.available, balance.reserved

    async def held(self, credits: CreditsService, name: str = "r") -> Reservation:
        """Thirty credits of alice's, held for a bounty."""
        await self.fund(credits, "alice", 100)
        return await credits.reserve(
            name, account=TERMS.account, amount=TERMS.amount, reference=TERMS.reference
        )

    async def test_a_ledger_stays_the_same_one(self, credits: CreditsService) -> None:
        """Its identity is text, and does not change with what it holds."""
        before = await credits.identity()
        await self.held(credits)
        assert await credits.identity() == before != ""

    @pytest.mark.parametrize("wrong", WRONG_TERMS, ids=lambda wrong: next(iter(wrong)))
    async def test_what_is_held_for_something_else_is_not_touched(
        self, credits: CreditsService, wrong: dict[str, Any]
    ) -> None:
        """Neither paid, given back nor assigned to whoever names other terms."""
        made = await self.held(credits)
        other = msgspec.structs.replace(TERMS, **wrong)
        with pytest.raises(PaymentError):
            await credits.capture("r", to_account="bob", held_for=other)
        with pytest.raises(PaymentError):
            await credits.void("r", held_for=other)
        with pytest.raises(PaymentError):
            await credits.assign("r", TO_BOB, held_for=other)
        assert await credits.get_reservation("r") == made

    async def test_who_names_the_terms_is_served(self, credits: CreditsService) -> None:
        """And a repeat is a no-op."""
        await self.held(credits)
        assigned = await credits.assign("r", TO_BOB, held_for=TERMS)
        assert assigned.assignment == TO_BOB
        assert await credits.assign("r", TO_BOB, held_for=TERMS) == assigned
        assert await credits.get_reservation("r") == assigned
        for _ in range(2):
            paid = await credits.capture("r", to_account="bob", work="cid-1", held_for=TERMS)
            assert paid.status is ReservationStatus.CAPTURED
        assert await credits.assign("r", TO_BOB, held_for=TERMS) == paid
        assert await self.has(credits, "bob") == (30, 0)

    async def test_what_is_assigned_is_paid_to_nobody_else(self, credits: CreditsService) -> None:
        """For no other work, and is given back to nobody."""
        await self.held(credits)
        assigned = await credits.assign("r", TO_BOB)
        for to, work in (("carol", None), ("carol", "cid-1"), ("bob", "cid-2")):
            with pytest.raises(AssignedError) as refusal:
                await credits.capture("r", to_account=to, work=work)
            assert (refusal.value.payee, refusal.value.key) == ("bob", "settle-1")
        for despite in (None, "settle-2"):
            with pytest.raises(AssignedError):
                await credits.void("r", despite=despite)
        assert await credits.get_reservation("r") == assigned

    async def test_without_an_assignment_no_work_is_paid(self, credits: CreditsService) -> None:
        """A document alone does not say who is to be paid."""
        made = await self.held(credits)
        with pytest.raises(PaymentError):
            await credits.capture("r", to_account="bob", work="cid-1", held_for=TERMS)
        assert await credits.get_reservation("r") == made

    @pytest.mark.parametrize("change", [{"payee": "carol"}, {"work": "cid-2"}, {"key": "settle-2"}])
    async def test_another_assignment_takes_the_place_of_one_that_is_named(
        self, credits: CreditsService, change: dict[str, Any]
    ) -> None:
        """Whoever does not name it is told which one stands."""
        await self.held(credits)
        await credits.assign("r", TO_BOB)
        other = msgspec.structs.replace(TO_BOB, **change)
        for replacing in (None, "settle-0"):
            with pytest.raises(AssignedError) as refusal:
                await credits.assign("r", other, replacing=replacing)
            assert (refusal.value.payee, refusal.value.work) == (TO_BOB.payee, TO_BOB.work)
        taken = await credits.assign("r", other, replacing=TO_BOB.key)
        assert taken.assignment == other

    async def test_an_assignment_is_taken_back_by_its_key_alone(
        self, credits: CreditsService
    ) -> None:
        """Then the credits can be given back; another's key takes nothing back."""
        await self.held(credits)
        await credits.assign("r", TO_BOB)
        assert (await credits.unassign("r", "settle-2")).assignment == TO_BOB
        for _ in range(2):
            assert (await credits.unassign("r", TO_BOB.key)).assignment is None
        assert (await credits.void("r")).status is ReservationStatus.VOIDED
        with pytest.raises(PaymentError):
            await credits.assign("r", TO_BOB)

    async def test_an_assignment_is_voided_by_who_names_it(self, credits: CreditsService) -> None:
        """Because its settlement never will commit."""
        await self.held(credits)
        await credits.assign("r", TO_BOB)
        voided = await credits.void("r", held_for=TERMS, despite=TO_BOB.key)
        assert voided.status is ReservationStatus.VOIDED
        assert await self.has(credits, "alice") == (100, 0)

    async def test_what_is_paid_stays_assigned(self, credits: CreditsService) -> None:
        """So that its work is not paid a second time."""
        await self.held(credits)
        await credits.assign("r", TO_BOB)
        paid = await credits.capture("r", to_account="bob")
        assert (await credits.unassign("r", TO_BOB.key)) == paid
        with pytest.raises(PaymentError):
            await credits.capture("r", to_account="bob", work="cid-2")

    @pytest.mark.parametrize("ended", ["held", "captured"])
    async def test_one_work_is_paid_once(self, credits: CreditsService, ended: str) -> None:
        """Unless the caller says that it may be shared."""
        await self.held(credits)
        await credits.assign("r", TO_BOB)
        if ended == "captured":
            await credits.capture("r", to_account="bob")
        await credits.reserve("r2", account="alice", amount=1)
        again = msgspec.structs.replace(TO_BOB, key="settle-2")
        with pytest.raises(PaymentError):
            await credits.assign("r2", again)
        assert (await credits.assign("r2", again, shared_work=True)).assignment == again

    async def test_a_work_that_was_not_paid_can_be_paid_elsewhere(
        self, credits: CreditsService
    ) -> None:
        """Its first reservation was given back, or assigned anew."""
        await self.held(credits)
        for name in ("r2", "r3"):
            await credits.reserve(name, account="alice", amount=1)
        await credits.assign("r", TO_BOB)
        await credits.void("r", despite=TO_BOB.key)
        await credits.assign("r2", TO_BOB)
        await credits.assign("r2", msgspec.structs.replace(TO_BOB, work="x"), replacing=TO_BOB.key)
        assert (await credits.assign("r3", TO_BOB)).assignment == TO_BOB

    async def test_an_unknown_reservation_can_be_neither_assigned_nor_unassigned(
        self, credits: CreditsService
    ) -> None:
        """There is nothing to decide."""
        with pytest.raises(PaymentError):
            await credits.assign("r", TO_BOB)
        with pytest.raises(PaymentError):
            await credits.unassign("r", TO_BOB.key)

    @pytest.mark.parametrize("payee", ["", "system:mint", "new\nline"])
    async def test_no_account_of_the_ledgers_own_is_a_payee(
        self, credits: CreditsService, payee: str
    ) -> None:
        """Refused before anything is written."""
        made = await self.held(credits)
        with pytest.raises(InvalidInputError):
            await credits.assign("r", msgspec.structs.replace(TO_BOB, payee=payee))
        assert await credits.get_reservation("r") == made

    @pytest.mark.parametrize("to", [None, "carol"])
    async def test_an_operator_frees_what_no_rule_can(
        self, credits: CreditsService, to: str | None
    ) -> None:
        """Whatever it is assigned to; a repeat does nothing more, and another end is refused."""
        await self.held(credits)
        await credits.assign("r", TO_BOB)
        freed = await credits.rescue("r", to_account=to, because="its document is gone")
        assert freed.captured_to == to
        assert await credits.rescue("r", to_account=to, because="again") == freed
        assert await self.has(credits, "alice") == ((100, 0) if to is None else (70, 0))
        assert await self.has(credits, "bob") == (0, 0)
        with pytest.raises(PaymentError):
            await credits.rescue("r", to_account="bob", because="no")

    async def test_an_operator_says_why(self, credits: CreditsService) -> None:
        """Without a reason nothing is freed, and nothing that is not there."""
        made = await self.held(credits)
        with pytest.raises(InvalidInputError):
            await credits.rescue("r", to_account=None, because="")
        with pytest.raises(PaymentError):
            await credits.rescue("other", to_account=None, because="why not")
        assert await credits.get_reservation("r") == made

    async def test_of_two_settlements_at_once_one_is_recorded(
        self, credits: CreditsService
    ) -> None:
        """The other is told which."""
        await self.held(credits)
        others = [Assignment(payee=name, work=f"cid-{name}", key=name) for name in ("bob", "carol")]
        results = await asyncio.gather(
            *(credits.assign("r", each) for each in others), return_exceptions=True
        )
        won = [each for each in results if isinstance(each, Reservation)]
        lost = [each for each in results if isinstance(each, AssignedError)]
        assert (len(won), len(lost)) == (1, 1)
        assert won[0].assignment is not None
        assert lost[0].key == won[0].assignment.key
