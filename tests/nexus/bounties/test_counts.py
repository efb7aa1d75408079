"""Counts by the names of markers: none left out, and a page of names a request."""

from __future__ import annotations

import pytest

from nexus_bounty import (
    BountyQuery,
    BountyStatus,
    InvalidInputError,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents.marker_layout import Layout
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing import ManualClock
from nexus_bounty.testing.builders import CREATED, make_agent, make_bounty, make_bounty_in
from tests.nexus.bounties.test_layouts import Zone, ended, put
from tests.support.sampling import thorough_unless

S = BountyStatus
Z = ZonePaths("z")
ALICE = make_agent("alice")
PERSONALITIES = ["0.5.6", "0.7.0", "0.9", "0.9.26", "0.10", "0.10-hypothetical"]
LISTED_WHOLE = ("0.5.6", "0.9")
"""Releases without pages, or whose pages lose names."""


@pytest.mark.parametrize("personality", PERSONALITIES)
@pytest.mark.parametrize("number", [thorough_unless(False, 10_000), thorough_unless(True, 2_000)])
async def test_a_count_takes_a_request_for_a_thousand_names(personality, number):
    """And one for each other living status, of which some bounties may be; no document is read."""
    mock = MockNexus(personality, clock=ManualClock())
    for each in range(number):
        put(mock, make_bounty(bounty_id=f"b-{each:06}"), by_date=False)
    settings = NexusSettings(max_answer_bytes=10**9)
    transport = mock.transport()
    async with NexusClient("http://n", settings=settings, transport=transport) as client:
        store = NexusBountyStore(client, "z", clock=ManualClock())
        counted = await store.count_by_names([S.OPEN])
    pages = 1 if personality in LISTED_WHOLE else number // 1_000
    asked_in_vain_for_a_page = 1 if personality in LISTED_WHOLE else 0
    assert counted == {S.OPEN: number}
    assert mock.request_count <= pages + 4 + asked_in_vain_for_a_page
    read = [each for each in mock.requests if each.method.startswith("read")]
    assert read == []


@pytest.mark.parametrize("personality", PERSONALITIES)
@pytest.mark.parametrize("kind", Layout)
async def test_it_counts_what_reading_every_document_does(personality, kind):
    """Markers that were written ahead, or are kept on a way back, count for nobody."""
    zone = Zone(personality)
    await zone.laid_out(kind)
    async with zone.store() as store:
        for status in S:
            await store.create_bounty(make_bounty_in(status, bounty_id=f"b-{status}"))
        await store.create_bounty(
            make_bounty(bounty_id="draft", status=S.DRAFT, reservation_id=None)
        )
        await store.create_bounty(make_bounty(bounty_id="released"))
        await store.claim_bounty("released", ALICE, "c-1")
        await store.release_bounty("released", ALICE)
        await store.create_bounty(make_bounty(bounty_id="pivot"))
        await store.claim_bounty("pivot", ALICE, "c-2")
        await store.begin_settlement("pivot", "cid-1")
        for number in range(7):
            put(zone.mock, ended(number, S.SETTLED), by_date=number % 2 == 0)
    async with zone.store() as store:
        counted = await store.count_by_names(list(S))
        for status in S:
            assert counted[status] == await store.count_bounties(BountyQuery(status=status)), status
        assert set(await store.count_by_names()) == {
            S.DRAFT,
            S.OPEN,
            S.CLAIMED,
            S.PENDING_SETTLEMENT,
            S.COMPLETED,
        }


async def test_a_marker_in_both_layouts_counts_once():
    """It is being moved."""
    zone = Zone("0.7.0")
    await zone.laid_out(Layout.DATED)
    put(zone.mock, ended(1), by_date=True)
    put(zone.mock, ended(1), by_date=False)
    async with zone.store() as store:
        assert await store.count_by_names([S.CANCELLED]) == {S.CANCELLED: 1}


async def test_what_died_before_it_removed_a_marker_is_read_where_both_are_listed():
    """The document decides."""
    zone = Zone("0.7.0")
    await zone.laid_out(Layout.DATED)
    put(zone.mock, ended(1), by_date=True)
    zone.mock.core.table.write(Z.marker(S.OPEN, "b-1"), b"")
    async with zone.store() as store:
        assert await store.count_by_names([S.OPEN, S.CANCELLED]) == {S.OPEN: 0, S.CANCELLED: 1}


async def test_a_status_that_there_is_not_is_refused():
    """Before anything is sent."""
    zone = Zone("0.7.0")
    async with zone.store() as store:
        with pytest.raises(InvalidInputError):
            await store.count_by_names(["gone"])  # type: ignore[list-item]
    assert zone.mock.request_count == 0
    assert zone.clock() > CREATED
