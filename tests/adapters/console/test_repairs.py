"""What was left half-way is found, and repaired by somebody who may; the money is seen to move."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest

from nexus_bounty.models import BountyStatus
from nexus_bounty.operations.steps import OperationKind
from nexus_bounty.ports import ReservationStatus, reference_of
from nexus_bounty_console.access import Access, Role
from nexus_bounty_console.jobs import JobKind
from tests.adapters.console.stage import BOB, Browser, Stage

STUCK = {"sweep": "pending settlements", "subject": "b-1"}


async def status_of(stage: Stage, bounty_id: str) -> BountyStatus:
    bounty = await stage.operations.services.store.get_bounty(bounty_id)
    assert bounty is not None
    return bounty.status


async def test_a_stuck_settlement_is_found_by_a_dry_run_and_paid_by_a_repair(
    stage: Stage, browser: Browser
) -> None:
    await stage.stuck_settlement("b-1", amount=250)
    assert "pending settlement" in await browser.see("/bounties/b-1")
    await browser.send("/reconcile/dry-run", on="/reconcile")
    seen = await browser.see("/reconcile")
    assert "b-1" in seen
    assert "to repair; nothing was changed." in seen
    assert await stage.has("bob") == (0, 0)
    await browser.send("/reconcile/repair", STUCK, on="/reconcile")
    assert "paid 250 to bob and settled" in await browser.see("/reconcile")
    assert await stage.has("bob") == (250, 0)
    assert "250 paid to bob" in await browser.see("/bounties/b-1")


async def test_a_repair_of_one_thing_leaves_the_others_alone(
    stage: Stage, browser: Browser
) -> None:
    await stage.stuck_settlement("b-1")
    await stage.stuck_settlement("b-2")
    await browser.send("/reconcile/repair", STUCK, on="/reconcile")
    assert await status_of(stage, "b-1") is BountyStatus.SETTLED
    assert await status_of(stage, "b-2") is BountyStatus.PENDING_SETTLEMENT
    await browser.send("/reconcile/dry-run", on="/reconcile")
    await browser.send("/reconcile/repair", on="/reconcile")
    assert await status_of(stage, "b-2") is BountyStatus.SETTLED


@pytest.mark.parametrize(
    ("step", "kind"), [("capture", "answer lost"), ("commit of settle", "answer lost")]
)
async def test_a_repair_whose_answers_are_lost_pays_once(
    stage: Stage, browser: Browser, step: str, kind: str
) -> None:
    """The payment, or the commit that follows it, has happened when its answer is lost."""
    await stage.stuck_settlement("b-1", amount=250)
    stage.fail(step, kind)
    for _ in range(2):
        await browser.send("/reconcile/repair", STUCK, on="/reconcile")
    assert stage.faults.missed == []
    assert await stage.has("bob") == (250, 0)
    assert await status_of(stage, "b-1") is BountyStatus.SETTLED


async def test_what_was_touched_just_now_is_left_alone_and_counted(
    stage: Stage, browser: Browser
) -> None:
    await stage.stuck_settlement("b-1")
    stage.clock.forward(minutes=-59)
    await browser.send("/reconcile/repair", STUCK, on="/reconcile")
    assert "may still be under way" in await browser.see("/reconcile")
    assert await status_of(stage, "b-1") is BountyStatus.PENDING_SETTLEMENT


async def test_a_repair_that_fails_says_why_and_can_be_tried_again(
    stage: Stage, browser: Browser
) -> None:
    await stage.stuck_settlement("b-1", amount=250)
    fault = stage.fail("capture", "request lost", times=None)
    await browser.send("/reconcile/repair", STUCK, on="/reconcile")
    assert "1 of them because a repair failed" in await browser.see("/reconcile")
    assert fault.hits
    stage.faults.planned.clear()
    await browser.send("/reconcile/repair", STUCK, on="/reconcile")
    assert await stage.has("bob") == (250, 0)


async def test_who_has_changed_something_is_in_the_log(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """At a level that a service shows."""
    await stage.posted("b-1")
    stage.desk.repair("otto", *STUCK.values())
    await stage.desk.jobs.wait()
    await stage.desk.find_out("otto", "key-1", "b-1", OperationKind.CLAIM)
    said = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "Repair of b-1: begun by otto" in said
    assert "claim of b-1 [key key-1] is to be found out for good, for otto" in said


async def test_one_thing_runs_at_a_time_and_the_page_says_which(
    stage: Stage, browser: Browser
) -> None:
    going = asyncio.Event()

    async def wait(_tell: object) -> None:
        await going.wait()

    stage.desk.jobs.start(JobKind.AUDIT, "Audit", "", wait)
    assert "Audit is running" in await browser.see("/reconcile")
    token = re.search(r'name="csrf" value="(\w+)"', await browser.source("/reconcile"))
    assert token is not None
    refused = await browser.client.post("/reconcile/repair", data={"csrf": token[1]})
    assert refused.status_code == 409
    assert "Audit is running" in refused.text
    going.set()
    await stage.desk.jobs.wait()
    assert "is running" not in await browser.see("/reconcile")


async def test_a_console_that_is_closed_stops_what_runs(stage: Stage) -> None:
    async with stage.browser():
        job = stage.desk.jobs.start(JobKind.AUDIT, "Audit", "", lambda _tell: asyncio.sleep(3600))
    assert not job.is_running
    assert job.result is None


async def test_a_console_that_is_closed_lets_the_repair_under_way_end(stage: Stage) -> None:
    """And begins none of the others."""
    await stage.stuck_settlement("b-1")
    await stage.stuck_settlement("b-2")
    paying, pay = asyncio.Event(), asyncio.Event()
    capture = stage.credits.capture

    async def slow(*args: Any, **named: Any) -> Any:
        paying.set()
        await pay.wait()
        return await capture(*args, **named)

    with patch.object(stage.credits, "capture", slow):
        async with stage.browser():
            job = stage.desk.repair("otto")
            await paying.wait()
            asyncio.get_running_loop().call_later(0.05, pay.set)
    assert not job.is_running
    ended = {await status_of(stage, each) for each in ("b-1", "b-2")}
    assert ended == {BountyStatus.SETTLED, BountyStatus.PENDING_SETTLEMENT}


async def test_a_claim_in_doubt_is_listed_with_its_evidence_and_found_out_for_good(
    stage: Stage, browser: Browser
) -> None:
    """Its commit has happened, and every answer about it was lost."""
    await stage.posted("b-1")
    await stage.in_doubt("commit of claim", stage.operations.claim("b-1", BOB, actor="bob"))
    listed = await browser.source("/doubts")
    key = re.search(r"/doubt\?key=(\w+)", listed)
    assert key is not None
    assert "is in doubt since" in await browser.see("/bounties/b-1")
    page = "/doubt?" + urlencode({"key": key[1]})
    assert "called 1 time" in await browser.see(page)
    fields = {"key": key[1], "bounty_id": "b-1", "operation": "claim"}
    await browser.send("/doubt", fields, on=page)
    seen = await browser.see(page)
    assert "This claim happened" in seen
    assert "found out by the console" in seen
    assert "Nothing is in doubt." in await browser.see("/doubts")


async def test_what_never_arrived_is_fenced_off_and_never_will(
    stage: Stage, browser: Browser
) -> None:
    await stage.posted("b-1")
    stage.fail("commit of claim", "no answer, not applied", times=None)
    stage.fail("read of claim", "no answer", times=None)
    claim = stage.operations.claim("b-1", BOB, idempotency_key="key-1")
    with pytest.raises(Exception, match="neither it nor a fence could be proven"):
        await claim
    stage.faults.planned.clear()
    assert "is in doubt since" in await browser.see("/bounties/b-1")
    fields = {"key": "key-1", "bounty_id": "b-1", "operation": "claim"}
    await browser.send("/doubt", fields, on="/doubt?key=key-1")
    assert "This claim never happened, and never will" in await browser.see("/doubt?key=key-1")
    assert await status_of(stage, "b-1") is BountyStatus.OPEN


async def test_what_is_still_not_known_is_said_with_what_it_means_for_the_money(
    stage: Stage, browser: Browser
) -> None:
    await stage.posted("b-1")
    await stage.in_doubt("commit of settle", stage.operations.claim("b-1", BOB))
    stage.fail("read of resolve_operation", "no answer", times=None)
    fields = {"key": "key-1", "bounty_id": "b-1", "operation": "claim"}
    stage.mock.inject()
    stage.fail("commit of resolve_operation", "no answer", times=None)
    answer = await browser.send("/doubt", fields, on="/reconcile", status=409)
    assert "It is not known yet" in answer.text
    assert "What is in escrow stays there until it is known." in answer.text


async def test_the_audit_recounts_the_ledger_and_finds_what_does_not_fit(
    stage: Stage, browser: Browser
) -> None:
    await stage.posted("b-1")
    await browser.send("/money/audit", on="/money")
    assert "Every reservation fits its bounty. The recount of" in await browser.see("/money")
    stage.clock.forward(hours=1)
    reference = reference_of("default", "none")
    await stage.credits.reserve("stray", account="alice", amount=7, reference=reference)
    stage.clock.forward(hours=1)
    await browser.send("/money/audit", on="/money")
    seen = await browser.see("/money")
    assert "stray" in seen
    assert "1 to repair" in seen


async def test_money_shows_escrow_by_account_and_what_it_is_for(
    stage: Stage, browser: Browser
) -> None:
    await stage.posted("b-1", amount=1500)
    seen = await browser.see("/money")
    assert "1,500 in escrow, for 1 8,500 free 10,000 ever issued balanced" in seen
    one = await browser.see("/money?account=alice")
    assert "8,500 free, 1,500 in escrow for 1" in one
    assert "b-1" in one
    held = [each async for each in stage.credits.reservations(ReservationStatus.HELD)]
    assert held[0].reservation_id in one
    assert "0 free, 0 in escrow" in await browser.see("/money?account=nobody")


async def test_the_doctor_says_how_commits_are_safe_here(browser: Browser) -> None:
    await browser.send("/doctor", on="/doctor")
    seen = await browser.see("/doctor")
    assert "Safe for any number of writers, with ConditionalCommit." in seen
    assert "What was observed" in seen


async def test_somebody_who_may_only_look_has_no_buttons_that_change(stage: Stage) -> None:
    await stage.stuck_settlement("b-1")
    async with stage.browser(Access(role=Role.READ)) as browser:
        await browser.send("/reconcile/dry-run", on="/reconcile")
        source = await browser.source("/reconcile")
        assert "b-1" in source
        assert "/reconcile/repair" not in source
        await browser.send("/reconcile/repair", STUCK, on="/reconcile", status=403)
        await browser.send("/doctor", on="/reconcile", status=403)
    assert await status_of(stage, "b-1") is BountyStatus.PENDING_SETTLEMENT
