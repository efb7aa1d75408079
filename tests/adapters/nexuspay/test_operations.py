"""Bounties whose escrow is on the NexusPay of the same server, by the operations people call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyOperations,
    BountyStatus,
    Contribution,
    InsufficientCreditsError,
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


async def test_a_refused_create_can_be_tried_again_after_the_top_up() -> None:
    """With its key, by a process that knows nothing of the first try, and with another key."""
    mock = MockNexus("0.10", api_key=KEY)
    async with (
        NexusClient("http://nexus", api_key=KEY, transport=mock.transport()) as client,
        credits_on(mock) as service,
    ):

        def operations() -> BountyOperations:
            return BountyOperations(
                NexusBountyStore(client, commit="conditional"),
                credits=service,
                claims=NexusClaimStore(client, commit="conditional"),
                contributions=MemoryContributionStore([]),
            )

        def offer(bounty_id: str) -> Bounty:
            return Bounty(
                bounty_id=bounty_id,
                title="Sort it",
                creator=AgentIdentity(agent_id="alice"),
                amount=40,
                criteria=BountyCriteria(description="sorted"),
                deadline=datetime(2100, 1, 1, tzinfo=UTC),
            )

        for bounty_id, key in (("b-1", "refused"), ("b-2", "another")):
            with pytest.raises(InsufficientCreditsError):
                await operations().create(offer(bounty_id), idempotency_key="refused")
            await service.top_up(f"for {bounty_id}", account="alice", amount=40)
            posted = await operations().create(offer(bounty_id), idempotency_key=key)
            assert posted.bounty.status is BountyStatus.OPEN
        balance = await service.balance("alice")
        assert (balance.available, balance.reserved) == (0, 80)
        report = await Reconciler(operations()).run_once()
        assert (report.found, list(report.left)) == (0, [])
    Truth(mock).assert_sound()
