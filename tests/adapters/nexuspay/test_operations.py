"""Bounties whose escrow is on the NexusPay of the same server, by the operations people call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyOperations,
    BountyStatus,
    Contribution,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    Reconciler,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.mock import MockNexus
from tests.adapters.nexuspay.truth import KEY, Truth, credits_on


async def test_a_bounty_lives_its_life_on_the_credits_of_the_same_server() -> None:
    """Posted, claimed and settled; and one that is cancelled. Nothing is left to reconcile."""
    mock = MockNexus("0.10", api_key=KEY)
    contribution = Contribution(cid="cid-1", agent=AgentIdentity(agent_id="bob"))
    async with (
        NexusClient("http://nexus", api_key=KEY, transport=mock.transport()) as client,
        credits_on(mock) as service,
    ):
        operations = BountyOperations(
            NexusBountyStore(client, commit="conditional"),
            credits=service,
            claims=NexusClaimStore(client, commit="conditional"),
            contributions=MemoryContributionStore([contribution]),
        )
        await service.top_up("funds", account="alice", amount=100)
        for name in ("b-1", "b-2"):
            bounty = Bounty(
                bounty_id=name,
                title="Sort it",
                creator=AgentIdentity(agent_id="alice"),
                amount=40,
                criteria=BountyCriteria(description="sorted"),
                deadline=datetime.now(UTC) + timedelta(days=1),
            )
            await operations.create(bounty)
        await operations.claim("b-1", AgentIdentity(agent_id="bob"))
        settled = await operations.settle("b-1", "cid-1")
        assert settled.bounty.status is BountyStatus.SETTLED
        await operations.cancel("b-2")
        assert (await service.balance("alice")).available == 60
        assert (await service.balance("bob")).available == 40
        report = await Reconciler(operations).run_once()
        assert (report.found, list(report.left)) == (0, [])
    truth = Truth(mock)
    truth.assert_sound()
    assert (truth.taken, truth.issued) == (100, 100)
