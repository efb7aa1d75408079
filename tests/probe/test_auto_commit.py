"""AutoCommit finds out, pins, keeps to what the zone is committed with, and refuses in time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from nexus_bounty import (
    AgentIdentity,
    AutoCommit,
    BountyNotFoundError,
    BountyStatus,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    UnsupportedServerError,
    Verdict,
)
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.mock.personality import PERSONALITIES, Preconditions
from nexus_bounty.nexus.paths import ZonePaths
from nexus_bounty.testing.builders import make_agent, make_bounty, make_reward
from nexus_bounty.testing.clock import ManualClock

ZONE = ZonePaths("default")
PIN = ZONE.pinned_verdict
WORKER = AgentIdentity(agent_id="worker")
HOUR = timedelta(hours=1)


@asynccontextmanager
async def client_of(mock: MockNexus) -> AsyncIterator[NexusClient]:
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        yield client


def other_files(mock: MockNexus) -> list[str]:
    """What is in the zone besides the pinned verdict."""
    return [path for path in mock.files if path != PIN]


@pytest.mark.parametrize(
    ("personality", "verdict"), [("0.10", Verdict.CONDITIONAL), ("0.7.0", Verdict.RENAME)]
)
async def test_a_store_told_auto_commits_as_the_probe_found_to_be_safe(
    personality: str, verdict: Verdict
) -> None:
    """Without being told which server it talks to."""
    mock = MockNexus(personality)
    async with client_of(mock) as client:
        commit = AutoCommit(client)
        store = NexusBountyStore(client, commit=commit)
        await store.create_bounty(make_bounty())
        claimed = await store.claim_bounty("b-1", WORKER, "c")
        assert claimed.status is BountyStatus.CLAIMED
        assert commit.verdict is not None
        assert commit.verdict.strategy is verdict
    slots = [path for path in mock.files if "/commits/" in path]
    assert bool(slots) is (verdict is Verdict.RENAME)


async def test_the_verdict_is_pinned_for_whoever_comes_next() -> None:
    """A second client reads it and asks for the version: three requests instead of fifty."""
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        await NexusBountyStore(client, commit="auto").create_bounty(make_bounty())
    mock.reset_counts()
    async with client_of(mock) as client:
        found = await NexusBountyStore(client, commit="auto").get_bounty("b-1")
    assert found is not None
    assert mock.request_count == 3 + 2


async def test_another_version_of_the_server_is_probed_anew() -> None:
    """What was pinned for the old one is not believed of it."""
    mock = MockNexus("0.10")
    async with client_of(mock) as client:
        await NexusBountyStore(client, commit="auto").create_bounty(make_bounty())
    become(mock, "0.7.0")
    async with client_of(mock) as client:
        commit = AutoCommit(client)
        await NexusBountyStore(client, commit=commit).claim_bounty("b-1", WORKER, "c")
        assert commit.verdict is not None
        assert commit.verdict.strategy is Verdict.RENAME


def become(mock: MockNexus, personality: str) -> None:
    """Put another release in the server's place, over the same files."""
    release = PERSONALITIES[personality]
    behaviour = mock.core.behaviour
    mock.core.personality = release
    for name, value in {"preconditions": release.preconditions}.items():
        object.__setattr__(behaviour, name, value)


async def test_a_client_that_is_running_notices_another_version_within_minutes() -> None:
    """It asks now and then."""
    clock = ManualClock()
    mock = MockNexus("0.10")
    async with client_of(mock) as client:
        commit = AutoCommit(client, clock=clock)
        store = NexusBountyStore(client, commit=commit)
        await store.create_bounty(make_bounty())
        become(mock, "0.9")
        clock.advance(timedelta(minutes=6))
        with pytest.raises(UnsupportedServerError, match=r"0\.9\.9 to 0\.9\.18"):
            await store.claim_bounty("b-1", WORKER, "c")
        assert await store.get_bounty("b-1") is not None


async def test_an_old_verdict_is_found_out_again() -> None:
    """By a new probe."""
    clock = ManualClock()
    mock = MockNexus("0.7.0", clock=clock)
    async with client_of(mock) as client:
        await AutoCommit(client, clock=clock).ready(client.deadline())
        mock.reset_counts()
        week = timedelta(days=8000)  # the report carries the wall clock's time
        clock.advance(week)
        await AutoCommit(client, clock=clock).ready(client.deadline())
    assert mock.request_count > 30


async def test_a_zone_committed_by_rename_stays_so_where_preconditions_become_atomic() -> None:
    """Others may be committing by rename still, and the two do not exclude each other."""
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        await NexusBountyStore(client, commit="auto").create_bounty(make_bounty())
        become(mock, "0.10")
        commit = AutoCommit(client)
        await NexusBountyStore(client, commit=commit).claim_bounty("b-1", WORKER, "c")
        assert commit.verdict is not None
        assert commit.verdict.report.verdict is Verdict.CONDITIONAL
        assert commit.verdict.strategy is Verdict.RENAME


async def test_an_unsafe_server_is_refused_before_anything_is_written() -> None:
    """No marker, no document, no lock, no reward: nothing but the pinned verdict."""
    mock = MockNexus("0.9")
    async with client_of(mock) as client:
        store = NexusBountyStore(client, commit="auto")
        claims = NexusClaimStore(client, commit="auto")
        for attempt in (
            store.create_bounty(make_bounty()),
            store.claim_bounty("b-1", WORKER, "c"),
            store.record_reward(make_reward()),
            claims.claim_or_renew("t", make_agent(), claim_id="c", lease=HOUR),
        ):
            with pytest.raises((UnsupportedServerError, BountyNotFoundError)):
                await attempt
        assert not other_files(mock)


async def test_the_refusal_names_the_operation_what_was_seen_and_the_way_out() -> None:
    """All that is needed to act on it."""
    mock = MockNexus("0.9")
    async with client_of(mock) as client:
        store = NexusBountyStore(client, commit="auto")
        with pytest.raises(UnsupportedServerError) as refused:
            await store.create_bounty(make_bounty(), idempotency_key="k")
    error = refused.value
    assert (error.operation, error.bounty_id, error.idempotency_key) == (
        "create_bounty",
        "b-1",
        "k",
    )
    assert "acknowledged and never stored, as releases 0.9.9 to 0.9.18 do" in error.message
    assert "The way out: use a server" in error.message


async def test_an_unsafe_server_can_be_read() -> None:
    """Reading does no harm."""
    mock = MockNexus("0.9", atomic=True)
    async with client_of(mock) as client:
        bounty = await NexusBountyStore(client).create_bounty(make_bounty())
        object.__setattr__(mock.core.behaviour, "preconditions", Preconditions.DROPPED)
        store = NexusBountyStore(client, commit="auto")
        assert await store.get_bounty("b-1") == bounty
        assert await store.list_bounties() == [bounty]


async def test_a_server_for_a_single_writer_wants_to_be_told_that_there_is_one() -> None:
    """Nobody becomes the only writer without having said so."""
    mock = MockNexus("0.5.6", rename_delay=3.0)
    async with client_of(mock) as client:
        with pytest.raises(UnsupportedServerError, match="single writer only"):
            await AutoCommit(client).ready(client.deadline())
        commit = AutoCommit(client, wanted=Verdict.SINGLE_WRITER)
        await NexusBountyStore(client, commit=commit).create_bounty(make_bounty())
        await commit.close()


async def test_what_the_zone_is_not_committed_with_is_refused() -> None:
    """By rename, and by preconditions at the same time: neither sees the other."""
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        await AutoCommit(client).ready(client.deadline())
        other = AutoCommit(client, wanted=Verdict.SINGLE_WRITER)
        with pytest.raises(UnsupportedServerError, match="committed with rename"):
            await other.ready(client.deadline())


async def test_what_is_wanted_but_unsafe_is_refused() -> None:
    """Insisting does not make it safe."""
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        commit = AutoCommit(client, wanted=Verdict.CONDITIONAL)
        with pytest.raises(UnsupportedServerError, match="commit with conditional"):
            await commit.ready(client.deadline())


async def test_a_pin_that_cannot_be_read_is_replaced() -> None:
    """It is nobody's document."""
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        await client.write(PIN, b"{")
        await AutoCommit(client).ready(client.deadline())
    assert b'"rename"' in (mock.read_file(PIN) or b"")


async def test_a_server_that_is_gone_when_asked_for_its_version_changes_nothing() -> None:
    """What was found out before still holds for all that is known."""
    clock = ManualClock()
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        commit = AutoCommit(client, clock=clock)
        await commit.ready(client.deadline())
        clock.advance(HOUR)
        mock.inject(Fault(FaultKind.DROP_BEFORE))
        await commit.ready(client.deadline())
        assert commit.verdict is not None
