"""Whoever has an empty ledger open while it becomes a copy works on the copy from then on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nexus_bounty import AgentIdentity, Bounty, BountyCriteria, BountyStatus, NexusBountyStore
from nexus_bounty.ledger import copy_ledger
from nexus_bounty.memory import MemoryClaimStore, MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.operations import BountyOperations
from nexus_bounty.outcomes import WrongLedgerError
from nexus_bounty.ports import ReservationStatus
from nexus_bounty_postgres import PostgresCredits
from nexus_bounty_sqlite import SqliteCredits
from tests.support.ledgers import lived


@pytest.fixture
async def source():
    ledger = MemoryCredits()
    await lived(ledger)
    return ledger


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def places(request, tmp_path):
    """One empty ledger, as two processes have it open."""
    if request.param == "memory":
        ledger = MemoryCredits()
        yield ledger, ledger
        return
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    opened: Any = (lambda: PostgresCredits(url)) if url else lambda: SqliteCredits(tmp_path / "l")
    async with opened() as one, opened() as other:
        yield one, other


def _offer() -> Bounty:
    return Bounty(
        bounty_id="b",
        title="t",
        creator=AgentIdentity(agent_id="alice"),
        amount=5,
        criteria=BountyCriteria(description="x"),
        deadline=datetime.now(UTC) + timedelta(days=1),
    )


async def test_a_ledger_that_became_a_copy_says_so_to_those_who_have_it_open(source, places):
    """They asked which one it is when it was empty, and ask again."""
    early, copying = places
    own = await early.identity()
    assert (await copy_ledger(source, copying)).ok
    assert await early.identity() == await copying.identity() == await source.identity() != own


async def test_what_is_posted_while_the_ledger_becomes_a_copy_is_taken_back(source, places):
    """The draft names what the ledger was before; then credits are there, and can be reserved."""
    early, copying = places
    reserve = early.reserve

    async def late(*args: Any, **options: Any) -> Any:
        async for page in source.movements():  # of a copy that had looked before the create began
            await copying.take_over(await source.identity(), page)
        return await reserve(*args, **options)

    early.reserve = late
    async with NexusClient(transport=MockNexus().transport()) as client:
        operations = BountyOperations(
            NexusBountyStore(client),
            credits=early,
            claims=MemoryClaimStore(),
            contributions=MemoryContributionStore(),
        )
        with pytest.raises(WrongLedgerError):
            await operations.create(_offer(), idempotency_key="first")
        early.reserve = reserve
        held = [each async for each in copying.reservations(ReservationStatus.HELD)]
        assert [each.reservation_id for each in held] == ["r2"]
        posted = await operations.create(_offer(), idempotency_key="second")
        assert posted.bounty.status is BountyStatus.OPEN
        assert posted.bounty.ledger_id == await source.identity()
