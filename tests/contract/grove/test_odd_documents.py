"""What Grove accepts and we would not write: understood where it is clear, named where not."""

from __future__ import annotations

import json
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyQuery,
    BountyStateError,
    BountyStatus,
    InvalidInputError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
)
from nexus_bounty.memory import MemoryClaimStore, MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.models import RewardRecord, RewardType
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.operations import BountyOperations
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty.testing.clock import ManualClock
from tests.contract.grove import newer, reader

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOB = AgentIdentity(agent_id="bob")
PATHS = ZonePaths("default")
PLAIN: dict[str, Any] = msgspec.to_builtins(make_bounty())


@dataclass
class Zone:
    mock: MockNexus
    client: NexusClient
    store: NexusBountyStore
    clock: ManualClock

    async def put(self, bounty_id: str = "b-1", **changes: Any) -> bytes:
        """A bounty as Grove stores it, and its marker."""
        content = newer.stored(PLAIN | {"bountyId": bounty_id, "contentHash": "blake3:1"} | changes)
        await self.client.write(PATHS.bounty(bounty_id), content)
        status = changes.get("status", "open")
        if isinstance(status, str):
            index = f"{PATHS.root}/indexes/bounties/status/{status}"
            await self.client.write(f"{index}/{bounty_id}", b"")
        return content

    def document(self, bounty_id: str = "b-1") -> Any:
        content = self.mock.read_file(PATHS.bounty(bounty_id))
        assert content is not None
        return reader.stored(content)


@asynccontextmanager
async def grove_zone() -> AsyncIterator[Zone]:
    clock = ManualClock(NOW)
    mock = MockNexus("0.10", etag="content", atomic=True, clock=clock)
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        yield Zone(mock, client, NexusBountyStore(client, commit="conditional", clock=clock), clock)


DATES = {
    "2030": datetime(2030, 1, 1, tzinfo=UTC),
    "2030-07": datetime(2030, 7, 1, tzinfo=UTC),
    "2030-01T12:00Z": datetime(2030, 1, 1, 12, tzinfo=UTC),
    "2030-01-31T24:00:00Z": datetime(2030, 2, 1, tzinfo=UTC),
    "2030-02-30T12:00:00Z": datetime(2030, 3, 2, 12, tzinfo=UTC),
    "+002030-01-31T12:00:00Z": datetime(2030, 1, 31, 12, tzinfo=UTC),
    "2030-01-31T12:00+0200": datetime(2030, 1, 31, 10, tzinfo=UTC),
    "2030-01-31t12:00z": datetime(2030, 1, 31, 12, tzinfo=UTC),
    "2030-01-31": datetime(2030, 1, 31, tzinfo=UTC),
    "2030-01-31T12:00": datetime(2030, 1, 31, 12, tzinfo=UTC),
    "2030-01-31T12:00Z": datetime(2030, 1, 31, 12, tzinfo=UTC),
    "2030-01-31T12:00:30": datetime(2030, 1, 31, 12, 0, 30, tzinfo=UTC),
    "2030-01-31 12:00": datetime(2030, 1, 31, 12, tzinfo=UTC),
    "2030-01-31T12:00+02:00": datetime(2030, 1, 31, 10, tzinfo=UTC),
    "2030-01-31T12:00:00.123Z": datetime(2030, 1, 31, 12, 0, 0, 123_000, tzinfo=UTC),
}


@pytest.mark.parametrize("text", DATES)
@pytest.mark.parametrize("key", ["deadline", "createdAt", "updatedAt"])
async def test_a_date_as_javascript_reads_it_is_understood_in_utc(key: str, text: str) -> None:
    """And keeps its form through our transitions, but for the time of the last one."""
    async with grove_zone() as zone:
        await zone.put(**{key: text})
        [bounty] = await zone.store.list_bounties()
        assert msgspec.to_builtins(bounty)[key] == msgspec.to_builtins(DATES[text])
        await zone.store.claim_bounty("b-1", BOB, "c-1")
        assert zone.document()["contentHash"] == "blake3:1"
        if key != "updatedAt":
            assert zone.document()[key] == text


async def test_that_utc_is_assumed_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Of which document and key."""
    caplog.set_level("INFO", logger="nexus_bounty.nexus")
    async with grove_zone() as zone:
        await zone.put(deadline="2030-01-31")
        await zone.store.get_bounty("b-1")
    assert "b-1.json: UTC is assumed for deadline" in caplog.text


@pytest.mark.parametrize("key", ["createdAt", "heartbeatAt", "leaseExpiresAt"])
@pytest.mark.parametrize("text", DATES)
async def test_the_dates_of_a_claim_are_understood_likewise(key: str, text: str) -> None:
    """In either shape."""
    async with grove_zone() as zone:
        claims = NexusClaimStore(zone.client, commit="conditional", clock=zone.clock)
        flat = newer.read_claim(newer.claim())
        await zone.client.write(PATHS.claim("gc-1"), newer.stored(flat | {key: text}))
        found = await claims.get("gc-1")
        assert msgspec.to_builtins(found)[key] == msgspec.to_builtins(DATES[text])
        theirs = {"heartbeatAt": "lastHeartbeatAt"}.get(key, key)
        part = {"spec": {theirs: text}} if key == "createdAt" else {"status": {theirs: text}}
        await zone.client.write(PATHS.claim("gc-1"), newer.claim(**part))
        found = await claims.get("gc-1")
        assert msgspec.to_builtins(found)[key] == msgspec.to_builtins(DATES[text])


async def test_a_null_description_is_an_empty_one() -> None:
    """It stays null in the document."""
    async with grove_zone() as zone:
        await zone.put(description=None)
        bounty = await zone.store.get_bounty("b-1")
        assert bounty is not None
        assert bounty.description == ""
        await zone.store.claim_bounty("b-1", BOB, "c-1")
        assert zone.document()["description"] is None


async def test_a_whole_amount_in_float_form_is_an_amount() -> None:
    """`500.0`, as it stays in the document."""
    async with grove_zone() as zone:
        await zone.put(amount=500.0)
        claimed = await zone.store.claim_bounty("b-1", BOB, "c-1")
        assert claimed.amount == 500
        assert type(claimed.amount) is int
        assert zone.document()["amount"] == 500.0


async def test_a_reward_for_no_bounty_is_recorded_under_the_id_that_grove_computes() -> None:
    """`computeRewardId("frontier_advance", "frontier:{agent}", cid)`, and the transfer after it."""
    cid = "blake3:" + "ab" * 32
    reward = RewardRecord(
        reward_id=f"reward:frontier_advance:frontier:bob:{cid}",
        reward_type=RewardType.FRONTIER_ADVANCE,
        recipient=BOB,
        amount=1,
        contribution_cid=cid,
        transfer_id=f"reward:reward:frontier_advance:frontier:bob:{cid}",
        created_at=NOW,
    )
    async with grove_zone() as zone:
        assert await zone.store.record_reward(reward) == reward
        assert await zone.store.record_reward(reward) == reward
        assert await zone.store.list_rewards() == [reward]


UNREADABLE: dict[str, dict[str, Any]] = {
    "a part of a unit": {"amount": 1.5},
    "nothing to pay": {"amount": 0},
    "more than any number": {"amount": 1e300},
    "no date": {"deadline": "tomorrow"},
    "an hour alone": {"deadline": "2030-01-31T12"},
    "a comma": {"deadline": "2030-01-31T12:00:00,5Z"},
    "a year that we do not know": {"deadline": "+012030-01-31T12:00:00Z"},
    "a date as a number": {"deadline": 1_893_456_000_000},
    "no title": {"title": None},
    "no status": {"status": None},
    "an empty status": {"status": ""},
    "a status that is no text": {"status": 7},
}


@pytest.mark.parametrize("limit", [None, 5])
async def test_what_cannot_be_understood_is_left_out_counted_and_named(limit: int | None) -> None:
    """By its id, with what is wrong; the rest of the listing is as it should be."""
    async with grove_zone() as zone:
        await zone.put("good")
        for number, changes in enumerate(UNREADABLE.values()):
            await zone.put(f"bad-{number}", **changes)
        unreadable: dict[str, str] = {}
        found = await zone.store.list_bounties(BountyQuery(limit=limit), unreadable=unreadable)
        assert [each.bounty_id for each in found] == ["good"]
        assert unreadable.keys() == {f"bad-{number}" for number in range(len(UNREADABLE))}
        walked: dict[str, str] = {}
        assert [each async for each in zone.store.walk_bounties(unreadable=walked)] == found
        assert walked == unreadable


async def test_a_bounty_in_a_status_of_another_program_is_listed_as_it_stands() -> None:
    """In whole listings; by status nobody can ask for it, nor mistake it for one of ours."""
    async with grove_zone() as zone:
        await zone.put(status="on_hold")
        [bounty] = await zone.store.list_bounties()
        assert bounty.status == "on_hold"
        assert not bounty.status.is_known
        assert json.loads(msgspec.json.encode(bounty))["status"] == "on_hold"
        for status in BountyStatus:
            assert await zone.store.list_bounties(BountyQuery(status=status)) == []
        with pytest.raises(InvalidInputError):
            await zone.store.list_bounties(BountyQuery(status=BountyStatus.foreign("on_hold")))
        with pytest.raises(ValueError, match="on_hold"):
            BountyStatus("on_hold")


MOVES = {
    "fund": lambda store: store.fund_bounty("b-1", "r-1"),
    "claim": lambda store: store.claim_bounty("b-1", BOB, "c-1"),
    "release": lambda store: store.release_bounty("b-1", BOB),
    "begin": lambda store: store.begin_settlement("b-1", "cid-1"),
    "complete": lambda store: store.complete_bounty("b-1", "cid-1"),
    "settle": lambda store: store.settle_bounty("b-1"),
    "expire": lambda store: store.expire_bounty("b-1"),
    "cancel": lambda store: store.cancel_bounty("b-1"),
}


@pytest.mark.parametrize("move", MOVES)
async def test_such_a_bounty_is_never_moved(move: str) -> None:
    """Its document and its markers stay, byte for byte."""
    async with grove_zone() as zone:
        content = await zone.put(status="on_hold", claimedBy={"agentId": "bob"}, claimId="c-1")
        before = set(zone.mock.files)
        with pytest.raises(BountyStateError) as refused:
            await MOVES[move](zone.store)
        assert refused.value.current_status == "on_hold"
        assert pickle.loads(pickle.dumps(await zone.store.get_bounty("b-1"))).status == "on_hold"
        assert zone.mock.read_file(PATHS.bounty("b-1")) == content
        assert set(zone.mock.files) == before


async def test_no_operation_and_no_reconciler_moves_it_or_its_credits() -> None:
    """Nor ends the lease on it, nor repairs markers of which nobody knows what they mean."""
    async with grove_zone() as zone:
        ledger = MemoryCredits(clock=zone.clock)
        claims = MemoryClaimStore(clock=zone.clock)
        await ledger.top_up("t", account="alice", amount=500)
        await ledger.reserve("r-1", account="alice", amount=PLAIN["amount"], reference="b-1")
        await claims.claim_or_renew("bounty:b-1", BOB, claim_id="c-1", lease=timedelta(days=99))
        held: dict[str, Any] = {
            "claimedBy": {"agentId": "bob"},
            "claimId": "c-1",
            "reservationId": "r-1",
        }
        content = await zone.put(status="on_hold", deadline="2026-01-02", **held)
        await zone.client.write(PATHS.marker(BountyStatus.OPEN, "b-1"), b"")
        work = MemoryContributionStore([])
        operations = BountyOperations(
            zone.store, credits=ledger, claims=claims, contributions=work, clock=zone.clock
        )
        for refused in (
            operations.claim("b-1", BOB),
            operations.release("b-1", BOB),
            operations.settle("b-1", "cid-1"),
            operations.cancel("b-1"),
            operations.expire("b-1"),
        ):
            with pytest.raises(BountyStateError):
                await refused
        zone.clock.advance(timedelta(days=9))
        before = set(zone.mock.files)
        report = await Reconciler(operations).run_once()
        assert (report.found, report.errors) == (0, [])
        await zone.store.repair_index()
        assert zone.mock.read_file(PATHS.bounty("b-1")) == content
        assert set(zone.mock.files) == before
        assert (await ledger.balance("alice")).reserved == PLAIN["amount"]
        assert len(await claims.active_claims()) == 1
