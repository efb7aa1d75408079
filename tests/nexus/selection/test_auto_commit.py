"""AutoCommit finds out, pins, keeps to what the zone is committed with, and refuses in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest

from nexus_bounty import (
    AgentIdentity,
    AutoCommit,
    BountyNotFoundError,
    BountyStatus,
    CommitUnknownError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    Proof,
    RenameCommit,
    UnsupportedServerError,
    Verdict,
)
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.mock.personality import PERSONALITIES, Preconditions
from nexus_bounty.models import utc_now
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.builders import make_agent, make_bounty, make_reward
from nexus_bounty.testing.clock import ManualClock
from nexus_bounty.testing.virtual_time import run

ZONE = ZonePaths("default")
PIN = ZONE.pinned_verdict
WORKER = AgentIdentity(agent_id="worker")
HOUR = timedelta(hours=1)
A_LONG_TIME = timedelta(days=8000)
RACED = ("preconditions", Preconditions.RACING, Preconditions.ATOMIC)
DROPPED = ("preconditions", Preconditions.DROPPED, Preconditions.ATOMIC)


def unsafe() -> MockNexus:
    """A server that drops conditional writes, and whose rename tells nothing."""
    return MockNexus("0.9", etag="version")


@asynccontextmanager
async def client_of(mock: MockNexus) -> AsyncIterator[NexusClient]:
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        yield client


def other_files(mock: MockNexus) -> list[str]:
    """What is in the zone besides the pinned verdict."""
    return [path for path in mock.files if path != PIN]


@pytest.mark.parametrize(
    ("personality", "verdict"),
    [
        ("0.5.6", Verdict.RENAME),
        ("0.7.0", Verdict.RENAME),
        ("0.9", Verdict.RENAME),
        ("0.10-hypothetical", Verdict.CONDITIONAL),
    ],
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


async def requests_of(mock: MockNexus, act: Callable[[NexusBountyStore], Awaitable[object]]) -> int:
    """What `act` costs a client that has seen nothing yet."""
    before = mock.request_count
    async with client_of(mock) as client:
        await act(NexusBountyStore(client))
    return mock.request_count - before


async def test_the_verdict_is_pinned_for_whoever_comes_next() -> None:
    """The next client's first read costs one request more, its first write two more again."""
    mock = MockNexus("0.10-hypothetical")
    assert await requests_of(mock, lambda store: store.create_bounty(make_bounty())) > 15
    assert await requests_of(mock, lambda store: store.get_bounty("b-1")) == 1 + 1
    second = make_bounty(bounty_id="b-2")
    assert await requests_of(mock, lambda store: store.create_bounty(second)) == 1 + 2 + 2


async def test_reads_find_nothing_out_and_write_nothing() -> None:
    """A zone that nobody has written yet is left as it is."""
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        store, claims = NexusBountyStore(client), NexusClaimStore(client)
        assert await store.list_bounties() == []
        assert await store.get_bounty("b-1") is None
        assert await store.list_index_statuses()
        assert await claims.active_claims() == []
        assert await store.collect_leftovers() == []
    assert not mock.files
    assert not mock.log


async def test_a_reader_of_a_zone_of_which_nothing_is_known_sees_what_was_committed_by_rename() -> (
    None
):
    """Even what has no file yet, because its writer died."""
    mock = MockNexus("0.7.0")
    lost = Fault(FaultKind.DROP_BEFORE, match=RequestMatch("write", path=ZONE.bounty("b-1")))
    mock.inject(lost)
    async with client_of(mock) as client:
        created = await NexusBountyStore(client, commit=RenameCommit(client)).create_bounty(
            make_bounty()
        )
    async with client_of(mock) as client:
        assert await NexusBountyStore(client).list_bounties() == [created]


async def test_the_stores_of_a_zone_share_what_they_find_out() -> None:
    """One probe for both, although they ask at once."""
    mock = MockNexus("0.10-hypothetical")
    async with client_of(mock) as client:
        store, claims = NexusBountyStore(client), NexusClaimStore(client)
        await asyncio.gather(
            store.create_bounty(make_bounty()),
            claims.claim_or_renew("t", make_agent(), claim_id="c", lease=HOUR),
        )
    assert len({entry.path.split("/")[2] for entry in mock.log if "-probe-" in entry.path}) == 1


async def test_of_programs_that_pin_at_once_the_second_goes_by_the_first() -> None:
    """Committing in two ways at once would exclude nobody."""
    mock = MockNexus("0.10-hypothetical")
    async with client_of(mock) as client:
        ends = await asyncio.gather(
            AutoCommit(client).for_writing(client.deadline()),
            AutoCommit(client, wanted=Verdict.RENAME).for_writing(client.deadline()),
            return_exceptions=True,
        )
    assert sum(isinstance(each, UnsupportedServerError) for each in ends) == 1


async def test_another_version_of_the_server_is_probed_anew() -> None:
    """What was pinned for the old one is not believed of it."""
    mock = MockNexus("0.10-hypothetical")
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
    mock.core.personality = release
    object.__setattr__(mock.core.behaviour, "preconditions", release.preconditions)


async def test_a_client_that_is_running_notices_another_version_within_minutes() -> None:
    """It asks now and then."""
    clock = ManualClock()
    mock = MockNexus("0.10-hypothetical")
    async with client_of(mock) as client:
        commit = AutoCommit(client, clock=clock)
        store = NexusBountyStore(client, commit=commit)
        await store.create_bounty(make_bounty())
        become(mock, "0.7.0")
        clock.advance(timedelta(minutes=6))
        await store.claim_bounty("b-1", WORKER, "c")
        assert commit.verdict is not None
        assert commit.verdict.strategy is Verdict.RENAME


async def test_an_old_verdict_is_found_out_again() -> None:
    """By a new probe."""
    clock = ManualClock()
    mock = MockNexus("0.7.0", clock=clock)
    async with client_of(mock) as client:
        await AutoCommit(client, clock=clock).for_writing(client.deadline())
        mock.reset_counts()
        clock.advance(A_LONG_TIME)
        await AutoCommit(client, clock=clock).for_writing(client.deadline())
    assert mock.request_count > 10


async def test_a_zone_is_closed_where_its_preconditions_turn_out_to_race_after_all() -> None:
    """Another program may go by the old verdict for minutes, and would not see a rename."""
    mock = MockNexus("0.10-hypothetical")
    async with client_of(mock) as client:
        await NexusBountyStore(client).create_bounty(make_bounty())
        object.__setattr__(mock.core.behaviour, "preconditions", Preconditions.RACING)
        later = AutoCommit(client, clock=lambda: utc_now() + A_LONG_TIME)
        with pytest.raises(UnsupportedServerError, match="looked safe on this server before"):
            await later.for_writing(client.deadline())
        object.__setattr__(mock.core.behaviour, "preconditions", Preconditions.ATOMIC)
        await AutoCommit(client, clock=in_eleven_minutes).for_writing(client.deadline())


async def test_a_zone_committed_by_rename_stays_so_where_preconditions_become_atomic() -> None:
    """Others may be committing by rename still, and the two do not exclude each other."""
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        await NexusBountyStore(client, commit="auto").create_bounty(make_bounty())
        become(mock, "0.10-hypothetical")
        commit = AutoCommit(client)
        await NexusBountyStore(client, commit=commit).claim_bounty("b-1", WORKER, "c")
        assert commit.verdict is not None
        assert commit.verdict.report.verdict is Verdict.CONDITIONAL
        assert commit.verdict.strategy is Verdict.RENAME


async def test_an_unsafe_server_is_refused_before_anything_is_written() -> None:
    """No marker, no document, no lock, no reward: nothing but the pinned verdict."""
    mock = unsafe()
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
    mock = unsafe()
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
    assert (
        "acknowledged and never stored, as releases 0.9.9 to 0.9.23 and 0.9.26 do" in error.message
    )
    assert "The way out: use a server" in error.message
    assert error.evidence.proof is Proof.NEVER_SENT
    assert [seen.action for seen in error.evidence.observations] == ["probe", "probe"]


def test_what_may_be_under_way_stays_unknown_where_the_server_turns_out_to_be_unsafe() -> None:
    """Not to be able to commit any more says nothing about an earlier attempt."""

    async def scenario() -> None:
        clock, document = ManualClock(), ZONE.bounty("b-1")
        mock = unsafe()
        object.__setattr__(mock.core.behaviour, "preconditions", Preconditions.ATOMIC)
        async with client_of(mock) as client:
            store = NexusBountyStore(client, commit=AutoCommit(client, clock=clock))
            for kind in (FaultKind.DROP_AFTER, FaultKind.DROP_BEFORE):
                mock.inject(Fault(kind, match=RequestMatch("write", path=document), times=None))
                mock.inject(Fault(kind, match=RequestMatch("read", path=document), times=None))
            with pytest.raises(CommitUnknownError):
                await store.create_bounty(make_bounty(), idempotency_key="k")
            mock.clear_faults()
            object.__setattr__(mock.core.behaviour, "preconditions", Preconditions.DROPPED)
            clock.advance(A_LONG_TIME)
            for attempt in (
                store.resolve_operation("b-2", "another"),
                store.create_bounty(make_bounty(bounty_id="b-1"), idempotency_key="k"),
            ):
                with pytest.raises(CommitUnknownError, match="no safe way to commit"):
                    await attempt

    run(scenario())


async def test_one_bad_probe_does_not_close_a_zone_for_a_week() -> None:
    """What closes a zone is looked at again after ten minutes."""
    mock = unsafe()
    async with client_of(mock) as client:
        with pytest.raises(UnsupportedServerError):
            await AutoCommit(client).for_writing(client.deadline())
        object.__setattr__(mock.core.behaviour, "preconditions", Preconditions.ATOMIC)
        with pytest.raises(UnsupportedServerError):
            await AutoCommit(client).for_writing(client.deadline())
        await AutoCommit(client, clock=in_eleven_minutes).for_writing(client.deadline())
        mock.reset_counts()
        await AutoCommit(client, clock=in_eleven_minutes).for_writing(client.deadline())
        assert mock.request_count == 3


class BadTimes(NamedTuple):
    """How a server answers for a while, so that a probe finds what is wanted to be unsafe."""

    personality: str
    wanted: Verdict | None
    behaviour: str
    bad: object
    good: object


@pytest.mark.parametrize(
    "times",
    [
        BadTimes("0.7.0", None, "rename_delay", 30.0, 0.0),
        BadTimes("0.10-hypothetical", Verdict.CONDITIONAL, *RACED),
        BadTimes("0.10-hypothetical", Verdict.SINGLE_WRITER, *DROPPED),
    ],
    ids=lambda times: f"{times.wanted}-{times.behaviour}",
)
def test_one_bad_probe_does_not_refuse_for_a_week_what_is_wanted(times: BadTimes) -> None:
    """Where something else is safe, too: one slow rename closed a zone to all who want nothing."""

    async def scenario() -> None:
        mock, clock = MockNexus(times.personality), ManualClock()

        async def ask() -> None:
            async with client_of(mock) as client:
                commit = AutoCommit(client, wanted=times.wanted, clock=clock)
                await commit.for_writing(client.deadline())
                await commit.close()

        object.__setattr__(mock.core.behaviour, times.behaviour, times.bad)
        with pytest.raises(UnsupportedServerError, match=r"not safe|single writer only"):
            await ask()
        await asyncio.sleep(60)  # until the server is done with the probe's rename
        object.__setattr__(mock.core.behaviour, times.behaviour, times.good)
        clock.advance(timedelta(minutes=9))
        with pytest.raises(UnsupportedServerError, match=r"not safe|single writer only"):
            await ask()
        clock.advance(timedelta(minutes=2))
        await ask()

    run(scenario())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (None, Verdict.SINGLE_WRITER),
        (None, Verdict.CONDITIONAL),
        (Verdict.SINGLE_WRITER, None),
        (Verdict.SINGLE_WRITER, Verdict.RENAME),
    ],
)
async def test_who_is_refused_for_what_others_have_chosen_finds_nothing_out_anew(
    first: Verdict | None, second: Verdict | None
) -> None:
    """No probe changes that; and one that is disturbed would close the zone to the others."""
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        commit = AutoCommit(client, wanted=first)
        await commit.for_writing(client.deadline())
        mock.reset_counts()
        other = AutoCommit(client, wanted=second, clock=in_eleven_minutes)
        with pytest.raises(UnsupportedServerError):
            await other.for_writing(client.deadline())
        assert mock.request_count == 3
        await commit.close()


async def test_a_bad_probe_by_a_clock_that_is_ahead_does_not_close_a_zone_until_then() -> None:
    """Its pin is of the next year: that is no reason to go by it for a year."""
    mock = unsafe()
    async with client_of(mock) as client:
        ahead = AutoCommit(client, clock=lambda: utc_now() + timedelta(days=365))
        with pytest.raises(UnsupportedServerError):
            await ahead.for_writing(client.deadline())
        object.__setattr__(mock.core.behaviour, "preconditions", Preconditions.ATOMIC)
        await AutoCommit(client).for_writing(client.deadline())


def in_eleven_minutes() -> datetime:
    return utc_now() + timedelta(minutes=11)


async def test_an_unsafe_server_can_be_read() -> None:
    """Reading does no harm."""
    mock = unsafe()
    object.__setattr__(mock.core.behaviour, "preconditions", Preconditions.ATOMIC)
    async with client_of(mock) as client:
        bounty = await NexusBountyStore(client, commit="conditional").create_bounty(make_bounty())
        object.__setattr__(mock.core.behaviour, "preconditions", Preconditions.DROPPED)
        store = NexusBountyStore(client, commit="auto")
        assert await store.get_bounty("b-1") == bounty
        assert await store.list_bounties() == [bounty]


def test_a_server_for_a_single_writer_wants_to_be_told_that_there_is_one() -> None:
    """Nobody becomes it unsaid, and the refusal does not wait for a rename that takes long."""

    async def scenario() -> None:
        mock = MockNexus("0.7.0", rename_delay=30.0)
        loop = asyncio.get_running_loop()
        async with client_of(mock) as client:
            with pytest.raises(UnsupportedServerError, match="single writer only") as refused:
                await AutoCommit(client).for_writing(client.deadline())
            assert loop.time() < 20
            assert "--commit single-writer" in refused.value.message
            assert "--commit rename" in refused.value.message
            await asyncio.sleep(30)  # until the server is done with the probe's rename
            assert b'"verdict":"single_writer"' in (mock.read_file(PIN) or b"")
            commit = AutoCommit(client, wanted=Verdict.SINGLE_WRITER)
            await NexusBountyStore(client, commit=commit).create_bounty(make_bounty())
            await commit.close()

    run(scenario())


async def test_what_the_zone_is_not_committed_with_is_refused() -> None:
    """By rename, and by preconditions at the same time: neither sees the other."""
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        await AutoCommit(client).for_writing(client.deadline())
        other = AutoCommit(client, wanted=Verdict.SINGLE_WRITER)
        with pytest.raises(UnsupportedServerError, match="committed with rename"):
            await other.for_writing(client.deadline())


async def test_what_is_wanted_but_unsafe_is_refused() -> None:
    """Insisting does not make it safe."""
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        commit = AutoCommit(client, wanted=Verdict.CONDITIONAL)
        with pytest.raises(UnsupportedServerError, match="commit with conditional is not safe"):
            await commit.for_writing(client.deadline())


async def test_a_pin_that_cannot_be_read_is_replaced() -> None:
    """It is nobody's document."""
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        await client.write(PIN, b"{")
        await AutoCommit(client).for_writing(client.deadline())
    assert b'"rename"' in (mock.read_file(PIN) or b"")


async def test_a_server_that_is_gone_when_asked_for_its_version_changes_nothing() -> None:
    """What was found out before still holds for all that is known."""
    clock = ManualClock()
    mock = MockNexus("0.7.0")
    async with client_of(mock) as client:
        commit = AutoCommit(client, clock=clock)
        await commit.for_writing(client.deadline())
        clock.advance(HOUR)
        mock.inject(Fault(FaultKind.DROP_BEFORE))
        await commit.for_writing(client.deadline())
        assert commit.verdict is not None
