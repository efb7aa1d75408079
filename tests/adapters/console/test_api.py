"""The JSON twins, as Grove's server has them."""

from __future__ import annotations

import msgspec

from nexus_bounty import AgentIdentity, Bounty
from nexus_bounty.mock import Fault, FaultKind
from tests.adapters.console.stage import BOB, Browser, Stage


async def test_bounties_are_listed_by_groves_parameters(stage: Stage, browser: Browser) -> None:
    for each in ("b-1", "b-2", "b-3"):
        await stage.posted(each)
    await stage.operations.claim("b-2", BOB)
    for query, ids in {
        "": ["b-3", "b-2", "b-1"],
        "?status=claimed": ["b-2"],
        "?creatorAgentId=alice&limit=1": ["b-3"],
        "?creatorAgentId=bob": [],
        "?limit=2&offset=1": ["b-2", "b-1"],
        "?limit=no": ["b-3", "b-2", "b-1"],
        "?q=B-1": ["b-1"],
    }.items():
        answer = (await browser.client.get(f"/api/bounties{query}")).json()
        assert [each["bountyId"] for each in answer["bounties"]] == ids, query
    assert msgspec.convert(answer["bounties"][0], Bounty).bounty_id == "b-1"


async def test_an_agent_is_found_however_its_accents_are_stored(
    stage: Stage, browser: Browser
) -> None:
    jose = AgentIdentity(agent_id="jos\u00e9")
    await stage.operations.services.credits.top_up("t", account=jose.agent_id, amount=100)
    await stage.posted("b-1", creator=jose)
    await stage.posted("b-2")
    for asked in ("q", "creatorAgentId"):
        for name in ("jose%CC%81", "jos%C3%A9"):
            answer = (await browser.client.get(f"/api/bounties?{asked}={name}")).json()
            assert [each["bountyId"] for each in answer["bounties"]] == ["b-1"]


async def test_one_bounty_is_its_document_and_none_is_groves_error(
    stage: Stage, browser: Browser
) -> None:
    await stage.posted("b-1")
    found = await browser.client.get("/api/bounties/b-1")
    assert found.json()["title"] == "Sort it"
    missing = await browser.client.get("/api/bounties/b-2")
    assert missing.status_code == 404
    assert missing.json() == {"error": {"code": "NOT_FOUND", "message": "Bounty not found: b-2"}}


async def test_a_life_is_what_its_page_shows(stage: Stage, browser: Browser) -> None:
    await stage.stuck_settlement("b-1", amount=250)
    life = (await browser.client.get("/api/bounties/b-1/life")).json()
    assert life["bounty"]["status"] == "pending_settlement"
    assert life["money"]["where"] == "250 held in escrow for b-1"
    assert life["writes"][0]["operationKey"] == life["operations"][0]["key"]
    assert (await browser.client.get("/api/bounties/b-2/life")).status_code == 404


async def test_trouble_is_told_with_what_it_means_for_the_money(
    stage: Stage, browser: Browser
) -> None:
    stage.mock.inject(Fault(FaultKind.REFUSE, times=None))
    answer = await browser.client.get("/api/bounties/b-1")
    assert answer.status_code == 502
    error = answer.json()["error"]
    assert error["code"] == "NEXUS"
    assert error["money"] == "None moved by this: it only looked."
