"""A lease that cannot be understood is one that may be alive, not one that there is not."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import pytest

from nexus_bounty import NexusClaimStore, NexusClient, NexusSettings, PreCommitError
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.documents import UnreadableDocumentError
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.builders import make_agent
from nexus_bounty.testing.clock import ManualClock

ALICE, BOB = make_agent("alice"), make_agent("bob")
TARGET: Final = "paper:7"
OTHER: Final = "paper:8"
LEASE: Final = timedelta(minutes=5)
PATHS: Final = ZonePaths("default")
PATH: Final = PATHS.claim("c-1")

BODIES: Final = {
    "no document": b"\xff\xfe",
    "no JSON": b"mended by hand",
    "no claim": b"{}",
    "no claim in base64": b64encode(b"{}"),
    "half a claim": b'{"claimId": "c-1", "targetRef": "paper:7", "status": "active"}',
    "half a split claim": b'{"spec": {"id": "c-1"}, "status": {"phase": "active"}}',
    "another claim": b'{"claimId": "c-2"}',
}

with_each_body = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)


@asynccontextmanager
async def two_leases(body: bytes) -> AsyncIterator[tuple[NexusClaimStore, MockNexus]]:
    """One that cannot be understood, and another one on something else."""
    clock = ManualClock()
    mock = MockNexus("0.10-hypothetical", atomic=True, clock=clock)
    settings = NexusSettings(retry_base=0)
    async with NexusClient("http://nexus", settings=settings, transport=mock.transport()) as client:
        claims = NexusClaimStore(client, commit="conditional", clock=clock)
        await claims.claim_or_renew(TARGET, ALICE, claim_id="c-1", lease=LEASE)
        await claims.claim_or_renew(OTHER, ALICE, claim_id="c-3", lease=LEASE)
        await client.write(PATH, body)
        claims = NexusClaimStore(client, commit="conditional", clock=clock)
        yield claims, mock


@with_each_body
async def test_whoever_asks_for_it_is_told_which_file_cannot_be_understood(body: bytes) -> None:
    """By its id, and by what it is on."""
    async with two_leases(body) as (claims, _):
        for asked in (claims.get("c-1"), claims.active_claims(TARGET)):
            with pytest.raises(UnreadableDocumentError) as error:
                await asked
            assert error.value.path == PATH


@with_each_body
async def test_who_asks_for_many_is_told_of_the_others_and_what_is_wrong_with_it(
    body: bytes,
) -> None:
    """However they ask; nothing is stopped by it."""
    async with two_leases(body) as (claims, _):
        told: list[dict[str, str]] = [{}, {}, {}]
        assert set(await claims.get_many(["c-1", "c-3"], unreadable=told[0])) == {"c-3"}
        walk = claims.walk_active_claims(unreadable=told[1])
        assert [each.claim_id async for each in walk] == ["c-3"]
        assert [each.claim_id for each in await claims.list_claims(unreadable=told[2])] == ["c-3"]
        assert [set(each) for each in told] == [{"c-1"}] * 3
        assert [each.claim_id for each in await claims.active_claims()] == ["c-3"]
        in_an_hour = ManualClock().now + timedelta(hours=1)
        assert [each.claim_id for each in await claims.expire_stale(in_an_hour)] == ["c-3"]
        assert await claims.clean_completed(timedelta(days=1)) == 0


@with_each_body
async def test_its_target_is_taken_from_nobody(body: bytes) -> None:
    """And the file is as it was."""
    async with two_leases(body) as (claims, mock):
        with pytest.raises(PreCommitError, match=PATH):
            await claims.claim_or_renew(TARGET, BOB, claim_id="bob", lease=LEASE)
        for change in (claims.heartbeat("c-1", lease=LEASE), claims.release("c-1")):
            with pytest.raises(PreCommitError, match=PATH):
                await change
        assert mock.read_file(PATH) == body


async def test_what_there_is_not_is_none_as_before() -> None:
    """Nor is what was fenced off."""
    async with two_leases(b"{}") as (claims, mock):
        async with NexusClient("http://nexus", transport=mock.transport()) as client:
            await client.write(PATHS.target_lock("t"), b"dead")
        await claims.claim_or_renew("t", BOB, claim_id="bob", lease=LEASE)
        for claim_id in ("dead", "nobody"):
            assert await claims.get(claim_id) is None
        told: dict[str, str] = {}
        assert await claims.get_many(["dead", "nobody"], unreadable=told) == {}
        assert told == {}


async def test_one_that_was_committed_by_name_is_read_where_it_was_committed() -> None:
    """Its file alone says nothing there."""
    clock = ManualClock()
    mock = MockNexus("0.10-hypothetical", atomic=True, clock=clock)
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        claims = NexusClaimStore(client, commit=RenameCommit(client), clock=clock)
        made = await claims.claim_or_renew(TARGET, ALICE, claim_id="c-1", lease=LEASE)
        assert await claims.get("c-1") == made
        assert await claims.active_claims(TARGET) == [made]
