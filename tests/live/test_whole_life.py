"""The operations on real servers: escrow on SQLite, answers lost, and the reconciler after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio

from nexus_bounty import (
    AgentIdentity,
    BountyStateError,
    BountyStatus,
    Contribution,
    InsufficientCreditsError,
    NexusBountyStore,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.models import utc_now
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.operations import BountyOperations
from nexus_bounty.operations.escrow import record_payee
from nexus_bounty.operations.services import known_bounty
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty_sqlite import SqliteCredits
from tests.live.servers import RELEASES, fresh_zone, live_server
from tests.support.transports import LosingAnswers

pytestmark = pytest.mark.live

ALICE = AgentIdentity(agent_id="alice")
BOB = AgentIdentity(agent_id="bob")
CAROL = AgentIdentity(agent_id="carol")


@dataclass
class Live:
    """A fresh zone of a real server."""

    operations: BountyOperations
    ledger: SqliteCredits
    line: LosingAnswers

    async def money(self) -> tuple[int, int, int]:
        """What Alice has, what is in escrow, what the workers have."""
        alice, bob, carol = [
            await self.ledger.balance(each.agent_id) for each in (ALICE, BOB, CAROL)
        ]
        return alice.available, alice.reserved, bob.available + carol.available


@pytest_asyncio.fixture(params=RELEASES)
async def live(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Live]:
    server, line = live_server(request.param), LosingAnswers(httpx.AsyncHTTPTransport())
    async with (
        server.client(transport=line, zone_id=fresh_zone()) as client,
        SqliteCredits(tmp_path / "ledger.db") as ledger,
    ):
        commit = server.commit(client)
        await ledger.top_up("founding", account="alice", amount=1000)
        work = MemoryContributionStore(
            [Contribution(cid=f"cid-{number}", tags=["ok"]) for number in range(10)]
        )
        operations = BountyOperations(
            NexusBountyStore(client, commit=commit),
            credits=ledger,
            claims=NexusClaimStore(client, commit=commit),
            contributions=work,
        )
        yield Live(operations, ledger, line)


async def test_a_bounty_lives_from_escrow_to_payment(live: Live) -> None:
    """Create, claim, settle: the worker is paid, and nothing is left over."""
    created = await live.operations.create(make_bounty(creator=ALICE, amount=100))
    assert await live.money() == (900, 100, 0)
    bounty_id = created.bounty.bounty_id
    await live.operations.claim(bounty_id, BOB)
    settled = await live.operations.settle(bounty_id, "cid-1")
    assert settled.bounty.status is BountyStatus.SETTLED
    assert settled.credits_with == "bob"
    assert await live.money() == (900, 0, 100)
    assert (await live.ledger.verify()).ok


async def test_every_lost_answer_is_resolved(live: Live) -> None:
    """Whichever answers are lost after the server applied the request: the same end."""
    for number, steps in enumerate([(1,), (2,), (3,), (1, 2), (2, 4), (5,), (6,)]):
        bounty = make_bounty(bounty_id=f"b-{number}", creator=ALICE, amount=10)
        live.line.lose_next(*steps)
        await live.operations.create(bounty, idempotency_key=f"create-{number}")
        live.line.lose_next(*steps)
        await live.operations.claim(bounty.bounty_id, BOB)
        live.line.lose_next(*steps)
        result = await live.operations.settle(bounty.bounty_id, f"cid-{number}")
        assert result.bounty.status is BountyStatus.SETTLED
    assert await live.money() == (1000 - 70, 0, 70)


async def test_what_is_withdrawn_released_or_too_dear_leaves_nothing_behind(live: Live) -> None:
    """Cancel gives back, release reopens, insufficient funds post nothing."""
    bounty_id = (await live.operations.create(make_bounty(creator=ALICE))).bounty.bounty_id
    await live.operations.claim(bounty_id, BOB)
    await live.operations.release(bounty_id, BOB)
    await live.operations.claim(bounty_id, CAROL)
    with pytest.raises(BountyStateError):
        await live.operations.claim(bounty_id, BOB)
    cancelled = await live.operations.cancel(bounty_id)
    assert cancelled.bounty.status is BountyStatus.CANCELLED
    with pytest.raises(InsufficientCreditsError):
        await live.operations.create(make_bounty(bounty_id="dear", creator=ALICE, amount=5000))
    assert await live.money() == (1000, 0, 0)


async def test_the_reconciler_ends_what_a_dead_process_left(live: Live) -> None:
    """A pivot without payment, a draft without credits: both come to their end."""
    operations = live.operations
    bounty_id = (await operations.create(make_bounty(creator=ALICE, amount=50))).bounty.bounty_id
    await operations.claim(bounty_id, BOB)
    services = operations.services
    await record_payee(services, await known_bounty(services, bounty_id), "cid-1", "pivot")
    await services.store.begin_settlement(bounty_id, "cid-1", idempotency_key="pivot")
    draft = make_bounty(bounty_id="stuck", creator=ALICE, status=BountyStatus.DRAFT)
    await operations.services.store.create_bounty(
        msgspec.structs.replace(draft, deadline=utc_now() + timedelta(days=1))
    )
    report = await Reconciler(operations, grace=timedelta(0)).run_until_clean()
    assert not report.left
    assert not report.errors
    assert await live.money() == (950, 0, 50)
    statuses = {
        each.bounty_id: each.status for each in await operations.services.store.list_bounties()
    }
    assert statuses == {bounty_id: BountyStatus.SETTLED, "stuck": BountyStatus.CANCELLED}
