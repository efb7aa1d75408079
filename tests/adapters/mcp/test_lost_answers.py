"""Answers are lost in the middle of a tool call, by Nexus, by the ledger, and by the client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nexus_bounty.testing import steps_of
from nexus_bounty.testing.steps import is_of_ledger
from tests.adapters.mcp.office import POST, Agent, Office, an_office, posted
from tests.support.sampling import every_nth

LOST = ("answer lost", "request lost", "no answer", "internal error")
LEDGERS = ("answer lost", "request lost")


def cases(operation: str) -> list[Any]:
    """Every step of an operation x what can be lost of it."""
    return [
        (step, kind)
        for step in steps_of(operation)
        for kind in (LEDGERS if is_of_ledger(step) else LOST)
    ]


@pytest.mark.parametrize(("step", "kind"), every_nth(9, cases("create")))
async def test_a_create_that_loses_an_answer_posts_one_bounty(step: str, kind: str) -> None:
    """And its repeat is the same."""
    async with an_office() as office:
        alice = await office.agent("alice")
        fault = office.fail(step, kind)
        first = await alice("bounty_create", **POST)
        assert fault.hits
        again = await alice("bounty_create", **POST)
        assert (again["outcome"], again["bounty"]["status"]) == ("committed", "open")
        if first["outcome"] == "committed":
            assert first["bounty"]["bountyId"] == again["bounty"]["bountyId"]
        assert await office.has("alice") == (900, 100)


@pytest.mark.parametrize(("step", "kind"), every_nth(9, cases("claim")))
async def test_a_claim_that_loses_an_answer_is_one_claim(step: str, kind: str) -> None:
    """Held by the agent whose it is."""
    async with an_office() as office:
        alice, bob = await office.agent("alice"), await office.agent("bob")
        bounty_id = await posted(alice)
        fault = office.fail(step, kind)
        await bob("bounty_claim", bounty_id=bounty_id)
        assert fault.hits
        again = await bob("bounty_claim", bounty_id=bounty_id)
        assert (again["outcome"], again["bounty"]["claimedBy"]["agentId"]) == ("committed", "bob")


@pytest.mark.parametrize(("step", "kind"), every_nth(9, cases("settle")))
async def test_a_settlement_that_loses_an_answer_pays_once(step: str, kind: str) -> None:
    """Whatever the first call said, the second one finishes it."""
    async with an_office() as office:
        alice, settle = await about_to_settle(office)
        fault = office.fail(step, kind)
        first = await alice("bounty_settle", **settle)
        assert fault.hits
        assert first["outcome"] in ("committed", "happened_still_owed", "unknown")
        again = await alice("bounty_settle", **settle)
        assert (again["outcome"], again["bounty"]["status"]) == ("committed", "settled")
        assert (await office.has("alice"), await office.has("bob")) == ((900, 0), (100, 0))


async def about_to_settle(office: Office) -> tuple[Agent, dict[str, str]]:
    """Alice, and the arguments with which she settles a bounty."""
    alice, bob = await office.agent("alice"), await office.agent("bob")
    bounty_id = await posted(alice)
    await bob("bounty_claim", bounty_id=bounty_id)
    work = (await bob("bounty_deliver", summary="Sorted"))["contributionCid"]
    return alice, {"bounty_id": bounty_id, "contribution_cid": work}


async def test_an_outcome_that_is_not_known_says_so_and_a_repeat_finds_out() -> None:
    """With the key, the evidence, and what to do."""
    async with an_office() as office:
        alice, bob = await office.agent("alice"), await office.agent("bob")
        bounty_id = await posted(alice)
        office.fail("commit of claim", "no answer", times=None)
        office.fail("read of claim", "no answer", times=None)
        lost = await bob("bounty_claim", bounty_id=bounty_id)
        assert lost["outcome"] == "unknown"
        assert "Repeat this very call" in lost["whatToDoNext"]
        assert lost["evidence"]["observations"]
        office.faults.planned.clear()
        found = await bob("bounty_claim", bounty_id=bounty_id)
        assert found["idempotencyKey"] == lost["idempotencyKey"]
        assert (found["outcome"], found["bounty"]["status"]) == ("committed", "claimed")


async def test_what_is_paid_and_still_owes_a_step_is_never_called_a_failure() -> None:
    """The ledger loses every answer after the pivot."""
    async with an_office() as office:
        alice, settle = await about_to_settle(office)
        office.fail("capture of settle", "answer lost", times=None)
        owing = await alice("bounty_settle", **settle)
        assert owing["outcome"] == "happened_still_owed"
        assert owing["owed"]
        assert "never undo it" in owing["whatToDoNext"]
        office.faults.planned.clear()
        assert (await alice("bounty_settle", **settle))["outcome"] == "committed"
        assert await office.has("bob") == (100, 0)


@pytest.mark.parametrize("after", every_nth(9, range(0, 40, 2)))
async def test_a_client_that_gives_up_and_calls_again_gets_one_bounty(after: int) -> None:
    """Its answer is lost between it and us, wherever we are by then."""
    async with an_office() as office:
        alice = await office.agent("alice")
        call = asyncio.ensure_future(alice("bounty_create", **POST))
        for _ in range(after):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        again = await alice("bounty_create", **POST)
        assert (again["outcome"], again["bounty"]["status"]) == ("committed", "open")
        assert await office.has("alice") == (900, 100)
        assert len((await alice("bounty_list"))["bounties"]) == 1


@pytest.mark.parametrize("kind", LOST)
async def test_a_delivery_that_loses_an_answer_is_one_work(kind: str) -> None:
    """Its content id names it."""
    async with an_office() as office:
        bob = await office.agent("bob")
        office.fail("contribution of put_contribution", kind)
        first = await bob("bounty_deliver", summary="Sorted", tags=["sorted"])
        again = await bob("bounty_deliver", summary="Sorted", tags=["sorted"])
        assert again["outcome"] == "committed"
        assert first["contributionCid"] == again["contributionCid"]
