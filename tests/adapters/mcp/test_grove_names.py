"""Agents that know Grove's tools find them, with the parameters that they know."""

from __future__ import annotations

import pytest

from tests.adapters.mcp.office import an_office

pytestmark = pytest.mark.thorough

CRITERIA = {"description": "sorted", "requiredTags": ["sorted"], "metricName": "speed"}


async def test_a_bounty_lives_under_groves_names() -> None:
    """Created, listed, claimed by its target, settled."""
    async with an_office() as office:
        alice = await office.agent("alice", grove_names=True)
        bob = await office.agent("bob", grove_names=True)
        created = await alice(
            "grove_bounty_create",
            title="Sort it",
            amount=100,
            criteria={"description": "sorted", "requiredTags": ["sorted"]},
            deadlineMs=3_600_000,
            agent={"agentId": "alice", "model": "m"},
            zoneId="default",
            context={"repo": "sorter"},
        )
        bounty = created["bounty"]
        assert (created["outcome"], bounty["context"]) == ("committed", {"repo": "sorter"})
        assert bounty["criteria"]["requiredTags"] == ["sorted"]
        listed = await bob("grove_bounty_list", status="open", creatorAgentId="alice")
        assert [each["bountyId"] for each in listed["bounties"]] == [bounty["bountyId"]]
        target = f"bounty:{bounty['bountyId']}"
        claimed = await bob("grove_claim", targetRef=target, intentSummary="I sort it")
        assert claimed["bounty"]["status"] == "claimed"
        work = await bob("bounty_deliver", summary="Sorted", tags=["sorted"])
        settled = await alice(
            "grove_bounty_settle",
            bountyId=bounty["bountyId"],
            contributionCid=work["contributionCid"],
        )
        assert settled["outcome"] == "committed"
        assert await office.has("bob") == (100, 0)


async def test_whatever_else_is_claimed_is_leased() -> None:
    """To one agent at a time, and to the same one again."""
    async with an_office() as office:
        alice = await office.agent("alice", grove_names=True)
        bob = await office.agent("bob", grove_names=True)
        target = {"targetRef": "issue-7", "intentSummary": "I look at it"}
        first = await alice("grove_claim", **target)
        again = await alice("grove_claim", **target)
        assert again["claim"]["claimId"] == first["claim"]["claimId"]
        refused = await bob("grove_claim", **target)
        assert (refused["outcome"], refused["error"]) == ("did_not_happen", "ClaimConflictError")


async def test_an_id_is_the_same_however_its_accents_are_stored() -> None:
    """In what a caller says of itself, and whose bounties it asks for."""
    async with an_office() as office:
        await office.credits.top_up("t", account="jos\u00e9", amount=1)
        jose = await office.agent("jos\u00e9", grove_names=True)
        offer = {"title": "Sort it", "amount": 1, "criteria": CRITERIA}
        made = await jose("grove_bounty_create", **offer, agent={"agentId": "jose\u0301"})
        assert made["outcome"] == "committed"
        listed = await jose("grove_bounty_list", creatorAgentId="jose\u0301")
        assert [each["bountyId"] for each in listed["bounties"]] == [made["bounty"]["bountyId"]]


async def test_who_somebody_says_to_be_does_not_make_it_so() -> None:
    """Nor is there another zone to be had by naming it."""
    async with an_office() as office:
        eve = await office.agent("eve", grove_names=True)
        offer = {"title": "Sort it", "amount": 1, "criteria": CRITERIA}
        for claimed in ({"agent": {"agentId": "alice"}}, {"zoneId": "another"}):
            answer = await eve("grove_bounty_create", **offer, **claimed)
            assert (answer["outcome"], answer["error"]) == ("did_not_happen", "NotAllowed")
        assert office.mock.request_count == 0


async def test_without_the_option_groves_names_are_not_there() -> None:
    """Two names for one thing would only confuse."""
    async with an_office() as office:
        tools = await (await office.agent("alice")).client.list_tools()
        assert not [tool.name for tool in tools.tools if tool.name.startswith("grove")]
