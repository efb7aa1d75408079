"""Reads of a zone in which nobody had pinned a verdict when they began: they miss no commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Literal

import msgspec
import pytest

from nexus_bounty import (
    AutoCommit,
    Bounty,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    UnsupportedServerError,
    Verdict,
    events,
)
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.mock.oracle import ReceivedRequest
from nexus_bounty.models import utc_now
from nexus_bounty.nexus.commit.unpinned import UnpinnedReads
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.selection.strategy_selection import TIMES_TO_PIN
from nexus_bounty.testing.builders import make_agent, make_bounty
from nexus_bounty.testing.clock import ManualClock
from tests.events.support import Heard
from tests.support.clients import client_of, quick
from tests.support.racing import MEASURED

ZONE = ZonePaths("default")
ATOMIC = "0.10-hypothetical"
WORKER = make_agent("worker")
TARGET = "bounty:b-1"
HOUR = timedelta(hours=1)

Sees = Callable[[NexusBountyStore, NexusClaimStore], Awaitable[bool]]


async def _reads_it(store: NexusBountyStore, _: NexusClaimStore) -> bool:
    found = await store.get_bounty("b-1")
    return found is not None and found.status is BountyStatus.CLAIMED


async def _reads_it_in_bulk(store: NexusBountyStore, _: NexusClaimStore) -> bool:
    found = await store.get_bounties(["b-1"])
    return found["b-1"].status is BountyStatus.CLAIMED


async def _lists_it(store: NexusBountyStore, _: NexusClaimStore) -> bool:
    claimed = BountyQuery(status=BountyStatus.CLAIMED)
    return len(await store.list_bounties(claimed)) == len(await store.list_bounties()) == 1


async def _reads_its_history(store: NexusBountyStore, _: NexusClaimStore) -> bool:
    return "claim" in {each.key for each in await store.get_history("b-1")}


async def _finds_its_lease_by_the_lock(_: NexusBountyStore, claims: NexusClaimStore) -> bool:
    return len(await claims.active_claims(target_ref=TARGET)) == 1


async def _reads_its_lease(_: NexusBountyStore, claims: NexusClaimStore) -> bool:
    return await claims.get("c") is not None


def files_never_follow(mock: MockNexus) -> None:
    """As if whoever wins a name died before the file was written."""
    for path in (ZONE.bounty("b-1"), ZONE.claim("c"), ZONE.target_lock(TARGET)):
        match = RequestMatch("write", path=path)
        mock.inject(Fault(FaultKind.DROP_BEFORE, match=match, times=None))


async def claim_in_another_process(mock: MockNexus) -> Bounty:
    """Find out how to commit, create a bounty, take its lease and claim it."""
    async with client_of(mock) as client:
        store, claims = NexusBountyStore(client), NexusClaimStore(client)
        await store.create_bounty(make_bounty())
        if mock.personality.name != ATOMIC:  # where the file is the commit
            files_never_follow(mock)
        await claims.claim_or_renew(TARGET, WORKER, claim_id="c", lease=HOUR)
        return await store.claim_bounty("b-1", WORKER, "c", idempotency_key="claim")


def unpinned(client: NexusClient) -> AutoCommit:
    """Goes for ever by what it saw at its first read: for it, no time passes."""
    return AutoCommit(client, clock=ManualClock())


@pytest.mark.parametrize("server", [*MEASURED, ATOMIC])
@pytest.mark.parametrize(
    "sees",
    [
        _reads_it,
        _reads_it_in_bulk,
        _lists_it,
        _reads_its_history,
        _finds_its_lease_by_the_lock,
        _reads_its_lease,
    ],
)
async def test_a_read_that_began_before_the_zone_was_pinned_misses_no_commit(
    server: str, sees: Sees
) -> None:
    """Not even where a slot cannot be read by its name, and its winner died."""
    mock = MockNexus(server)
    async with client_of(mock) as client:
        commit = unpinned(client)
        store = NexusBountyStore(client, commit=commit)
        claims = NexusClaimStore(client, commit=commit)
        assert await store.get_bounty("b-1") is None
        await claim_in_another_process(mock)
        assert await sees(store, claims)
        assert isinstance(await commit.for_reading(client.deadline()), UnpinnedReads)


@pytest.mark.parametrize("server", [*MEASURED, ATOMIC])
async def test_to_know_nothing_of_a_zone_costs_no_request_where_the_next_slot_is_free(
    server: str,
) -> None:
    """The pin, the file, and whether the next slot is free: no more than where the way is known."""
    mock = MockNexus(server)
    async with client_of(mock) as client:
        bounty = await NexusBountyStore(client).create_bounty(make_bounty())
        await client.delete(ZONE.pinned_verdict)
    mock.reset_counts()
    async with client_of(mock) as client:
        assert await NexusBountyStore(client).get_bounty("b-1") == bounty
    assert [each.method for each in mock.requests] == ["read", "read", "exists"]


async def test_a_pin_that_was_read_before_ones_own_is_not_gone_by() -> None:
    """A process finds out how to commit while its own read of the pin is under way."""
    mock = MockNexus("0.9")
    answered, pinned = asyncio.Event(), asyncio.Event()

    async def pause(stage: Literal["request", "response"]) -> None:
        if stage == "response" and not answered.is_set():  # of the first one
            answered.set()
            await pinned.wait()

    async with NexusClient("http://nexus", transport=mock.transport(pause=pause)) as client:
        commit = AutoCommit(client)
        reading = asyncio.ensure_future(commit.for_reading(client.deadline()))
        await answered.wait()
        await commit.for_writing(client.deadline())
        pinned.set()
        assert not isinstance(await reading, UnpinnedReads)
        assert commit.verdict is not None
        assert commit.verdict.strategy is Verdict.RENAME


async def test_what_was_read_before_the_zone_was_pinned_is_seen_again_before_it_is_written() -> (
    None
):
    """It has no etag to write by, and one that says nothing may be taken for none at all."""
    mock = MockNexus(ATOMIC)
    async with client_of(mock) as client:
        await NexusBountyStore(client).create_bounty(make_bounty())
        await client.delete(ZONE.pinned_verdict)
    mock.reset_counts()
    async with client_of(mock) as client:
        store = NexusBountyStore(client)
        assert await store.get_bounty("b-1") is not None
        claimed = await store.claim_bounty("b-1", WORKER, "c", idempotency_key="claim")
    assert claimed.status is BountyStatus.CLAIMED
    conditions = [each.if_match for each in mock.requests if ZONE.bounty("b-1") in each.paths]
    assert "" not in conditions
    assert len([each for each in conditions if each]) == 1


async def test_a_pin_that_closes_a_zone_says_nothing_of_how_it_is_read() -> None:
    """Whoever may open it again, and commit, may do so while a read is under way."""
    mock = MockNexus("0.9", etag="version")
    async with client_of(mock) as client:
        with pytest.raises(UnsupportedServerError):
            await AutoCommit(client).for_writing(client.deadline())
        assert ZONE.pinned_verdict in mock.files
        reader = await AutoCommit(client).for_reading(client.deadline())
        assert isinstance(reader, UnpinnedReads)


@pytest.mark.parametrize("before", [None, b"{"], ids=["none was pinned", "none understood"])
async def test_what_only_one_program_wants_is_not_gone_by_before_it_is_pinned(
    before: bytes | None,
) -> None:
    """Others would find out something else, and neither would see what the other commits."""
    mock = MockNexus(ATOMIC)
    async with client_of(mock) as client:
        if before is not None:
            await client.write(ZONE.pinned_verdict, before)
        match = RequestMatch("write", path=ZONE.pinned_verdict)
        mock.inject(Fault(FaultKind.DROP_BEFORE, match=match, times=None))
        with pytest.raises(UnsupportedServerError, match="could not be pinned"):
            await AutoCommit(client, wanted=Verdict.RENAME).for_writing(client.deadline())
        with pytest.raises(UnsupportedServerError, match="could not be pinned"):
            await AutoCommit(client).for_writing(client.deadline())  # one may have found renames
        mock.clear_faults()
        usual = AutoCommit(client)
        await usual.for_writing(client.deadline())
        assert usual.verdict is not None
        assert usual.verdict.strategy is Verdict.CONDITIONAL


async def test_a_first_pin_that_is_lost_once_is_written_again() -> None:
    """What a disturbed probe finds then is pinned after it, and not gone by."""
    mock = MockNexus(ATOMIC)
    async with client_of(mock) as client, client_of(mock) as other:
        match = RequestMatch("write", path=ZONE.pinned_verdict)
        mock.inject(Fault(FaultKind.DROP_BEFORE, match=match))
        usual = AutoCommit(client)
        await usual.for_writing(client.deadline())
        follower = AutoCommit(other)
        await follower.for_writing(other.deadline())
    assert usual.verdict is not None
    assert usual.verdict == follower.verdict


async def test_a_pin_that_is_not_seen_is_written_again_after_a_pause() -> None:
    """A server that is in trouble is not asked three times at once."""
    mock, heard = MockNexus(ATOMIC), Heard()
    match = RequestMatch("write", path=ZONE.pinned_verdict)
    mock.inject(Fault(FaultKind.DROP_BEFORE, match=match, times=None))
    transport = mock.transport()
    async with NexusClient(
        "http://nexus", settings=quick(), transport=transport, observers=[heard]
    ) as client:
        with pytest.raises(UnsupportedServerError):
            await AutoCommit(client).for_writing(client.deadline())
    rests = [each for each in heard.of(events.Retried) if each.why == "the pin was not seen"]
    assert [each.attempt for each in rests] == list(range(1, TIMES_TO_PIN))
    assert all(each.pause > 0 for each in rests)


class Before:
    """Does something right before the first write arrives: of a pin, or of anything."""

    def __init__(
        self, mock: MockNexus, what: Callable[[], object], path: str | None = ZONE.pinned_verdict
    ) -> None:
        self._what: Callable[[], object] | None = what
        self._path = path
        mock.faults_from(self)

    def choose(self, request: ReceivedRequest) -> Fault | None:
        """No fault, whatever is asked."""
        if self._what and request.method == "write" and self._path in (None, request.path):
            what, self._what = self._what, None
            what()
        return None


async def pin_of_another(wanted: Verdict) -> bytes:
    """What another program pins on such a server, that insists on a strategy."""
    mock = MockNexus(ATOMIC)
    async with client_of(mock) as client:
        await AutoCommit(client, wanted=wanted).for_writing(client.deadline())
    pinned = mock.read_file(ZONE.pinned_verdict)
    assert pinned is not None
    return pinned


@pytest.mark.parametrize("server", [*MEASURED, ATOMIC])
async def test_a_file_that_is_no_pin_and_came_while_the_server_was_looked_at_closes_nothing(
    server: str,
) -> None:
    """It is written over, as one that was there before."""
    mock = MockNexus(server)
    Before(mock, lambda: mock.core.table.write(ZONE.pinned_verdict, b"{"))
    async with client_of(mock) as client, client_of(mock) as other:
        usual = AutoCommit(client)
        await usual.for_writing(client.deadline())
        follower = AutoCommit(other)
        await follower.for_writing(other.deadline())
    assert usual.verdict is not None
    assert usual.verdict.strategy is (Verdict.CONDITIONAL if server == ATOMIC else Verdict.RENAME)
    assert follower.verdict is not None
    assert usual.verdict.strategy is follower.verdict.strategy


@pytest.mark.parametrize("before", [None, b"{"], ids=["none was pinned", "none understood"])
async def test_a_pin_that_came_while_the_server_was_looked_at_is_gone_by(
    before: bytes | None,
) -> None:
    """It is not written over, nor where it took the place of what nobody understands.

    That the look left renames out is no reason to call them unsafe.
    """
    mock = MockNexus(ATOMIC)
    pinned = await pin_of_another(Verdict.RENAME)
    if before is not None:
        mock.core.table.write(ZONE.pinned_verdict, before)
    Before(mock, lambda: mock.core.table.write(ZONE.pinned_verdict, pinned))
    async with client_of(mock) as client:
        usual = AutoCommit(client)
        await usual.for_writing(client.deadline())
    assert usual.verdict is not None
    assert usual.verdict.strategy is Verdict.RENAME
    assert mock.read_file(ZONE.pinned_verdict) == pinned


async def closing_pin() -> bytes:
    """What a probe pins that sees nothing to be safe."""
    mock = MockNexus("0.9", etag="version")
    async with client_of(mock) as client:
        with pytest.raises(UnsupportedServerError):
            await AutoCommit(client).for_writing(client.deadline())
    pinned = mock.read_file(ZONE.pinned_verdict)
    assert pinned is not None
    return pinned


async def pin_of_another_release() -> bytes:
    """What is committed by preconditions, as it was pinned before the server was brought up."""
    pinned = msgspec.json.decode(await pin_of_another(Verdict.CONDITIONAL))
    pinned["report"]["fingerprint"] = "another"
    return msgspec.json.encode(pinned)


@pytest.mark.parametrize("path", [ZONE.pinned_verdict, None], ids=["as it pins", "as it looks"])
@pytest.mark.parametrize("before", [closing_pin, pin_of_another_release])
async def test_what_was_chosen_while_the_server_was_looked_at_anew_is_gone_by(
    before: Callable[[], Awaitable[bytes]], path: str | None
) -> None:
    """As where nothing was pinned: a pin that is out of date excludes nobody.

    Each of two programs went by what it had found itself, and one of them was disturbed.
    """
    mock = MockNexus(ATOMIC)
    pinned = await pin_of_another(Verdict.RENAME)
    mock.core.table.write(ZONE.pinned_verdict, await before())
    Before(mock, lambda: mock.core.table.write(ZONE.pinned_verdict, pinned), path)
    async with client_of(mock) as client:
        usual = AutoCommit(client, clock=lambda: utc_now() + timedelta(minutes=11))
        await usual.for_writing(client.deadline())
    assert usual.verdict is not None
    assert usual.verdict.strategy is Verdict.RENAME
    assert b'"strategy":"rename"' in (mock.read_file(ZONE.pinned_verdict) or b"")


@pytest.mark.parametrize("before", [closing_pin, pin_of_another_release])
async def test_what_takes_the_place_of_an_old_pin_is_written_again_where_it_is_lost(
    before: Callable[[], Awaitable[bytes]],
) -> None:
    """Like a first one, and nobody goes by it before."""
    mock = MockNexus(ATOMIC)
    mock.core.table.write(ZONE.pinned_verdict, await before())
    match = RequestMatch("write", path=ZONE.pinned_verdict)
    mock.inject(Fault(FaultKind.DROP_BEFORE, match=match))
    async with client_of(mock) as client:
        usual = AutoCommit(client, clock=lambda: utc_now() + timedelta(minutes=11))
        await usual.for_writing(client.deadline())
        pinned = mock.read_file(ZONE.pinned_verdict) or b""
        assert usual.verdict is not None
        assert usual.verdict.report.fingerprint.encode() in pinned
        assert b'"strategy":"conditional"' in pinned


async def test_what_could_not_be_pinned_is_tried_again_by_the_next_operation() -> None:
    """As the refusal says: nothing but a disturbance stood in its way."""
    mock = MockNexus(ATOMIC)
    match = RequestMatch("write", path=ZONE.pinned_verdict)
    mock.inject(Fault(FaultKind.DROP_BEFORE, match=match, times=None))
    async with client_of(mock) as client:
        usual = AutoCommit(client, clock=ManualClock())
        with pytest.raises(UnsupportedServerError, match="Try again"):
            await usual.for_writing(client.deadline())
        mock.clear_faults()
        await usual.for_writing(client.deadline())
    assert usual.verdict is not None
    assert usual.verdict.strategy is Verdict.CONDITIONAL
