"""A bounty's life without a single await."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyQuery,
    BountyStateError,
    BountyStatus,
    CommitUnknownError,
    ConditionalCommit,
    NexusError,
    NexusSettings,
    PreCommitError,
    RewardRecord,
    RewardType,
)
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch, running
from nexus_bounty.nexus.client.classification import Disposition
from nexus_bounty.nexus.client.settings import ConfigurationError
from nexus_bounty.sync import ClosedError, SyncNexusBountyStore, SyncNexusClient, timeout

ALICE, BOB = AgentIdentity(agent_id="alice"), AgentIdentity(agent_id="bob")


def bounty(bounty_id: str = "b1", status: BountyStatus = BountyStatus.OPEN) -> Bounty:
    return Bounty(
        bounty_id=bounty_id,
        status=status,
        title="A title",
        creator=ALICE,
        amount=100,
        criteria=BountyCriteria(description="done"),
        deadline=datetime(2100, 1, 1, tzinfo=UTC),
    )


def connect(mock: MockNexus, **given: float) -> SyncNexusClient:
    settings = NexusSettings.model_validate(
        {"retry_base": 0.001, "operation_timeout": 10.0, **given}
    )
    return SyncNexusClient("http://nexus", settings=settings, transport=mock.transport())


def test_a_bounty_lives_its_whole_life() -> None:
    """Every method of the store, and what it leaves on the server."""
    mock = MockNexus("0.10")
    with connect(mock) as client, SyncNexusBountyStore(client, zone_id="z") as store:
        assert store.store_identity == "nexus:z:bounties"
        created = store.create_bounty(bounty(), idempotency_key="k1")
        assert store.create_bounty(bounty(), idempotency_key="k1").created_at == created.created_at
        assert store.claim_bounty("b1", BOB, "c1").claimed_by == BOB
        assert store.release_bounty("b1", BOB).status is BountyStatus.OPEN
        assert store.claim_bounty("b1", claimed_by=BOB, claim_id="c2").claim_id == "c2"
        assert store.begin_settlement("b1", "cid").status is BountyStatus.PENDING_SETTLEMENT
        assert store.complete_bounty("b1", "cid").fulfilled_by_cid == "cid"
        assert store.settle_bounty("b1", idempotency_key="k2").status is BountyStatus.SETTLED
        assert store.resolve_operation("b1", "k2").outcome == "committed"
        reward = RewardRecord(
            reward_id="r",
            reward_type=RewardType.BOUNTY_PAYOUT,
            recipient=BOB,
            amount=100,
            contribution_cid="cid",
        )
        assert store.record_reward(reward) == reward
        assert store.has_reward("r")
        assert store.list_rewards() == [reward]
        assert store.get_bounty("b1") == store.list_bounties()[0]
        assert store.count_bounties(BountyQuery(status=BountyStatus.SETTLED)) == 1
        assert store.find_expired_bounties() == []
        assert all(status.healthy for status in store.list_index_statuses())
        assert store.repair_index() is not None
        with pytest.raises(BountyStateError):
            store.cancel_bounty("b1")
    assert mock.read_file("/zones/z/bounties/b1.json") is not None


def test_a_draft_is_funded_cancelled_and_expired() -> None:
    """The other ways that a bounty may go."""
    with connect(MockNexus("0.10")) as client:
        store = SyncNexusBountyStore(client)
        store.create_bounty(bounty("b2", BountyStatus.DRAFT))
        assert store.fund_bounty("b2", "res").reservation_id == "res"
        assert store.expire_bounty("b2").status is BountyStatus.EXPIRED
        store.create_bounty(bounty("b3"))
        assert store.cancel_bounty("b3").status is BountyStatus.CANCELLED


def test_the_client_reads_writes_lists_and_walks() -> None:
    """Every method of the client."""
    with connect(MockNexus("0.10-hypothetical"), page_size=2) as client:
        etag = client.write("/d/a", b"1", if_none_match=True)
        client.write("/d/b", b"2", idempotent=True)
        assert client.write("/d/a", b"3", if_match=etag, deadline=client.deadline()) != etag
        file = client.read("/d/a")
        assert file is not None
        assert file.content == b"3"
        client.rename("/d/b", "/d/c")
        assert client.list("/d") == ["/d/a", "/d/c"]
        assert [entry.path for entry in client.walk("/d", details=True)] == ["/d/a", "/d/c"]
        assert [f and f.content for f in client.read_many(["/d/c", "/d/b"])] == [b"2", None]
        assert client.exists("/d/b") is False
        assert client.delete("/d/a") is True
        assert client.read("/none") is None


def test_errors_are_those_of_the_async_classes() -> None:
    """With their verdicts and evidence."""
    refusing = Fault(FaultKind.REFUSE, times=None)
    with connect(MockNexus("0.10", faults=[refusing]), retry_attempts=2) as client:
        with pytest.raises(NexusError) as caught:
            client.write("/a", b"")
        assert caught.value.disposition is Disposition.NEVER_SENT
        with pytest.raises(PreCommitError) as outcome:
            SyncNexusBountyStore(client).create_bounty(bounty(), idempotency_key="k")
        assert outcome.value.idempotency_key == "k"


def test_of_eight_threads_that_claim_one_bounty_exactly_one_wins() -> None:
    """On an atomic server, through one shared store."""
    with connect(MockNexus("0.10")) as client:
        store = SyncNexusBountyStore(client)
        store.create_bounty(bounty())
        barrier = threading.Barrier(8)

        def claim(number: int) -> str | None:
            agent = AgentIdentity(agent_id=f"agent-{number}")
            barrier.wait(5.0)
            try:
                claimed = store.claim_bounty("b1", agent, f"claim-{number}")
            except PreCommitError:
                return None
            return claimed.claim_id

        with ThreadPoolExecutor(8) as threads:
            winners = [each for each in threads.map(claim, range(8)) if each]
        found = store.get_bounty("b1")
        assert found is not None
        assert winners == [found.claim_id]


def test_a_commit_that_timed_out_is_found_again_by_its_key() -> None:
    """A timeout says nothing of the commit; the key does."""
    lost = Fault(FaultKind.TIMEOUT_AFTER, match=RequestMatch(path="*/b1.json"), times=None)
    mock = MockNexus("0.10", faults=[lost])
    with connect(mock) as client:
        store = SyncNexusBountyStore(client)
        with pytest.raises((TimeoutError, CommitUnknownError)), timeout(0.2):
            store.create_bounty(bounty(), idempotency_key="k")
        mock.clear_faults()
        asked = mock.request_count
        assert store.create_bounty(bounty(), idempotency_key="k").bounty_id == "b1"
        assert mock.request_count > asked
        assert len([c for c in mock.history("/zones/default/bounties/b1.json") if c.content]) == 1


def test_a_store_shares_the_loop_of_its_client_and_outlives_nothing() -> None:
    """Closing the store leaves the client open; closing the client closes the store."""
    with connect(MockNexus("0.10")) as client:
        first, second = SyncNexusBountyStore(client), SyncNexusBountyStore(client, "other")
        assert first.background is second.background is client.background
        first.close()
        with pytest.raises(ClosedError):
            first.get_bounty("b1")
        assert second.get_bounty("b1") is None
    with pytest.raises(ClosedError, match="nothing was sent"):
        second.create_bounty(bounty())
    with pytest.raises(ClosedError):
        client.read("/a")
    with pytest.raises(ClosedError):
        SyncNexusBountyStore(client)
    second.close()


def test_a_commit_strategy_is_made_on_what_the_client_wraps() -> None:
    """So that every option of the async store is there."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with connect(MockNexus("0.10")) as client:
        commit = ConditionalCommit(client.wrapped)
        store = SyncNexusBountyStore(client, commit=commit, clock=lambda: now)
        assert store.create_bounty(bounty()).updated_at == now


def test_a_bad_url_and_a_closed_port_are_never_sent() -> None:
    """As with the async client; the thread is gone when the constructor fails."""
    with SyncNexusClient("ftp://host") as client, pytest.raises(NexusError) as caught:
        client.read("/a")
    assert caught.value.disposition is Disposition.NEVER_SENT
    before = threading.active_count()
    with pytest.raises(ConfigurationError):
        SyncNexusClient("http://host:port")
    assert threading.active_count() == before


async def test_a_served_mock_is_reached_over_sockets_from_a_thread() -> None:
    """Real connections on the private loop, closed without a warning."""
    async with running(MockNexus("0.7.0")) as url:

        def use() -> bytes | None:
            with SyncNexusClient(url) as client:
                client.write("/a", b"1")
                file = client.read("/a")
                return file.content if file else None

        assert await asyncio.to_thread(use) == b"1"
