"""What the tools do, as a client of the SDK's sees it."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from tests.adapters.mcp.office import POST, an_office, posted


async def test_an_agent_posts_another_claims_delivers_and_is_paid() -> None:
    """The whole life of a bounty, every outcome a value."""
    async with an_office() as office:
        alice, bob = await office.agent("alice"), await office.agent("bob")
        created = await alice("bounty_create", **POST)
        bounty_id = created["bounty"]["bountyId"]
        assert (created["outcome"], created["bounty"]["creator"]["agentId"]) == (
            "committed",
            "alice",
        )
        claimed = await bob("bounty_claim", bounty_id=bounty_id, lease_minutes=60)
        assert claimed["claim"]["agent"]["agentId"] == "bob"
        assert (await bob("bounty_renew", bounty_id=bounty_id))["outcome"] == "committed"
        work = await bob("bounty_deliver", summary="Sorted", tags=["sorted"])
        settled = await alice(
            "bounty_settle", bounty_id=bounty_id, contribution_cid=work["contributionCid"]
        )
        assert (settled["outcome"], settled["creditsWith"]) == ("committed", "bob")
        assert await bob("bounty_balance") == {"account": "bob", "available": 100, "reserved": 0}
        assert await office.has("alice") == (900, 0)


async def test_reading_tools_show_what_there_is() -> None:
    """Lists, one bounty, its history, and what a key stands for."""
    async with an_office() as office:
        alice, bob = await office.agent("alice"), await office.agent("bob")
        created = await alice("bounty_create", **POST)
        bounty_id, key = created["bounty"]["bountyId"], created["idempotencyKey"]
        for number in range(3):
            await alice("bounty_create", **{**POST, "title": f"Sort {number}"})
        page = await bob("bounty_list", status=["open"], limit=3)
        assert (len(page["bounties"]), page["more"]) == (3, True)
        assert (await bob("bounty_list", mine="created"))["bounties"] == []
        assert len((await alice("bounty_list", mine="created"))["bounties"]) == 4
        shown = await alice("bounty_show", bounty_id=bounty_id)
        assert shown["escrow"]["amount"] == 100
        assert (await bob("bounty_show", bounty_id=bounty_id))["escrow"] is None
        assert (await bob("bounty_show", bounty_id="none"))["found"] is False
        history = (await bob("bounty_history", bounty_id=bounty_id))["steps"]
        assert [each["happened"] for each in history] == [True, True]
        assert history[0]["meaning"] == "write a draft that names its reservation"
        explained = await alice("bounty_explain", key=key)
        assert (explained["outcome"], explained["explanation"]["operation"]) == (
            "committed",
            "create",
        )
        assert (await alice("bounty_explain", key="never"))["outcome"] == "unknown"


async def test_a_bounty_is_released_and_cancelled() -> None:
    """And its credits go back."""
    async with an_office() as office:
        alice, bob = await office.agent("alice"), await office.agent("bob")
        bounty_id = await posted(alice)
        await bob("bounty_claim", bounty_id=bounty_id)
        released = await bob("bounty_release", bounty_id=bounty_id)
        assert (released["outcome"], released["bounty"]["status"]) == ("committed", "open")
        cancelled = await alice("bounty_cancel", bounty_id=bounty_id)
        assert (cancelled["outcome"], cancelled["creditsWith"]) == ("committed", "alice")
        assert await office.has("alice") == (1000, 0)


async def test_an_agent_acts_for_itself_alone() -> None:
    """Only a creator settles and cancels, only a claimer renews and releases."""
    async with an_office() as office:
        alice, bob = await office.agent("alice"), await office.agent("bob")
        eve = await office.agent("eve")
        bounty_id = await posted(alice)
        await bob("bounty_claim", bounty_id=bounty_id)
        work = (await bob("bounty_deliver", summary="Sorted"))["contributionCid"]
        tries: list[tuple[str, dict[str, Any]]] = [
            ("bounty_settle", {"contribution_cid": work}),
            ("bounty_cancel", {}),
            ("bounty_renew", {}),
            ("bounty_release", {}),
            ("bounty_claim", {}),
        ]
        for tool, arguments in tries:
            answer = await eve(tool, bounty_id=bounty_id, **arguments)
            assert answer["outcome"] == "did_not_happen", tool
        assert (await bob("bounty_settle", bounty_id=bounty_id, contribution_cid=work))[
            "error"
        ] == "NotAllowed"
        assert (await alice("bounty_show", bounty_id=bounty_id))["bounty"]["status"] == "claimed"
        assert await office.has("alice") == (900, 100)


async def test_a_refusal_is_a_value_that_says_what_to_do() -> None:
    """Not an error in prose."""
    async with an_office() as office:
        alice = await office.agent("alice")
        poor = await alice("bounty_create", **{**POST, "amount": 5000})
        assert (poor["outcome"], poor["error"]) == ("did_not_happen", "InsufficientCreditsError")
        assert "1000" in poor["whatToDoNext"]
        missing = await alice("bounty_claim", bounty_id="none")
        assert (missing["outcome"], missing["error"]) == ("did_not_happen", "BountyNotFoundError")
        own = await alice("bounty_claim", bounty_id=await posted(alice))
        assert own["outcome"] == "did_not_happen"


async def test_wrong_arguments_are_refused_by_the_schema() -> None:
    """Before any tool is called."""
    async with an_office() as office:
        alice = await office.agent("alice")
        assert "amount" in await alice.refusal("bounty_create", **{**POST, "amount": -1})
        assert "bounty_id" in await alice.refusal("bounty_show")
        assert office.mock.request_count == 0


async def test_an_argument_that_no_tool_has_is_refused() -> None:
    """A key in another spelling, say: without it the call would be another operation."""
    async with an_office() as office:
        alice = await office.agent("alice")
        for tool in (await alice.client.list_tools()).tools:
            assert tool.input_schema["additionalProperties"] is False, tool.name
        said = await alice.refusal("bounty_create", **POST, idempotencyKey="mine")
        assert "idempotencyKey" in said
        assert office.mock.request_count == 0


async def test_what_cannot_be_a_name_is_not_called_a_failure_of_the_server() -> None:
    """It says what to correct, and that alone."""
    async with an_office() as office:
        said = await (await office.agent("alice")).refusal("bounty_show", bounty_id="a/b")
        assert said.count(".") - said.count("...") <= 3
        assert "Correct it, and call again." in said
        assert "try again" not in said


async def test_a_number_that_nothing_can_count_is_refused_by_the_schema() -> None:
    """Rather than ending in an error of Python's."""
    async with an_office() as office:
        alice = await office.agent("alice", grove_names=True)
        offer = {"title": "Sort it", "amount": 1, "criteria": {"description": "sorted"}}
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("bounty_list", {"offset": 10**30}),
            ("grove_bounty_create", {**offer, "deadlineMs": 10**15}),
            ("grove_bounty_create", {**offer, "deadlineMs": 10**30}),
            ("grove_claim", {"targetRef": "t", "intentSummary": "", "leaseDurationMs": 10**30}),
        ]
        for tool, arguments in wrong:
            assert "less than or equal" in await alice.refusal(tool, **arguments), tool
        assert office.mock.request_count == 0


async def test_an_agent_can_ask_for_the_key_that_it_has_chosen() -> None:
    """Under which its operation is known to others is another matter."""
    async with an_office() as office:
        alice, bob = await office.agent("alice"), await office.agent("bob")
        answer = await alice("bounty_create", **POST, idempotency_key="mine")
        for agent, key, outcome in (
            (alice, "mine", "committed"),
            (alice, answer["idempotencyKey"], "committed"),
            (bob, answer["idempotencyKey"], "committed"),
            (bob, "mine", "unknown"),
        ):
            assert (await agent("bounty_explain", key=key))["outcome"] == outcome


async def test_a_renewal_names_no_key_because_none_is_kept_of_it() -> None:
    """Every key of an answer can be explained."""
    async with an_office() as office:
        alice, bob = await office.agent("alice"), await office.agent("bob")
        bounty_id = await posted(alice)
        await bob("bounty_claim", bounty_id=bounty_id)
        renewed = await bob("bounty_renew", bounty_id=bounty_id, lease_minutes=60)
        assert (renewed["outcome"], renewed["idempotencyKey"]) == ("committed", None)


@pytest.mark.parametrize("tool", ["bounty_deliver", "grove_claim"])
async def test_an_error_that_nobody_has_thought_of_leaves_the_outcome_unknown(tool: str) -> None:
    """Of tools that are no operations as well."""
    async with an_office() as office:
        alice = await office.agent("alice", grove_names=True)

        async def failing(*_given: object, **_named: object) -> Any:
            raise RuntimeError("a bug")

        services = office.operations.services
        services.claims.claim_or_renew = failing  # type: ignore[method-assign]
        services.contributions.put = failing  # type: ignore[attr-defined]
        given = {"summary": "x"}
        if tool == "grove_claim":
            given = {"targetRef": "t", "intentSummary": "x"}
        answer = await alice(tool, **given)
        assert (answer["outcome"], "a bug" in answer["whatHappened"]) == ("unknown", True)


async def test_a_read_that_fails_is_an_error_that_says_so() -> None:
    """It has no outcome: it changes nothing."""
    async with an_office() as office:
        alice = await office.agent("alice")
        bounty_id = await posted(alice)
        office.mock.inject(
            Fault(FaultKind.STATUS_BEFORE, status=503, match=RequestMatch("read"), times=None)
        )
        said = await alice.refusal("bounty_show", bounty_id=bounty_id)
        assert "Nothing was changed; try again." in said


async def test_every_tool_says_what_it_takes_gives_and_does() -> None:
    """A model knows nothing else of them."""
    async with an_office() as office:
        alice = await office.agent("alice", grove_names=True)
        tools = (await alice.client.list_tools()).tools
        assert len(tools) == 16
        for tool in tools:
            assert tool.description
            assert tool.output_schema
            assert tool.annotations is not None
            reads = tool.name.split("_")[-1] in ("list", "show", "history", "explain", "balance")
            assert tool.annotations.read_only_hint == reads, tool.name
            for name, field in tool.input_schema["properties"].items():
                assert field.get("description") or "$ref" in str(field), (tool.name, name)
