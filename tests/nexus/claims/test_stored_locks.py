"""A lock is understood as it is stored, whatever the zone is set to: as it is, or in base64."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final, Self

import pytest

from nexus_bounty import (
    AgentIdentity,
    Claim,
    ClaimConflictError,
    ClaimStatus,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
    PreCommitError,
)
from nexus_bounty.idempotency import derived_id
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus import documents
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.nexus.commit.conditional import ConditionalCommit
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.commit.single_writer import SingleWriter
from nexus_bounty.nexus.documents import UnreadableDocumentError, paths
from nexus_bounty.nexus.documents.claim_shapes import new_claim
from nexus_bounty.nexus.documents.commits import CommitStrategy
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.builders import make_agent
from nexus_bounty.testing.clock import ManualClock

ALICE, BOB = make_agent("alice"), make_agent("bob")
TARGET: Final = "bounty:b-1"
ELSEWHERE: Final = "paper:7"
LEASE: Final = timedelta(minutes=5)
PATHS: Final = ZonePaths("default")
LOCK: Final = PATHS.target_lock(TARGET)

PLAIN: Final = "c-1"
AMBIGUOUS: Final = b64encode(PLAIN.encode()).decode()
"""An id that is the base64 of another one."""
IDS: Final = {
    "Grove's": "3f2c1b7e-8a4d-4c55-9b1e-0d7a6c5e4f32",
    "ours": derived_id("claim", "k"),
    "short": PLAIN,
    "base64": AMBIGUOUS,
    "padded base64": b64encode(b"claim 1").decode(),
    "base64 of base64": b64encode(AMBIGUOUS.encode()).decode(),
    "base64 of what is no text": "claim001",
    "base64 of white space": "Cgo=",
}
STORED: Final[dict[StorageEncoding, Callable[[str], bytes]]] = {
    "raw": str.encode,
    "base64": lambda claim_id: b64encode(claim_id.encode()),
}
STRATEGIES: Final[dict[str, Callable[[NexusClient], CommitStrategy]]] = {
    "conditional": ConditionalCommit,
    "rename": RenameCommit,
    "single writer": SingleWriter,
}

on_every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
with_each_setting = pytest.mark.parametrize("setting", STORED)
in_each_encoding = pytest.mark.parametrize("stored", STORED)
with_each_id = pytest.mark.parametrize("claim_id", IDS.values(), ids=IDS)


SLOTS: Final = paths.all_commit_slots(PATHS.claims)
CLAIM: Final = rf"{PATHS.claims}/(?P<file>[^/]*)\.json$|{SLOTS}/(?P<slots>[^/]*)/"


class Zone:
    """A zone that several programs write, alice's among them."""

    def __init__(self, strategy: str = "conditional") -> None:
        self.clock = ManualClock()
        self.mock = MockNexus("0.10-hypothetical", atomic=True, clock=self.clock)
        self._strategy = STRATEGIES[strategy]
        self._clients = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.client = await self._client("raw")
        return self

    async def __aexit__(self, *_ended: object) -> None:
        await self._clients.aclose()

    async def _client(self, setting: StorageEncoding) -> NexusClient:
        client = NexusClient(
            "http://nexus",
            settings=NexusSettings(storage_encoding=setting, retry_base=0),
            transport=self.mock.transport(),
        )
        return await self._clients.enter_async_context(client)

    async def program(self, setting: StorageEncoding) -> NexusClaimStore:
        """One of ours, set to that."""
        client = await self._client(setting)
        return NexusClaimStore(client, commit=self._strategy(client), clock=self.clock)

    async def has_claim(
        self,
        claim_id: str,
        stored: StorageEncoding,
        *,
        on: str = TARGET,
        status: ClaimStatus = ClaimStatus.ACTIVE,
    ) -> None:
        """One of alice's."""
        claim = Claim(
            claim_id=claim_id,
            target_ref=on,
            agent=ALICE,
            intent_summary="",
            heartbeat_at=self.clock(),
            lease_expires_at=self.clock() + LEASE,
            created_at=self.clock(),
            status=status,
        )
        content = documents.encode(new_claim(claim, "flat"), stored)
        await self.client.write(PATHS.claim(claim_id), content)

    async def has_lock(self, content: bytes) -> None:
        await self.client.write(LOCK, content)

    @property
    def claims(self) -> set[str]:
        """The ids of all claims of which anything was written."""
        written = (re.match(CLAIM, path) for path in self.mock.files)
        return {found["file"] or found["slots"] for found in written if found}


async def take(claims: NexusClaimStore, agent: AgentIdentity = BOB, claim_id: str = "bob") -> Claim:
    return await claims.claim_or_renew(TARGET, agent, claim_id=claim_id, lease=LEASE)


async def refused(claims: NexusClaimStore, claim_id: str = "carol") -> PreCommitError:
    with pytest.raises(PreCommitError) as refusal:
        await take(claims, make_agent("carol"), claim_id)
    return refusal.value


async def holders(claims: NexusClaimStore) -> list[str]:
    return [each.claim_id for each in await claims.active_claims(TARGET)]


def never_written(claim_id: str) -> Fault:
    """Whoever wins the lock for that claim is refused the write of it."""
    match = RequestMatch("write", PATHS.claim(claim_id))
    return Fault(FaultKind.STATUS_BEFORE, match=match, times=None, status=403)


@on_every_strategy
@with_each_setting
@in_each_encoding
@with_each_id
async def test_a_live_lease_is_respected_however_its_lock_is_stored(
    strategy: str, setting: StorageEncoding, stored: StorageEncoding, claim_id: str
) -> None:
    """Its holder is named, and nothing is written about any other claim."""
    async with Zone(strategy) as zone:
        await zone.has_claim(claim_id, stored)
        await zone.has_lock(STORED[stored](claim_id))
        claims = await zone.program(setting)
        error = await refused(claims)
        assert isinstance(error, ClaimConflictError)
        assert (error.claim_id, error.holder) == (claim_id, "alice")
        assert await holders(claims) == [claim_id]
        assert (await take(claims, ALICE, "again")).claim_id == claim_id
        assert zone.claims == {claim_id}


@on_every_strategy
@with_each_setting
@in_each_encoding
@with_each_id
async def test_a_claim_that_has_ended_frees_its_target_however_its_lock_is_stored(
    strategy: str, setting: StorageEncoding, stored: StorageEncoding, claim_id: str
) -> None:
    """For a single one."""
    async with Zone(strategy) as zone:
        await zone.has_claim(claim_id, stored, status=ClaimStatus.RELEASED)
        await zone.has_lock(STORED[stored](claim_id))
        claims = await zone.program(setting)
        assert (await take(claims)).agent == BOB
        assert isinstance(await refused(claims), ClaimConflictError)
        assert await holders(claims) == ["bob"]


@pytest.mark.parametrize("strategy", ["conditional", "rename"])
@with_each_setting
@with_each_id
async def test_a_lease_that_we_take_is_respected_by_programs_that_are_set_to_something_else(
    strategy: str, setting: StorageEncoding, claim_id: str
) -> None:
    """And it frees its target for them."""
    async with Zone(strategy) as zone:
        ours = await zone.program(setting)
        await take(ours, ALICE, claim_id)
        others = [await zone.program(each) for each in STORED]
        for each in others:
            assert isinstance(await refused(each), ClaimConflictError)
            assert await holders(each) == [claim_id]
        await ours.release(claim_id)
        for number, each in enumerate(others):
            await take(each, claim_id=f"{number}")
            assert await holders(ours) == [f"{number}"]
            await each.release(f"{number}")
        assert zone.claims == {claim_id, "0", "1"}


@on_every_strategy
@with_each_setting
@in_each_encoding
@pytest.mark.parametrize("claim_id", ["dead", "c-1", IDS["Grove's"], IDS["ours"]])
async def test_of_whom_the_lock_names_and_who_never_wrote_a_claim_the_right_id_is_fenced_off(
    strategy: str, setting: StorageEncoding, stored: StorageEncoding, claim_id: str
) -> None:
    """No tombstone is left under what that id is encoded or decoded as."""
    async with Zone(strategy) as zone:
        await zone.has_lock(STORED[stored](claim_id))
        claims = await zone.program(setting)
        assert (await take(claims)).agent == BOB
        assert zone.claims == {claim_id, "bob"}
        assert await claims.get(claim_id) is None
        assert isinstance(await refused(claims, claim_id), ClaimConflictError)


@with_each_setting
@pytest.mark.parametrize("setting_of_others", STORED)
@with_each_id
async def test_of_our_own_claims_that_were_never_written_the_right_id_is_fenced_off(
    setting: StorageEncoding, setting_of_others: StorageEncoding, claim_id: str
) -> None:
    """By a program that is set to the same or to something else."""
    async with Zone() as zone:
        claims, others = await zone.program(setting), await zone.program(setting_of_others)
        zone.mock.inject(never_written(claim_id))
        with pytest.raises(PreCommitError):
            await take(claims, ALICE, claim_id)
        zone.mock.clear_faults()
        await take(others)
        assert zone.claims == {claim_id, "bob"}
        assert isinstance(await refused(claims, claim_id), ClaimConflictError)


@with_each_setting
@pytest.mark.parametrize("live", [PLAIN, AMBIGUOUS])
async def test_both_claims_that_an_old_lock_may_name_are_respected(
    setting: StorageEncoding, live: str
) -> None:
    """Whichever of the two is live; and the target is free once neither is."""
    async with Zone() as zone:
        for each in (PLAIN, AMBIGUOUS):
            status = ClaimStatus.ACTIVE if each == live else ClaimStatus.RELEASED
            await zone.has_claim(each, "raw", status=status)
        await zone.has_lock(AMBIGUOUS.encode())
        claims = await zone.program(setting)
        assert isinstance(await refused(claims), ClaimConflictError)
        assert await holders(claims) == [live]
        await claims.release(live)
        assert (await take(claims)).agent == BOB
        assert await holders(claims) == ["bob"]


@with_each_setting
@pytest.mark.parametrize("live", [PLAIN, AMBIGUOUS])
async def test_a_claim_on_something_else_does_not_hide_the_one_that_an_old_lock_may_name(
    setting: StorageEncoding, live: str
) -> None:
    """It is not what is meant, and is left alone."""
    async with Zone() as zone:
        [elsewhere] = {PLAIN, AMBIGUOUS} - {live}
        await zone.has_claim(elsewhere, "raw", on=ELSEWHERE)
        await zone.has_claim(live, "raw")
        await zone.has_lock(AMBIGUOUS.encode())
        claims = await zone.program(setting)
        assert isinstance(await refused(claims), ClaimConflictError)
        assert await holders(claims) == [live]
        await claims.release(live)
        await take(claims)
        kept = await claims.get(elsewhere)
        assert kept is not None
        assert kept.status is ClaimStatus.ACTIVE


@with_each_setting
async def test_a_claim_that_is_about_to_be_written_is_waited_for_beside_one_that_has_ended(
    setting: StorageEncoding,
) -> None:
    """The lock is that of the new one, and whoever wants the target makes sure of it first."""
    async with Zone() as zone:
        await zone.has_claim(AMBIGUOUS, "raw", status=ClaimStatus.RELEASED)
        slow, quick = await zone.program("base64"), await zone.program(setting)
        zone.mock.inject(never_written(PLAIN))
        with pytest.raises(PreCommitError):
            await take(slow, ALICE, PLAIN)
        assert zone.mock.read_file(LOCK) == AMBIGUOUS.encode()
        zone.mock.clear_faults()
        await take(quick)
        with pytest.raises(ClaimConflictError):
            await take(slow, ALICE, PLAIN)
        assert await holders(slow) == ["bob"]


@on_every_strategy
@with_each_setting
@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b" ", b"\t ", b"Cg==", b"IA=="])
async def test_a_lock_of_white_space_is_a_free_lock(
    strategy: str, setting: StorageEncoding, content: bytes
) -> None:
    """As one that was emptied is, again and again; no claim of such an id is heard of."""
    async with Zone(strategy) as zone:
        claims = await zone.program(setting)
        for number in range(3):
            await zone.has_lock(content)
            assert await holders(claims) == []
            await take(claims, claim_id=f"{number}")
            assert isinstance(await refused(claims), ClaimConflictError)
            await claims.release(f"{number}")
        assert zone.claims == {"0", "1", "2"}


@with_each_setting
async def test_an_end_of_line_after_the_id_is_no_part_of_it(setting: StorageEncoding) -> None:
    """An editor adds one."""
    async with Zone() as zone:
        await zone.has_claim(PLAIN, "raw")
        claims = await zone.program(setting)
        for stored in STORED.values():
            await zone.has_lock(stored(PLAIN) + b"\n")
            assert isinstance(await refused(claims), ClaimConflictError)
        assert zone.claims == {PLAIN}


@on_every_strategy
@with_each_setting
@pytest.mark.parametrize("content", [b"\xff\xfe", b"one\ntwo", b"x" * 300, b'\x00{"a": 1}'])
async def test_a_lock_that_names_no_claim_is_taken_from_nobody(
    strategy: str, setting: StorageEncoding, content: bytes
) -> None:
    """The refusal names the file, and says what to write in its place."""
    async with Zone(strategy) as zone:
        await zone.has_lock(content)
        claims = await zone.program(setting)
        error = await refused(claims)
        assert LOCK in error.message
        assert "write the id of the one that holds the target" in error.message
        with pytest.raises(UnreadableDocumentError, match="write the id"):
            await claims.active_claims(TARGET)
        assert zone.mock.read_file(LOCK) == content
        assert zone.claims == set()
        await zone.has_lock(b"")
        assert (await take(claims)).agent == BOB
