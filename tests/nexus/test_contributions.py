"""Work that is delivered on Nexus is found, paid, and where other programs look for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from nexus_bounty import (
    CommitUnknownError,
    Contribution,
    NexusClient,
    NexusContributionStore,
    NexusSettings,
    OutcomeError,
    PostCommitError,
    PreCommitError,
)
from nexus_bounty.mock import ALL_FAULTS, Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.sync import SyncNexusClient, SyncNexusContributionStore
from tests.support.sampling import sampled
from tests.support.virtual import virtual
from tests.test_works import FULL

PATH = f"/zones/default/contributions/{FULL.cid}.json"
INDEXES = {
    f"/zones/default/indexes/tags/optimizer/{FULL.cid}",
    f"/zones/default/indexes/tags/numpy/{FULL.cid}",
    f"/zones/default/indexes/fts/{FULL.cid}.json",
    f"/zones/default/indexes/relations/blake3:{'a' * 64}/{FULL.cid}.json",
}


@asynccontextmanager
async def a_store(mock: MockNexus, attempts: int = 8) -> AsyncIterator[NexusContributionStore]:
    settings = NexusSettings(retry_attempts=attempts, request_timeout=1, operation_timeout=20)
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        yield NexusContributionStore(client)


@pytest.mark.parametrize("release", ["0.5.6", "0.7.0", "0.9", "0.10"])
@virtual
async def test_what_is_delivered_is_found_and_where_grove_looks_for_it(release: str) -> None:
    """Its manifest has nothing that a strict reader would refuse."""
    mock = MockNexus(release)
    async with a_store(mock) as works:
        assert await works.get(FULL.cid) is None
        delivered = await works.put(FULL)
        assert await works.get(FULL.cid) == delivered == FULL.contribution
    assert isinstance(delivered, Contribution)
    assert set(mock.files) == {PATH} | INDEXES
    assert msgspec.json.decode(mock.read_file(PATH) or b"") == FULL.manifest()


@virtual
async def test_a_delivery_repeated_changes_nothing() -> None:
    """However often, and by whomever."""
    mock = MockNexus()
    async with a_store(mock) as works:
        first = await works.put(FULL)
        before = {path: entry.content for path, entry in mock.files.items()}
        assert await works.put(FULL) == first
    assert {path: entry.content for path, entry in mock.files.items()} == before


async def verdict_of(mock: MockNexus, attempts: int) -> str:
    async with a_store(mock, attempts) as works:
        try:
            await works.put(FULL)
        except OutcomeError as error:
            named = error.operation, error.idempotency_key
            return error.outcome.value if named == ("put_contribution", FULL.cid) else str(named)
    return "committed"


@pytest.mark.parametrize("attempts", [1, 8])
@virtual
async def test_whatever_request_fails_in_whatever_way_the_outcome_is_true(attempts: int) -> None:
    """Also when the request lands after all is over; and a repeat finishes it."""
    calm = MockNexus()
    assert await verdict_of(calm, attempts) == "committed"
    for number in range(1, calm.request_count + 1):
        for fault in sampled(ALL_FAULTS, f"put {attempts} {number}"):
            mock = MockNexus(faults=[fault.on(at=number)])
            verdict = await verdict_of(mock, attempts)
            there = mock.read_file(PATH) is not None
            assert there or verdict not in ("committed", "post_commit"), fault
            await mock.settle()
            if verdict == "pre_commit":
                assert mock.read_file(PATH) is None, fault
            else:
                assert await verdict_of(mock, attempts) == "committed", fault
                assert set(mock.files) == {PATH} | INDEXES, fault


@virtual
async def test_a_delivery_that_cannot_be_seen_is_unknown() -> None:
    """An answer lost, and every read after it."""
    lost = [
        Fault(FaultKind.DROP_AFTER, match=RequestMatch("write", "*/contributions/*"), times=None),
        Fault(FaultKind.DROP_BEFORE, match=RequestMatch("read"), times=None),
    ]
    async with a_store(MockNexus(faults=lost), 1) as works:
        with pytest.raises(CommitUnknownError):
            await works.put(FULL)


@virtual
async def test_a_delivery_whose_entries_are_refused_is_one() -> None:
    """What is owed is named; putting it again does it."""
    refused = Fault(
        FaultKind.STATUS_BEFORE, status=403, match=RequestMatch(path="*/indexes/*"), times=None
    )
    mock = MockNexus(faults=[refused])
    async with a_store(mock, 1) as works:
        with pytest.raises(PostCommitError) as raised:
            await works.put(FULL)
        assert raised.value.pending == ("index_contribution",)
        assert await works.get(FULL.cid) == FULL.contribution
        mock.clear_faults()
        await works.put(FULL)
    assert set(mock.files) == {PATH} | INDEXES


@virtual
async def test_a_delivery_that_is_refused_did_not_happen() -> None:
    """By the first answer, which is definite."""
    async with a_store(MockNexus(faults=[Fault(FaultKind.STATUS_BEFORE, status=403)])) as works:
        with pytest.raises(PreCommitError):
            await works.put(FULL)
        assert await works.get(FULL.cid) is None


def test_work_is_delivered_without_await() -> None:
    """By the face of the store."""
    with SyncNexusClient(transport=MockNexus().transport()) as client:
        works = SyncNexusContributionStore(client)
        assert works.put(FULL) == works.get(FULL.cid)
