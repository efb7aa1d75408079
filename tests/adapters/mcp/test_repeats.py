"""A call that is repeated is the same operation, and is not done twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nexus_bounty.outcomes import Outcome, PreCommitError
from nexus_bounty_mcp.keys import MOST_REMEMBERED, Keys, intent, owned
from tests.adapters.mcp.office import POST, an_office, posted

MINUTE = timedelta(minutes=1)


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_a_repeated_create_posts_one_bounty() -> None:
    """As a model repeats that has lost the answer; several at once as well."""
    async with an_office() as office:
        alice = await office.agent("alice")
        first = await alice("bounty_create", **POST)
        again = await asyncio.gather(*(alice("bounty_create", **POST) for _ in range(3)))
        ids = {each["bounty"]["bountyId"] for each in (first, *again)}
        assert len(ids) == 1
        assert await office.has("alice") == (900, 100)


async def test_other_arguments_another_agent_or_a_key_of_its_own_make_another_operation() -> None:
    """Whoever means to do it again can."""
    async with an_office() as office:
        await office.credits.fund("bob", 1000)
        alice, bob = await office.agent("alice"), await office.agent("bob")
        answers = [
            await alice("bounty_create", **POST),
            await alice("bounty_create", **{**POST, "amount": 99}),
            await bob("bounty_create", **POST),
            await alice("bounty_create", **POST, idempotency_key="again"),
            await alice("bounty_create", **POST, idempotency_key="once more"),
        ]
        assert {each["outcome"] for each in answers} == {"committed"}
        assert len({each["bounty"]["bountyId"] for each in answers}) == 5
        repeat = await alice("bounty_create", **POST, idempotency_key="again")
        assert repeat["bounty"]["bountyId"] == answers[3]["bounty"]["bountyId"]


@pytest.mark.parametrize("named", [{}, {"idempotency_key": "mine"}])
async def test_a_refused_create_can_be_called_again_after_the_top_up(
    named: dict[str, str],
) -> None:
    """The same call, be it with the same key or with one of its own."""
    async with an_office() as office:
        alice = await office.agent("alice")
        dear = {**POST, "amount": 1001, **named}
        refused = await alice("bounty_create", **dear)
        assert (refused["outcome"], "1001" in str(refused)) == ("did_not_happen", True)
        assert (await alice("bounty_list"))["bounties"] == []
        await office.credits.top_up("more", account="alice", amount=1)
        posted_now = await alice("bounty_create", **dear)
        assert posted_now["outcome"] == "committed"
        assert await office.has("alice") == (0, 1001)


async def test_after_the_window_the_same_call_is_another_operation() -> None:
    """Next week's bounty with the same words is a new one."""
    clock = Clock()
    async with an_office(keys=Keys(10 * MINUTE, clock=clock)) as office:
        alice = await office.agent("alice")
        first = await posted(alice)
        clock.now += 9 * MINUTE
        assert await posted(alice) == first
        clock.now += 2 * MINUTE
        assert await posted(alice) != first


async def test_a_process_that_is_started_anew_goes_on_where_the_one_before_was() -> None:
    """Whatever the time of day, until the window of the call has passed."""
    clock = Clock()
    clock.now += 9 * MINUTE
    async with an_office(keys=Keys(clock=clock), clock=clock) as office:
        first = await posted(await office.agent("alice"))
        for minutes, same in ((0, True), (2, True), (7, True), (1, False)):
            clock.now += minutes * MINUTE
            office.keys = Keys(clock=clock)
            assert (await posted(await office.agent("alice")) == first) is same, minutes
        assert await office.has("alice") == (800, 200)


async def test_a_process_that_is_started_anew_knows_what_was_refused_and_then_was_not() -> None:
    """The refused one had a key of its own, which is not taken for that of the second."""
    clock = Clock()
    dear = {**POST, "amount": 1001}
    async with an_office(keys=Keys(clock=clock), clock=clock) as office:
        alice = await office.agent("alice")
        for _ in range(3):
            assert (await alice("bounty_create", **dear))["outcome"] == "did_not_happen"
        await office.credits.top_up("more", account="alice", amount=2002)
        first = await alice("bounty_create", **dear)
        office.keys = Keys(clock=clock)
        again = await (await office.agent("alice"))("bounty_create", **dear)
        assert again["bounty"]["bountyId"] == first["bounty"]["bountyId"]
        assert await office.has("alice") == (2001, 1001)


async def test_a_process_that_is_started_anew_finishes_what_was_in_doubt_long_ago() -> None:
    """A call whose outcome is unknown is the same one for as long as it is."""
    clock = Clock()
    async with an_office(keys=Keys(clock=clock), clock=clock) as office:
        lost = office.fail("commit of create", "request lost", times=None)
        reads = office.fail("read of create", "no answer", times=None)
        first = await (await office.agent("alice"))("bounty_create", **POST)
        assert first["outcome"] == "unknown"
        office.faults.planned.remove(lost)
        office.faults.planned.remove(reads)
        clock.now += 500 * MINUTE
        office.keys = Keys(clock=clock)
        again = await (await office.agent("alice"))("bounty_create", **POST)
        assert again["outcome"] == "committed"
        assert again["idempotencyKey"] == first["idempotencyKey"]
        assert await office.has("alice") == (900, 100)


async def test_a_process_that_is_started_anew_does_again_what_was_undone() -> None:
    """Claimed, released, claimed, released by the one before it."""
    clock = Clock()
    async with an_office(keys=Keys(clock=clock), clock=clock) as office:
        await office.credits.fund("bob", 1)
        bounty_id = await posted(await office.agent("alice"))
        for _ in range(3):
            bob = await office.agent("bob")
            for _ in range(2):
                claimed = await bob("bounty_claim", bounty_id=bounty_id)
                assert claimed["bounty"]["status"] == "claimed"
                released = await bob("bounty_release", bounty_id=bounty_id)
                assert released["bounty"]["status"] == "open"
            office.keys = Keys(clock=clock)


async def test_while_the_journal_cannot_be_read_nothing_is_begun() -> None:
    """It might be the second time."""
    async with an_office() as office:
        alice = await office.agent("alice")

        async def failing(zone_id: str, key: str) -> Any:
            raise PreCommitError("the disk is gone")

        office.credits.find_operation = failing  # type: ignore[method-assign]
        answer = await alice("bounty_create", **POST)
        assert (answer["outcome"], office.mock.request_count) == ("unknown", 0)
        assert "the disk is gone" in answer["whatHappened"]


async def test_a_key_that_is_left_empty_is_left_out() -> None:
    """As models fill in what they have nothing for."""
    async with an_office() as office:
        alice = await office.agent("alice")
        first = await alice("bounty_create", **POST, idempotency_key="")
        assert (await alice("bounty_create", **POST))["bounty"] == first["bounty"]


async def test_what_was_undone_since_is_done_again() -> None:
    """Claim, release, claim, release: four operations, although each two have the same words."""
    async with an_office() as office:
        alice, bob = await office.agent("alice"), await office.agent("bob")
        bounty_id = await posted(alice)
        for _ in range(2):
            claimed = await bob("bounty_claim", bounty_id=bounty_id)
            assert claimed["bounty"]["status"] == "claimed"
            again = await bob("bounty_claim", bounty_id=bounty_id)
            assert again["claim"]["claimId"] == claimed["claim"]["claimId"]
            released = await bob("bounty_release", bounty_id=bounty_id)
            assert released["bounty"]["status"] == "open"
        kinds = [
            each["record"]["kind"]
            for each in (await bob("bounty_history", bounty_id=bounty_id))["steps"]
        ]
        assert kinds[-4:] == ["claim", "release", "claim", "release"]


async def test_what_was_refused_can_be_tried_again_with_the_same_words() -> None:
    """It did not happen, and its key is done with."""
    async with an_office() as office:
        alice, bob = await office.agent("alice"), await office.agent("bob")
        carol = await office.agent("carol")
        bounty_id = await posted(alice)
        await bob("bounty_claim", bounty_id=bounty_id)
        refused = await carol("bounty_claim", bounty_id=bounty_id)
        assert refused["outcome"] == "did_not_happen"
        await bob("bounty_release", bounty_id=bounty_id)
        assert (await carol("bounty_claim", bounty_id=bounty_id))["outcome"] == "committed"


async def test_a_key_that_stands_for_another_operation_does_nothing() -> None:
    """Also if the other one is of the same agent's."""
    async with an_office() as office:
        alice, bob = await office.agent("alice"), await office.agent("bob")
        await alice("bounty_create", **POST, idempotency_key="k")
        other = await alice("bounty_create", **{**POST, "amount": 1}, idempotency_key="k")
        assert other["outcome"] in ("other_operation", "did_not_happen")
        assert await office.has("alice") == (900, 100)
        key = (await alice("bounty_create", **POST, idempotency_key="k"))["idempotencyKey"]
        await office.credits.fund("bob", 1000)
        await bob("bounty_create", **POST, idempotency_key=key)
        assert await office.has("bob") == (900, 100)  # no agent can use another one's key


def test_a_key_in_doubt_is_kept_until_the_doubt_is_over() -> None:
    """However long that takes."""
    clock = Clock()
    keys = Keys(MINUTE, clock=clock)
    key = keys.of("call").key
    keys.ended("call", Outcome.UNKNOWN)
    clock.now += 1000 * MINUTE
    assert keys.of("call").key == key
    keys.ended("call", Outcome.COMMITTED)
    assert keys.of("call").key != key


def test_a_key_whose_operation_can_no_longer_happen_is_not_used_again() -> None:
    """A fence would keep the next one out, too."""
    keys = Keys()
    key = keys.of("call").key
    keys.ended("call", Outcome.PRE_COMMIT)
    assert keys.of("call").key != key


def test_keys_do_not_take_more_and_more_memory() -> None:
    """Those used longest ago are forgotten."""
    keys = Keys()
    for number in range(MOST_REMEMBERED + 10):
        keys.of(str(number))
    assert len(keys._uses) == MOST_REMEMBERED


def test_intents_and_owners_are_told_apart() -> None:
    """By agent, tool and arguments, in whichever order these are given."""
    assert intent("a", "t", {"x": 1, "y": 2}) == intent("a", "t", {"y": 2, "x": 1})
    assert intent("a", "t", {"x": 1}) != intent("b", "t", {"x": 1})
    assert owned("a", owned("a", "k")) == owned("a", "k")
    assert owned("a", "k") != owned("b", "k")
    assert owned("b", owned("a", "k")) != owned("a", "k")


@pytest.mark.parametrize("arguments", [{"amount": 1.5}, {"amount": "100"}])
async def test_what_is_no_integer_is_no_amount(arguments: dict[str, object]) -> None:
    """Half a credit is refused, and not rounded."""
    async with an_office() as office:
        alice = await office.agent("alice")
        result = await alice.client.call_tool("bounty_create", {**POST, **arguments})
        taken = (result.structured_content or {}).get("bounty", {}).get("amount")
        assert result.is_error or taken == 100
