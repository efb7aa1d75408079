"""Posting, claiming and being paid without a single await."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyStatus,
    Contribution,
    CriteriaNotMetError,
    InsufficientCreditsError,
    NexusSettings,
    PostCommitError,
    PreCommitError,
)
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.reconcile.report import Finding, ReconcileReport
from nexus_bounty.sync import (
    ClosedError,
    SyncBountyOperations,
    SyncNexusBountyStore,
    SyncNexusClient,
    SyncReconciler,
    timeout,
)

ALICE, BOB = AgentIdentity(agent_id="alice"), AgentIdentity(agent_id="bob")
CRITERIA = BountyCriteria(description="done", required_tags=["tested"])
WORK = Contribution(cid="cid", agent=BOB, tags=["tested"])
DEADLINE = datetime(2026, 2, 1, tzinfo=UTC)


@dataclass
class World:
    """A server, a ledger in which Alice has 1000 credits, and a clock that is moved by hand."""

    mock: MockNexus
    client: SyncNexusClient
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    store: SyncNexusBountyStore = field(init=False)
    credits: MemoryCredits = field(init=False)
    operations: SyncBountyOperations = field(init=False)

    def __post_init__(self) -> None:
        def clock() -> datetime:
            return self.now

        self.credits = MemoryCredits(clock=clock)
        self.client.background.run(self.credits.top_up, "funds", account="alice", amount=1000)
        self.store = SyncNexusBountyStore(self.client, commit="conditional", clock=clock)
        self.operations = SyncBountyOperations(
            self.store,
            credits=self.credits,
            claims=NexusClaimStore(self.client.wrapped, commit="conditional", clock=clock),
            contributions=MemoryContributionStore([WORK]),
            clock=clock,
        )

    def money(self, account: str) -> tuple[int, int]:
        """What the account has to spend, and what is set aside."""
        balance = self.client.background.run(self.credits.balance, account)
        return balance.available, balance.reserved

    def post(self, bounty_id: str = "b1", amount: int = 100) -> Bounty:
        """Have Alice post a bounty."""
        bounty = Bounty(
            bounty_id=bounty_id,
            title="A title",
            creator=ALICE,
            amount=amount,
            criteria=CRITERIA,
            deadline=DEADLINE,
        )
        return self.operations.create(bounty, idempotency_key=f"post-{bounty_id}").bounty


@pytest.fixture
def world() -> Iterator[World]:
    mock = MockNexus("0.10")
    settings = NexusSettings(retry_attempts=2, retry_base=0.001, operation_timeout=10.0)
    with SyncNexusClient("http://nexus", settings=settings, transport=mock.transport()) as client:
        yield World(mock, client)


def test_a_bounty_is_posted_claimed_and_paid(world: World) -> None:
    """The whole life, and where the money is at every step."""
    assert world.post().status is BountyStatus.OPEN
    assert world.money("alice") == (900, 100)

    claimed = world.operations.claim("b1", BOB, idempotency_key="c")
    assert (claimed.bounty.status, claimed.bounty.claimed_by) == (BountyStatus.CLAIMED, BOB)
    assert claimed.claim is not None
    renewed = world.operations.renew("b1", BOB, lease=timedelta(hours=2))
    assert renewed.claim is not None
    assert renewed.claim.lease_expires_at == world.now + timedelta(hours=2)
    assert world.money("alice") == (900, 100)

    settled = world.operations.settle("b1", "cid", idempotency_key="s")
    assert settled.bounty == world.store.get_bounty("b1")
    assert settled.bounty.status is BountyStatus.SETTLED
    assert settled.credits_with == "bob"
    assert list(settled.owed) == []
    assert settled.reward is not None
    assert world.store.list_rewards() == [settled.reward]
    assert (world.money("alice"), world.money("bob")) == ((900, 0), (100, 0))

    again = world.operations.settle("b1", "cid", idempotency_key="s")
    assert (again.bounty, again.reward) == (settled.bounty, settled.reward)
    assert (world.money("alice"), world.money("bob")) == ((900, 0), (100, 0))


def test_a_bounty_is_given_back_cancelled_and_expired(world: World) -> None:
    """The other ways that it may go: the money goes back in each."""
    world.post()
    world.operations.claim("b1", BOB)
    assert world.operations.release("b1", BOB).bounty.status is BountyStatus.OPEN
    assert world.operations.cancel("b1").bounty.status is BountyStatus.CANCELLED
    assert world.money("alice") == (1000, 0)
    world.post("b2")
    world.post("b3")
    assert world.money("alice") == (800, 200)
    world.now = DEADLINE + timedelta(seconds=1)
    assert world.operations.expire("b2").bounty.status is BountyStatus.EXPIRED
    assert [each.bounty.bounty_id for each in world.operations.expire_due().expired] == ["b3"]
    assert world.money("alice") == (1000, 0)


def test_errors_are_those_of_the_async_operations(world: World) -> None:
    """With their verdicts and the key to repeat the call with."""
    with pytest.raises(InsufficientCreditsError) as poor:
        world.post(amount=1001)
    assert poor.value.idempotency_key == "post-b1"
    world.post("b2")
    world.operations.claim("b2", BOB)
    with pytest.raises(CriteriaNotMetError) as unmet:
        world.operations.settle("b2", "no such work", idempotency_key="s")
    assert (unmet.value.operation, unmet.value.idempotency_key) == ("settle", "s")
    assert world.money("alice") == (900, 100)


def test_a_refused_create_can_be_tried_again_after_the_top_up(world: World) -> None:
    """With its own key, and no listing shows it before."""
    with pytest.raises(InsufficientCreditsError):
        world.post(amount=1001)
    assert world.store.list_bounties() == []
    world.client.background.run(world.credits.top_up, "more", account="alice", amount=1)
    assert world.post(amount=1001).status is BountyStatus.OPEN
    assert world.money("alice") == (0, 1001)


def test_a_settlement_that_was_cut_short_is_finished_by_the_reconciler(world: World) -> None:
    """Found first by a dry run, left alone until its time has come, then brought to its end."""
    world.post()
    world.operations.claim("b1", BOB)
    world.mock.inject(
        Fault(
            FaultKind.STATUS_BEFORE,
            status=403,
            match=RequestMatch(method="write", path="*/rewards/*"),
            times=None,
        )
    )
    with pytest.raises(PostCommitError) as owed:
        world.operations.settle("b1", "cid", idempotency_key="s")
    assert "record_reward" in owed.value.pending
    assert world.store.list_rewards() == []
    world.mock.clear_faults()

    reconciler = SyncReconciler(world.operations)
    assert reconciler.run_once().repaired == 0
    world.now += timedelta(minutes=6)
    assert SyncReconciler(world.operations, dry_run=True).run_once().repaired == 0
    assert world.store.list_rewards() == []
    told: list[Finding] = []
    report = reconciler.run_once(told.append)
    assert report.errors == []
    assert report.repaired >= 1
    assert [each for each in told if each.repaired and each.subject == "b1"]
    assert reconciler.run_until_clean().found == 0
    assert reconciler.wrapped.health.runs == 3
    assert [each.bounty_id for each in world.store.list_rewards()] == ["b1"]
    assert (world.money("alice"), world.money("bob")) == ((900, 0), (100, 0))


def test_a_reconciler_that_runs_for_ever_ends_with_its_time(world: World) -> None:
    """As it would by Ctrl-C; until then it reports every run."""
    reports: list[ReconcileReport] = []
    reconciler = SyncReconciler(world.operations)
    every = timedelta(milliseconds=1)
    with pytest.raises(TimeoutError), timeout(0.3):
        reconciler.run_forever(every, on_report=reports.append)
    runs = len(reports)
    assert runs > 1
    assert not any(report.errors for report in reports)
    assert reconciler.run_once().found == 0
    assert len(reports) == runs


def test_of_eight_threads_that_claim_one_bounty_exactly_one_wins(world: World) -> None:
    """And only its lease is left."""
    world.post()
    barrier = threading.Barrier(8)

    def claim(number: int) -> str | None:
        agent = AgentIdentity(agent_id=f"agent-{number}")
        barrier.wait(5.0)
        try:
            won = world.operations.claim("b1", agent)
        except PreCommitError:
            return None
        return won.bounty.claim_id

    with ThreadPoolExecutor(8) as threads:
        winners = [each for each in threads.map(claim, range(8)) if each]
    found = world.store.get_bounty("b1")
    assert found is not None
    assert winners == [found.claim_id]


def test_everything_lives_on_the_loop_of_the_client_and_ends_with_it(world: World) -> None:
    """Closing the operations closes neither the store nor the reconciler's loop."""
    reconciler = SyncReconciler(world.operations)
    assert reconciler.background is world.operations.background is world.client.background
    world.operations.close()
    with pytest.raises(ClosedError, match="SyncBountyOperations is closed: nothing was sent"):
        world.post()
    assert world.store.get_bounty("b1") is None
    assert reconciler.run_once().errors == []
    world.client.close()
    with pytest.raises(ClosedError):
        reconciler.run_once()
    with pytest.raises(ClosedError):
        SyncReconciler(world.operations)
