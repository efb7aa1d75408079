"""Whole lives of bounties, from create to settle, by this library and by its peers."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol

import httpx

from benchmarks.harness.obvious import ObviousClient
from benchmarks.harness.server import a_bounty
from nexus_bounty import (
    AgentIdentity,
    BountyOperations,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.models import Contribution, utc_now
from nexus_bounty.nexus.selection.auto_commit import CommitOption
from nexus_bounty.ports import ContributionStore, CreditsService

WORK = Contribution(cid="cid-1", scores={"ms": 240})


class Liver(Protocol):
    """Whatever can take one new bounty through its whole life."""

    async def live(self) -> None:
        """Create it, claim it, settle it."""
        ...


async def funded(credits: CreditsService) -> CreditsService:  # noqa: A002 - the word for it
    """Credits of which the creator has more than will be needed."""
    await credits.top_up(uuid.uuid4().hex, account="creator", amount=10**12)
    return credits


class OurLives:
    """Lives by `BountyOperations`."""

    def __init__(self, operations: BountyOperations) -> None:
        self._operations = operations

    async def live(self) -> None:
        """Create, claim, settle."""
        bounty_id = uuid.uuid4().hex
        await self._operations.create(a_bounty(bounty_id))
        await self._operations.claim(bounty_id, AgentIdentity(agent_id="worker"))
        await self._operations.settle(bounty_id, WORK.cid)


class ObviousLives:
    """Lives by the obvious client."""

    def __init__(self, client: ObviousClient) -> None:
        self._client = client

    async def live(self) -> None:
        """Create, claim, settle."""
        bounty_id = uuid.uuid4().hex
        await self._client.create(bounty_id, 1, "creator")
        await self._client.claim(bounty_id, "worker")
        await self._client.settle(bounty_id, WORK.cid)


def operations_on(
    client: NexusClient,
    zone: str,
    credits: CreditsService,  # noqa: A002 - the word for it
    clock: Callable[[], datetime] = utc_now,
    commit: CommitOption = "conditional",
    works: ContributionStore | None = None,
) -> BountyOperations:
    """Operations with claims on Nexus and, unless `works` are given, the contribution at hand."""
    return BountyOperations(
        NexusBountyStore(client, zone_id=zone, commit=commit, clock=clock),
        credits=credits,
        claims=NexusClaimStore(client, zone_id=zone, commit=commit, clock=clock),
        contributions=MemoryContributionStore([WORK]) if works is None else works,
        allow_shared_work=True,  # one contribution is enough to pay all of them here
        clock=clock,
    )


@asynccontextmanager
async def ours(
    url: str,
    zone: str,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    **settings: Any,
) -> AsyncIterator[OurLives]:
    """This library as it comes, or on a given transport; it commits as is safe there."""
    chosen = NexusSettings(url=url, **settings)
    async with NexusClient(settings=chosen, transport=transport) as client:
        ledger = await funded(MemoryCredits())
        yield OurLives(operations_on(client, zone, ledger, commit="auto"))


@asynccontextmanager
async def obvious(
    url: str,
    zone: str,
    *,
    timeout: float = 10.0,
    has_stat: bool = True,
) -> AsyncIterator[ObviousLives]:
    """The obvious client, on httpx's own transport."""
    ledger = await funded(MemoryCredits())
    async with ObviousClient(url, zone, ledger, timeout=timeout, has_stat=has_stat) as client:
        yield ObviousLives(client)


def fresh_store(client: NexusClient, zone: str) -> NexusBountyStore:
    """A store that has seen nothing yet, and commits as is safe there."""
    return NexusBountyStore(client, zone_id=zone)
