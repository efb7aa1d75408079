"""Bounty operations on a ledger whose every COMMIT is lost once, before and after it arrives."""

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import pytest

from nexus_bounty import (
    BountyOperations,
    Contribution,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.mock import MockNexus, Release
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing import make_agent, make_bounty
from nexus_bounty.testing.room import COMMIT, SETTINGS, URL, ZONE
from nexus_bounty_postgres import PostgresCredits
from tests.support.postgres_proxy import COMMITTING, Loss, PostgresProxy

pytestmark = pytest.mark.thorough

Step = Callable[[BountyOperations, str], Awaitable[object]]
CREATOR = make_bounty().creator.agent_id
WORKER = make_agent().agent_id
AMOUNT = make_bounty().amount


async def _create(operations: BountyOperations, name: str) -> None:
    await operations.create(make_bounty(bounty_id=name))


async def _claim(operations: BountyOperations, name: str) -> None:
    await operations.claim(name, make_agent())


async def _settle(operations: BountyOperations, name: str) -> None:
    await operations.settle(name, f"cid-{name}")


async def _cancel(operations: BountyOperations, name: str) -> None:
    await operations.cancel(name)


LIVES: dict[str, tuple[Step, ...]] = {
    "settled": (_create, _claim, _settle),
    "cancelled": (_create, _cancel),
}


@asynccontextmanager
async def _operations(url: str, contributions: MemoryContributionStore):
    client = NexusClient(
        URL, settings=SETTINGS, transport=MockNexus(Release.HYPOTHETICAL).transport(silence=0)
    )
    async with client, PostgresCredits(url) as ledger:
        yield BountyOperations(
            NexusBountyStore(client, ZONE, commit=COMMIT),
            credits=ledger,
            claims=NexusClaimStore(client, ZONE, commit=COMMIT),
            contributions=contributions,
        )


@pytest.mark.parametrize(
    ("life", "loss"),
    [
        ("settled", Loss.ANSWER),
        pytest.param("settled", Loss.QUERY, marks=pytest.mark.thorough),
        pytest.param("settled", Loss.LATE, marks=pytest.mark.thorough),
        pytest.param("cancelled", Loss.ANSWER, marks=pytest.mark.thorough),
        pytest.param("cancelled", Loss.QUERY, marks=pytest.mark.thorough),
    ],
)
async def test_a_life_is_lived_once_whichever_commit_of_the_ledger_is_lost(
    life, loss, postgres_url
):
    """No operation fails, the money moves once, and nothing is left in doubt or to repair."""
    works = MemoryContributionStore(
        [Contribution(cid=f"cid-b-{number}", agent=make_agent()) for number in range(40)]
    )
    with PostgresProxy(postgres_url) as proxy:
        async with _operations(proxy.url, works) as operations:
            ledger = operations.services.credits
            await ledger.top_up("funds", account=CREATOR, amount=40 * AMOUNT)
            lived = 0
            for number in count():
                proxy.arm(COMMITTING, loss, after=number)
                for step in LIVES[life]:
                    await step(operations, f"b-{number}")
                lived += 1
                if not proxy.happened.is_set():
                    break
            proxy.disarm()
            assert lived > 6
            paid = lived * AMOUNT if life == "settled" else 0
            left = await ledger.balance(CREATOR)
            assert (left.available, left.reserved) == (40 * AMOUNT - paid, 0)
            assert (await ledger.balance(WORKER)).available == paid
            assert [each async for each in ledger.open_operations(ZONE)] == []
            report = await Reconciler(operations, dry_run=True).run_once()
            assert report.findings == []
            assert (await ledger.verify()).ok
