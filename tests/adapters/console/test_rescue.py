"""Credits that no rule frees are freed by somebody who may, who says where to and why."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from nexus_bounty import CommitUnknownError, Reservation
from nexus_bounty.ports import reference_of
from nexus_bounty_console.access import Access, Person, Role
from tests.adapters.console.stage import Browser, Stage

OF_NOBODY = "/reservation?id=stray"
FORM = {"id": "stray", "to": "back", "payee": "", "because": "its file was deleted", "amount": "7"}
OTTO = "a-long-token-of-ottos"


@pytest.fixture
async def stray(stage: Stage) -> Reservation:
    """What is held for a bounty that nobody finds."""
    await stage.stranded()
    held = await stage.credits.get_reservation("stray")
    assert held is not None
    return held


async def test_what_the_reconciler_leaves_to_people_leads_to_its_rescue(
    stage: Stage, browser: Browser, stray: Reservation
) -> None:
    await browser.send("/reconcile/dry-run", on="/reconcile")
    assert f'href="{OF_NOBODY}"' in await browser.source("/reconcile")
    assert f'href="{OF_NOBODY}"' in await browser.source("/money?account=alice")
    seen = await browser.see(OF_NOBODY)
    assert "7 credits of alice Held in escrow: it is held for bounty 'gone'" in seen
    answer = await browser.send("/reservation", FORM, on=OF_NOBODY)
    assert answer.headers["location"] == OF_NOBODY
    assert await stage.has("alice") == (10_000, 0)
    seen = await browser.see(OF_NOBODY)
    assert "Not in escrow any more: its credits went back to alice ." in seen
    assert "its file was deleted (whoever is at this machine)" in seen
    assert "Free the credits" not in seen


async def test_they_can_be_paid_to_somebody_else_and_it_is_known_who_did_it(
    stage: Stage, stray: Reservation, caplog: pytest.LogCaptureFixture
) -> None:
    access = Access({"otto": Person(token=OTTO, role=Role.OPERATE)})
    async with stage.browser(access) as browser:
        await browser.send("/login", {"token": OTTO}, on="/login")
        with caplog.at_level(logging.WARNING):
            pay = FORM | {"to": "pay", "payee": "bob"}
            await browser.send("/reservation", pay, on=OF_NOBODY)
        assert await stage.has("bob") == (7, 0)
        assert "paid to bob" in await browser.see(OF_NOBODY)
        assert "its file was deleted (otto)" in await browser.see(OF_NOBODY)
    assert "stray is freed and goes to bob, for otto: its file was deleted" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"because": " "}, "because"),
        ({"amount": "8"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"to": ""}, "whose they are"),
        ({"to": "pay"}, "whose they are"),
        ({"payee": "bob"}, "whose they are"),
        ({"to": "pay", "payee": "system:mint"}, "to_account"),
        ({"id": "another"}, "none of that name"),
        ({"id": ""}, "reservation_id"),
    ],
    ids=str,
)
async def test_who_does_not_say_what_and_why_frees_nothing(
    stage: Stage, browser: Browser, stray: Reservation, wrong: dict[str, str], said: str
) -> None:
    answer = await browser.send("/reservation", FORM | wrong, on=OF_NOBODY, status=400)
    assert said.casefold() in answer.text.casefold()
    assert "None moved by this" in answer.text
    assert await stage.has("alice") == (9_993, 7)


async def test_what_a_rule_frees_is_left_to_the_rule(stage: Stage, browser: Browser) -> None:
    """A bounty that needs it, another zone, no bounty at all, and one that is young."""
    mine = (await stage.posted("b-1")).reservation_id or ""
    other = reference_of("elsewhere", "b-1")
    await stage.credits.reserve("theirs", account="alice", amount=1, reference=other)
    await stage.credits.reserve("own", account="alice", amount=1)
    stage.clock.forward(hours=1)
    young = reference_of("default", "gone")
    await stage.credits.reserve("young", account="alice", amount=1, reference=young)
    for reservation_id, amount, why in (
        (mine, 100, "its bounty needs it"),
        ("theirs", 1, "belongs to the zone elsewhere"),
        ("own", 1, "is for no bounty"),
        ("young", 1, "may still be under way"),
    ):
        seen = await browser.see(f"/reservation?id={reservation_id}")
        assert why in seen
        assert "Free the credits" not in seen
        form = FORM | {"id": reservation_id, "amount": str(amount)}
        answer = await browser.send("/reservation", form, on="/reconcile", status=400)
        assert why in answer.text
    assert (await stage.has("alice"))[1] == 103


async def test_what_the_reconciler_can_repair_is_left_to_it(stage: Stage, browser: Browser) -> None:
    """A cancel that died before it gave the credits back."""
    posted = await stage.posted("b-1")
    await stage.in_doubt("void of cancel", stage.operations.cancel("b-1"))
    stage.clock.forward(hours=1)
    seen = await browser.see(f"/reservation?id={posted.reservation_id}")
    assert "the reconciler repairs that" in seen
    assert "Free the credits" not in seen


async def test_a_rescue_that_loses_its_answer_frees_once(
    stage: Stage, browser: Browser, stray: Reservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a ledger that is reached over a network loses one."""
    rescue = stage.credits.rescue

    async def lost(*given: Any, **named: Any) -> None:
        await rescue(*given, **named)
        raise CommitUnknownError("the ledger did not answer")

    monkeypatch.setattr(stage.credits, "rescue", lost)
    answer = await browser.send("/reservation", FORM, on=OF_NOBODY, status=409)
    assert "It is not known yet" in answer.text
    assert "went back to alice" in await browser.see(OF_NOBODY)
    answer = await browser.send("/reservation", FORM, on="/reconcile", status=400)
    assert "went back to alice" in answer.text
    assert await stage.has("alice") == (10_000, 0)


async def test_who_may_only_look_sees_it_and_cannot_free_it(
    stage: Stage, stray: Reservation
) -> None:
    async with stage.browser(Access(role=Role.READ)) as browser:
        seen = await browser.see(OF_NOBODY)
        assert "Somebody who may operate can free them." in seen
        await browser.send("/reservation", FORM, on="/reconcile", status=403)
    assert await stage.has("alice") == (9_993, 7)


async def test_a_reservation_that_there_is_not_is_said_so(browser: Browser) -> None:
    assert "There is no reservation none" in await browser.see("/reservation?id=none", 404)
