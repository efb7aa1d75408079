"""A settlement begins its pivot while it reads the work, and commits nothing before it has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nexus_bounty import (
    BountyOperations,
    BountyStatus,
    CriteriaNotMetError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusContributionStore,
    NotAllowedError,
    OutcomeError,
    Work,
)
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.testing.builders import make_agent, make_bounty
from tests.support.clients import quick

PERSONALITIES = ["0.5.6", "0.7.0", "0.9", "0.10", "0.10-hypothetical"]
BOUNTY = make_bounty()
ACCOUNT = BOUNTY.creator.agent_id


@asynccontextmanager
async def claimed(mock: MockNexus) -> AsyncIterator[BountyOperations]:
    """Operations in which bob has claimed the bounty, his and alice's work being on Nexus."""
    async with NexusClient("http://nexus", settings=quick(), transport=mock.transport()) as client:
        ledger = MemoryCredits()
        await ledger.top_up("t", account=ACCOUNT, amount=1_000)
        made = BountyOperations(
            NexusBountyStore(client),
            credits=ledger,
            claims=NexusClaimStore(client),
            contributions=NexusContributionStore(client),
        )
        await made.create(BOUNTY)
        await made.claim(BOUNTY.bounty_id, make_agent("bob"))
        await client.flush()
        yield made


async def deliver(made: BountyOperations, author: str) -> str:
    works = made.services.contributions
    assert isinstance(works, NexusContributionStore)
    return (await works.put(Work(agent=make_agent(author), summary="done"))).cid


async def assigned(made: BountyOperations) -> object:
    bounty = await made.services.store.get_bounty(BOUNTY.bounty_id)
    assert bounty is not None
    assert bounty.status is BountyStatus.CLAIMED
    (held,) = [each async for each in made.services.credits.reservations()]
    return held.assignment


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_a_work_that_is_refused_is_told_to_nobody_and_keeps_nobody_from_being_paid(
    personality: str,
) -> None:
    """Whatever was begun meanwhile: by another author, and none at all."""
    mock = MockNexus(personality)
    async with claimed(mock) as made:
        mine, theirs = await deliver(made, "bob"), await deliver(made, "carol")
        for cid in (theirs, "blake3:none", theirs):
            with pytest.raises(CriteriaNotMetError):
                await made.settle(BOUNTY.bounty_id, cid)
            assert await assigned(made) is None
        paid = await made.settle(BOUNTY.bounty_id, mine)
    assert paid.bounty.status is BountyStatus.SETTLED
    assert paid.bounty.fulfilled_by_cid == mine
    assert (await made.services.credits.balance("bob")).available == BOUNTY.amount


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_a_work_that_cannot_be_read_is_not_settled_with(personality: str) -> None:
    """Nor is the ledger told of it."""
    mock = MockNexus(personality)
    async with claimed(mock) as made:
        mine = await deliver(made, "bob")
        about_it = RequestMatch(predicate=lambda sent: any(mine in path for path in sent.paths))
        mock.inject(Fault(FaultKind.DROP_BEFORE, match=about_it, times=1_000))
        with pytest.raises(OutcomeError):
            await made.settle(BOUNTY.bounty_id, mine)
        assert await assigned(made) is None


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_whoever_may_not_settle_has_nothing_begun(personality: str) -> None:
    """A stranger writes nothing at all: neither a marker nor what is staged."""
    mock = MockNexus(personality)
    async with claimed(mock) as made:
        mine = await deliver(made, "bob")
        before = {path: file.content for path, file in mock.files.items()}
        with pytest.raises(NotAllowedError):
            await made.settle(BOUNTY.bounty_id, mine, actor="mallory")
        assert {path: file.content for path, file in mock.files.items()} == before


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_a_work_is_read_once(personality: str) -> None:
    """Also where etags say nothing of what is read."""
    mock = MockNexus(personality)
    async with claimed(mock) as made:
        mine = await deliver(made, "bob")
        before = mock.request_count
        assert await made.services.contributions.get(mine) is not None
        assert mock.request_count == before + 1
