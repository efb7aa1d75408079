"""Claims of newer Groves, `{spec, status}`: read, respected and moved on in their own shape."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nexus_bounty import (
    AgentIdentity,
    Claim,
    ClaimConflictError,
    ClaimStatus,
    CommitUnknownError,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
    PreCommitError,
)
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.client.settings import ClaimShape
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.commit.single_writer import SingleWriter
from nexus_bounty.nexus.documents.commits import CommitStrategy
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.selection.auto_commit import CommitOption
from nexus_bounty.testing.clock import ManualClock
from tests.contract.grove import newer, reader

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HALF_AN_HOUR = timedelta(minutes=30)
ALICE = AgentIdentity(agent_id="alice")
BOB = AgentIdentity(agent_id="bob")
TARGET = "bounty:b-1"
PATHS = ZonePaths("shared")
PATH = PATHS.claim("gc-1")
LOCK = PATHS.target_lock(TARGET)
OURS = PATHS.claim("c-1")

Strategy = Callable[[NexusClient], CommitStrategy]
STRATEGIES: dict[str, Strategy | None] = {
    "conditional": None,
    "rename": RenameCommit,
    "single writer": SingleWriter,
}


@dataclass
class Shared:
    """A zone with a newer Grove: the server, our claims on it, and the time."""

    mock: MockNexus
    client: NexusClient
    claims: NexusClaimStore
    clock: ManualClock

    async def holds(self, content: bytes | None = None) -> None:
        """Grove holds the target: its document, its lock, its marker."""
        await self.put(PATH, content or newer.claim())
        await self.put(LOCK, b64encode(b"gc-1"))
        await self.put(PATHS.active_claim(TARGET, "gc-1"), b"")

    async def put(self, path: str, content: bytes) -> None:
        await self.client.write(path, content)

    async def take(self, agent: AgentIdentity, claim_id: str = "c-1", **options: Any) -> Claim:
        return await self.claims.claim_or_renew(
            TARGET, agent, claim_id=claim_id, lease=HALF_AN_HOUR, **options
        )

    def document(self, path: str = PATH) -> Any:
        content = self.mock.read_file(path)
        assert content is not None
        return reader.stored(content)


@asynccontextmanager
async def shared(
    strategy: Strategy | None = None, shape: ClaimShape = "flat", mock: MockNexus | None = None
) -> AsyncIterator[Shared]:
    clock = ManualClock(NOON)
    mock = mock or MockNexus("0.10", etag="content", atomic=True, clock=clock)
    settings = NexusSettings(
        storage_encoding="base64", claim_shape=shape, retry_base=0, zone_id="shared"
    )
    async with NexusClient("http://nexus", settings=settings, transport=mock.transport()) as client:
        commit: CommitOption = strategy(client) if strategy else "conditional"
        yield Shared(mock, client, NexusClaimStore(client, commit=commit, clock=clock), clock)


on_every_strategy = pytest.mark.parametrize("name", STRATEGIES)


async def test_what_grove_wrote_is_read_byte_for_byte() -> None:
    """With its context."""
    async with shared() as zone:
        await zone.holds()
        claim = await zone.claims.get("gc-1")
        assert claim == Claim(
            claim_id="gc-1",
            target_ref=TARGET,
            agent=AgentIdentity(agent_id="alice", role="scout"),
            intent_summary="try it",
            heartbeat_at=NOON,
            lease_expires_at=NOON + HALF_AN_HOUR,
            created_at=NOON,
            context={"plan": "b", "papers": [1, 2.5, None]},
        )
        assert await zone.claims.active_claims(TARGET) == [claim]
        assert await zone.claims.active_claims() == [claim]


@on_every_strategy
async def test_a_live_lease_of_grove_is_respected_and_the_refusal_says_whose_it_is(
    name: str,
) -> None:
    """As fields, and until when."""
    async with shared(STRATEGIES[name]) as zone:
        await zone.holds()
        with pytest.raises(ClaimConflictError) as refused:
            await zone.take(BOB)
        error = refused.value
        assert (error.claim_id, error.holder) == ("gc-1", "alice")
        assert error.held_until == NOON + HALF_AN_HOUR
        assert error.details()["heldUntil"] == "2026-01-01T12:30:00Z"
        assert zone.mock.read_file(PATH) == newer.claim()


@on_every_strategy
async def test_a_lease_of_grove_that_has_run_out_frees_its_target(name: str) -> None:
    """It is ended first, in its own shape, so that Grove cannot renew it any more."""
    async with shared(STRATEGIES[name]) as zone:
        await zone.holds()
        zone.clock.advance(HALF_AN_HOUR + timedelta(seconds=1))
        claim = await zone.take(BOB)
        assert (claim.agent, claim.status) == (BOB, ClaimStatus.ACTIVE)
        ended = zone.document()
        assert (ended["status"]["phase"], ended["status"]["revision"]) == ("expired", 2)
        assert ended["spec"] == newer.SPEC
        assert reader.read_lock(zone.mock.read_file(LOCK) or b"") == "c-1"


@pytest.mark.parametrize("shape", ["flat", "split"])
@pytest.mark.parametrize("phase", ["pending", "terminating", "Active"])
@on_every_strategy
async def test_a_phase_that_we_do_not_know_holds_its_target_for_as_long_as_its_lease(
    name: str, phase: str, shape: str
) -> None:
    """Nothing is written to it until that is over; then it is ended as any other is."""
    content = newer.claim(status={"phase": phase})
    if shape == "flat":
        content = newer.stored(newer.read_claim(newer.claim()) | {"status": phase})
    async with shared(STRATEGIES[name]) as zone:
        await zone.holds(content)
        with pytest.raises(ClaimConflictError) as refused:
            await zone.take(BOB)
        assert refused.value.held_until == NOON + HALF_AN_HOUR
        assert [each.claim_id for each in await zone.claims.active_claims(TARGET)] == ["gc-1"]
        assert zone.mock.read_file(PATH) == content
        zone.clock.advance(HALF_AN_HOUR + timedelta(seconds=1))
        assert await zone.claims.active_claims() == []
        assert (await zone.take(BOB)).agent == BOB
        assert newer.read_claim(zone.mock.read_file(PATH) or b"")["status"] == "expired"


async def test_a_claim_in_a_phase_that_we_do_not_know_is_kept() -> None:
    """It is none that has ended; what its own agent does to it leaves the phase as it is."""
    async with shared() as zone:
        await zone.holds(newer.claim(status={"phase": "pending"}))
        assert await zone.claims.clean_completed(timedelta(days=1)) == 0
        await zone.claims.heartbeat("gc-1", lease=HALF_AN_HOUR * 2)
        status = zone.document()["status"]
        assert (status["phase"], status["leaseExpiresAt"]) == ("pending", "2026-01-01T13:00:00Z")


@pytest.mark.parametrize("phase", ["", None, 7])
async def test_what_is_no_phase_at_all_cannot_be_understood(phase: object) -> None:
    """So that its target is taken from nobody."""
    async with shared() as zone:
        await zone.holds(newer.claim(status={"phase": phase}))
        zone.clock.advance(HALF_AN_HOUR * 2)
        with pytest.raises(PreCommitError, match=PATH):
            await zone.take(BOB)


@pytest.mark.parametrize("phase", ["released", "completed", "expired"])
async def test_a_claim_that_grove_ended_frees_its_target(phase: str) -> None:
    """Whether or not Grove got as far as emptying the lock."""
    async with shared() as zone:
        await zone.holds(newer.claim(status={"phase": phase}))
        assert (await zone.take(BOB)).agent == BOB
        assert zone.mock.read_file(PATH) == newer.claim(status={"phase": phase})


@on_every_strategy
async def test_an_emptied_lock_is_a_free_lock(name: str) -> None:
    """Again and again; who holds the target is told as before."""
    async with shared(STRATEGIES[name]) as zone:
        for number in range(3):
            await zone.put(LOCK, b"")
            assert await zone.claims.active_claims(TARGET) == []
            claim = await zone.take(BOB, f"c-{number}", idempotency_key=f"k-{number}")
            assert claim.claim_id == f"c-{number}"
            with pytest.raises(ClaimConflictError):
                await zone.take(ALICE, f"a-{number}")
            await zone.claims.release(claim.claim_id)


async def test_a_move_of_an_emptied_lock_that_lands_late_takes_nothing() -> None:
    """Its claim was never written, and is fenced off by whoever finds the lock naming it."""
    async with shared() as zone:
        await zone.put(LOCK, b"")
        move = RequestMatch("write", LOCK, nth=2)  # the first takes it for one never taken
        zone.mock.inject(Fault(FaultKind.LATE, match=move, after_requests=1_000))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await zone.take(BOB, "late", idempotency_key="late")
        await zone.take(ALICE, "c-1")
        await zone.claims.release("c-1")
        await zone.put(LOCK, b"")  # as Grove gives it back
        await zone.mock.settle()
        assert reader.read_lock(zone.mock.read_file(LOCK) or b"") == "late"
        claim = await zone.take(ALICE, "c-2")
        assert await zone.claims.active_claims(TARGET) == [claim]
        with pytest.raises(ClaimConflictError):
            await zone.take(BOB, "late", idempotency_key="late")


ENDS: dict[str, Callable[[NexusClaimStore], Any]] = {
    "released": lambda claims: claims.release("gc-1"),
    "completed": lambda claims: claims.complete("gc-1"),
}


@pytest.mark.parametrize("phase", ENDS)
async def test_a_claim_of_grove_is_ended_in_its_own_shape(phase: str) -> None:
    """Byte for byte but for what ends it; nothing is beside spec and status."""
    async with shared() as zone:
        await zone.holds()
        zone.clock.advance(timedelta(minutes=1))
        await ENDS[phase](zone.claims)
        document = zone.document()
        evidence = document["status"].pop("nexusBounty")
        assert len(evidence["ops"]) == 1
        assert newer.stored(document) == newer.claim(
            status={"phase": phase, "lastTransitionAt": "2026-01-01T12:01:00Z", "revision": 2}
        )


async def test_a_claim_of_grove_is_renewed_in_its_own_shape_and_keeps_what_we_do_not_know() -> None:
    """By its own agent, whichever call it uses; unknown keys stay, beside the two as well."""
    kept = {"spec": newer.SPEC | {"x": [1]}, "status": newer.STATUS | {"y": {}}, "z": 1}
    async with shared() as zone:
        await zone.holds(newer.stored(kept))
        zone.clock.advance(timedelta(minutes=1))
        assert (await zone.take(ALICE, intent_summary="again")).claim_id == "gc-1"
        await zone.claims.heartbeat("gc-1", lease=HALF_AN_HOUR)
        document = zone.document()
        del document["status"]["nexusBounty"]
        beat = {"lastHeartbeatAt": "2026-01-01T12:01:00Z", "leaseExpiresAt": "2026-01-01T12:31:00Z"}
        assert document == {
            "spec": kept["spec"] | {"intentSummary": "again"},  # type: ignore[operator]
            "status": kept["status"] | beat | {"revision": 3},  # type: ignore[operator]
            "z": 1,
        }


async def test_our_claims_are_flat_so_that_every_grove_reads_them() -> None:
    """Unless it is set otherwise."""
    async with shared() as zone:
        await zone.take(BOB, context={"seed": 7})
        content = zone.mock.read_file(OURS) or b""
        assert "spec" not in reader.stored(content)
        assert reader.read_claim(content)["context"] == {"seed": 7}
        assert newer.read_claim(content) == reader.read_claim(content)


SPLIT = {
    "spec": {
        "generation": 1,
        "id": "c-1",
        "targetRef": TARGET,
        "agent": {"agentId": "bob"},
        "intentSummary": "",
        "createdAt": "2026-01-01T12:00:00Z",
        "context": {"seed": 7},
    },
    "status": {
        "id": "c-1",
        "observedGeneration": 1,
        "conditions": [],
        "lastTransitionAt": "2026-01-01T12:00:00Z",
        "attemptCount": 0,
        "phase": "active",
        "lastHeartbeatAt": "2026-01-01T12:00:00Z",
        "leaseExpiresAt": "2026-01-01T12:30:00Z",
        "revision": 1,
    },
}


async def test_our_claims_are_split_where_that_is_set_and_newer_groves_read_them() -> None:
    """Byte for byte, and what they need is there."""
    async with shared(shape="split") as zone:
        await zone.take(BOB, context={"seed": 7})
        content = zone.mock.read_file(OURS) or b""
        assert newer.read_claim(content)["status"] == "active"
        document = reader.stored(content)
        assert len(document["status"].pop("nexusBounty")["ops"]) == 1
        assert json.dumps(document) == json.dumps(SPLIT)


async def made_split_by_grove(zone: Shared) -> None:
    """Grove renews our claim: it converts a flat one, and drops what it does not know."""
    theirs = newer.renewed(zone.mock.read_file(OURS) or b"", "2026-01-01T12:40:00.000Z")
    await zone.put(OURS, theirs)


async def test_what_grove_renewed_is_still_ours_to_renew_and_end() -> None:
    """Our evidence lies where it is kept."""
    async with shared(shape="split") as zone:
        await zone.take(BOB, context={"seed": 7})
        await made_split_by_grove(zone)
        assert (await zone.claims.heartbeat("c-1", lease=HALF_AN_HOUR)).revision == 3
        await zone.claims.complete("c-1")
        document = zone.document(OURS)
        assert document["status"]["phase"] == "completed"
        assert document["spec"]["context"] == {"seed": 7}
        assert len(document["status"]["nexusBounty"]["ops"]) == 3


async def test_of_a_flat_claim_that_grove_renewed_the_evidence_is_gone_and_we_say_so() -> None:
    """Who does not know that yet is told nothing that is not proven; a repeat finishes it."""
    async with shared() as zone:
        await zone.take(BOB)
        await made_split_by_grove(zone)
        with pytest.raises(CommitUnknownError):
            await zone.claims.heartbeat("c-1", lease=HALF_AN_HOUR, idempotency_key="beat")
        again = await zone.claims.heartbeat("c-1", lease=HALF_AN_HOUR, idempotency_key="beat")
        assert again.revision == 3
        assert zone.document(OURS)["status"]["phase"] == "active"


async def test_a_heartbeat_whose_answer_was_lost_is_found_under_what_grove_wrote_since() -> None:
    """In a split claim; it is not done twice."""
    async with shared(shape="split") as zone:
        await zone.take(BOB)
        answers = RequestMatch("write", OURS)
        zone.mock.inject(Fault(FaultKind.LATE, match=answers, after_requests=1_000))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await zone.claims.heartbeat("c-1", lease=HALF_AN_HOUR, idempotency_key="beat")
        await zone.mock.settle()
        await made_split_by_grove(zone)
        again = await zone.claims.heartbeat("c-1", lease=HALF_AN_HOUR, idempotency_key="beat")
        assert again.revision == 3  # ours, and Grove's


async def test_a_split_claim_that_was_never_made_is_a_released_one_to_grove() -> None:
    """The fence of a claimer that died with the lock in its hands."""
    async with shared(shape="split") as zone:
        await zone.put(LOCK, b64encode(b"dead"))
        await zone.take(BOB)
        content = zone.mock.read_file(PATHS.claim("dead")) or b""
        assert newer.read_claim(content)["status"] == "released"
        assert await zone.claims.get("dead") is None
