"""The table of requests in the README, counted anew."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyOperations,
    Contribution,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
)
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.models import utc_now
from nexus_bounty.testing import make_agent, make_bounty

README = (Path(__file__).parents[2] / "README.md").read_text()


def figures() -> dict[str, int]:
    """What the README says, row by row."""
    table = README.partition("| | requests |")[2].partition("\n\n")[0]
    return {
        what: int(count)
        for what, count in re.findall(r"^\| (.+) \| (\d+) \|$", table, re.MULTILINE)
    }


async def counted() -> dict[str, int]:
    """What the mock counts, for the same rows."""
    mock = MockNexus()
    counts: dict[str, int] = {}

    def count(what: str) -> None:
        counts[what] = mock.request_count
        mock.reset_counts()

    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store = NexusBountyStore(client, commit="conditional")
        await store.create_bounty(make_bounty())
        count("store: create a bounty")
        await store.get_bounty("b-1")
        count("store: get a bounty")
        await NexusBountyStore(client, commit="conditional").claim_bounty(
            "b-1", make_agent("bob"), "c-1"
        )
        count("store: a transition, by a store that has not seen the bounty")
        await store.get_bounty("b-1")
        mock.reset_counts()
        await store.cancel_bounty("b-1")
        count("store: a transition, by one that has")
        await _live(
            NexusBountyStore(client, commit="conditional"),
            NexusClaimStore(client, commit="conditional"),
            count,
        )
        await client.cleanup.flush()
        count("operations: cleaning up, once a batch")
    counts["a whole life, create to settle"] = sum(
        number for name, number in counts.items() if name.startswith("operations: ")
    )
    return counts


async def _live(store: NexusBountyStore, claims: NexusClaimStore, count) -> None:
    ledger = MemoryCredits()
    await ledger.top_up("funds", account="alice", amount=100)
    work = MemoryContributionStore([Contribution(cid="cid-1")])
    operations = BountyOperations(store, credits=ledger, claims=claims, contributions=work)
    offer = Bounty(
        title="Sort it",
        creator=AgentIdentity(agent_id="alice"),
        amount=100,
        criteria=BountyCriteria(description="sorted"),
        deadline=utc_now() + timedelta(days=1),
    )
    bounty_id = (await operations.create(offer)).bounty.bounty_id
    count("operations: create")
    await operations.claim(bounty_id, AgentIdentity(agent_id="bob"))
    count("operations: claim, with the lease on Nexus")
    await operations.settle(bounty_id, "cid-1")
    count("operations: settle, the contribution at hand")


async def test_the_figures_in_the_readme_are_those_that_the_mock_counts() -> None:
    """None is claimed that is not measured here."""
    assert figures() == await counted()
