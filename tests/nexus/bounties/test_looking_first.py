"""A store that looks before it creates writes nothing where the id of a bounty is taken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from nexus_bounty import BountyExistsError, BountyStatus, NexusBountyStore, NexusClient
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.testing import make_bounty
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.virtual import virtual

PERSONALITIES = ["0.10-hypothetical", "0.10", "0.7.0", "0.9"]
DRAFT = msgspec.structs.replace(make_bounty(status=BountyStatus.DRAFT), reservation_id="r-1")
FILE = "/zones/default/bounties/b-1.json"


@asynccontextmanager
async def a_store(mock: MockNexus) -> AsyncIterator[NexusBountyStore]:
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        yield NexusBountyStore(client, clock=wall_clock).cleaning_up(later=True)


async def taken(mock: MockNexus) -> int:
    """A bounty that another process has made; how much it has written."""
    async with a_store(mock) as other:
        await other.create_bounty(DRAFT, idempotency_key="k")
    async with a_store(mock) as store:
        await store.create_bounty(make_bounty(bounty_id="b-2"))  # how to commit is known
    return len(mock.log)


@pytest.mark.parametrize("personality", PERSONALITIES)
@virtual
async def test_where_the_id_is_taken_nothing_is_written(personality: str) -> None:
    """Neither a marker, nor what would be renamed; a repeat finds its own, and writes as little."""
    mock = MockNexus(personality, clock=wall_clock)
    written = await taken(mock)
    async with a_store(mock) as store:
        with pytest.raises(BountyExistsError):
            await store.looking_first().create_bounty(DRAFT, idempotency_key="another")
        repeated = await store.looking_first().create_bounty(DRAFT, idempotency_key="k")
        assert repeated.status is BountyStatus.DRAFT
    assert len(mock.log) == written


@pytest.mark.parametrize("personality", ["0.10", "0.7.0", "0.9"])
@virtual
async def test_a_bounty_without_a_file_is_seen_as_well(personality: str) -> None:
    """Whoever made it died before it wrote the file: what is in the slot stands."""
    mock = MockNexus(personality, clock=wall_clock)
    await taken(mock)
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        await client.delete(FILE)
    written = len(mock.log)
    async with a_store(mock) as store:
        with pytest.raises(BountyExistsError):
            await store.looking_first().create_bounty(DRAFT, idempotency_key="another")
    assert mock.read_file(FILE) is not None  # which a reader writes, as always
    assert len(mock.log) - written <= 1


@pytest.mark.parametrize("personality", PERSONALITIES)
@virtual
async def test_whoever_is_faster_than_the_look_wins(personality: str) -> None:
    """What was seen does not decide: the commit does, and what was announced is taken back."""
    mock = MockNexus(personality, clock=wall_clock)
    async with a_store(mock) as store, a_store(mock) as other:
        await store.create_bounty(make_bounty(bounty_id="b-2"))
        await other.create_bounty(make_bounty(bounty_id="b-3"))
        seen = store._writer.seen_first

        async def then_another(*arguments: object) -> object:
            found = await seen(*arguments)  # type: ignore[arg-type]
            await other.create_bounty(make_bounty(), idempotency_key="faster")
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store._writer, "seen_first", then_another)
            with pytest.raises(BountyExistsError):
                await store.looking_first().create_bounty(DRAFT, idempotency_key="slower")
        drafts = "/zones/default/indexes/bounties/status/draft/"
        assert [path for path in mock.files if path.startswith(drafts)] == []


@virtual
async def test_a_look_that_fails_leaves_the_word_to_the_create() -> None:
    """Which knows what it means."""
    mock = MockNexus("0.10", clock=wall_clock)
    async with a_store(mock) as store:
        await store.create_bounty(make_bounty(bounty_id="b-2"))
        refused = RequestMatch("exists*", path=FILE)
        mock.inject(Fault(FaultKind.STATUS_BEFORE, match=refused, times=1, status=403))
        made = await store.looking_first().create_bounty(DRAFT, idempotency_key="k")
        assert made.status is BountyStatus.DRAFT
