"""The audit of the index: all of it, a page at a time, to be taken up anywhere."""

from __future__ import annotations

from random import Random

import pytest

from nexus_bounty import BountyStatus, NexusBountyStore
from nexus_bounty.models import IndexFault
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.testing.builders import make_agent, make_bounty, make_bounty_in
from tests.support.zone import Zone

S = BountyStatus
ALICE = make_agent("alice")
RELEASES = ("0.5.6", "0.7.0", "0.9", "0.9.26", "0.10-hypothetical")


async def tampered(zone: Zone, seed: int) -> None:
    """Some twenty bounties, and markers missing and stale as the dice fall."""
    dice = Random(seed)
    store, peer = await zone.store(), await zone.peer()
    for number in range(20):
        bounty_id = f"b-{number}"
        await store.create_bounty(make_bounty_in(dice.choice(list(S)), bounty_id=bounty_id))
    await store.create_bounty(make_bounty(bounty_id="released"))
    await store.claim_bounty("released", ALICE, "c-1")
    await store.release_bounty("released", ALICE)
    for marker in sorted(path for path in zone.mock.files if "/status/" in path):
        if dice.random() < 0.3:
            await peer.rpc("delete", path=marker)
    for number in range(22):  # 20 and 21 are of no bounty
        await peer.mark(dice.choice(list(S)).value, f"b-{number}")


async def audited(store: NexusBountyStore, after: str = "") -> list[IndexFault]:
    return [fault async for page in store.audit_index(after) for fault in page.faults]


def by_status(faults: list[IndexFault], *, missing: bool) -> dict[BountyStatus, list[str]]:
    found: dict[BountyStatus, set[str]] = {status: set() for status in S}
    for fault in faults:
        if fault.missing is missing:
            found[fault.status].add(fault.bounty_id)
    return {status: sorted(ids) for status, ids in found.items()}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("release", RELEASES)
async def test_an_audit_finds_what_the_whole_comparison_finds(release: str, seed: int) -> None:
    """Though it never holds more than a few files."""
    async with Zone(release, bulk_size=3, page_size=4) as zone:
        if release == "0.9":  # drops conditional writes: what is there was written elsewhere
            async with Zone("0.10", bulk_size=3, page_size=4) as other:
                await tampered(other, seed)
                for path in other.mock.files:
                    content = other.mock.read_file(path) or b""
                    await (await zone.client()).write(path, content)
        else:
            await tampered(zone, seed)
        store = await zone.store()
        whole = {each.status: each for each in await store.list_index_statuses()}
        faults = await audited(store)
    assert faults
    assert by_status(faults, missing=True) == {s: list(whole[s].missing) for s in S}
    assert by_status(faults, missing=False) == {s: list(whole[s].stale) for s in S}


async def test_what_an_audit_found_can_be_mended_at_any_later_time() -> None:
    """Nothing is then wrong, and nothing that was needed is gone."""
    async with Zone(bulk_size=3, page_size=4) as zone:
        await tampered(zone, seed=1)
        store = await zone.store()
        before = {each.bounty_id: each async for each in store.walk_bounties()}
        faults = await audited(store)
        assert await store.repair_markers(faults) == []
        assert await store.repair_markers(faults) == []
        assert all(index.healthy for index in await store.list_index_statuses())
        for bounty in before.values():
            assert bounty.bounty_id in [each async for each in store.walk_ids(bounty.status)]


@pytest.mark.parametrize("release", ["0.7.0", "0.10"])
async def test_an_audit_goes_on_after_any_of_its_pages_in_another_process(release: str) -> None:
    """Nothing is looked at twice, nothing is left out."""
    async with Zone(release, bulk_size=3, page_size=4) as zone:
        await tampered(zone, seed=2)
        pages = [page async for page in (await zone.store()).audit_index()]
        assert max(page.checked for page in pages) <= 3
        for place, page in enumerate(pages):
            rest = [each async for each in (await zone.store()).audit_index(page.after)]
            expected = [fault for each in pages[place + 1 :] for fault in each.faults]
            assert [fault for each in rest for fault in each.faults] == expected


async def test_a_place_that_is_in_no_directory_of_the_audit_is_its_beginning() -> None:
    """Rather twice than not at all."""
    async with Zone() as zone:
        await tampered(zone, seed=2)
        store = await zone.store()
        assert await audited(store, "/nowhere") == await audited(store)


async def test_documents_that_have_no_file_yet_are_audited_too() -> None:
    """Whoever committed by rename and died has left a slot and no file."""
    async with Zone() as zone:
        client = await zone.client()
        store = NexusBountyStore(client, "z", commit=RenameCommit(client), clock=zone.clock)
        await store.create_bounty(make_bounty())
        await client.delete(zone.paths.bounty("b-1"))
        await client.delete(zone.paths.marker(S.OPEN, "b-1"))
        (fault,) = await audited(store)
    assert (fault.bounty_id, fault.status, fault.missing) == ("b-1", S.OPEN, True)


async def test_an_audit_asks_for_so_many_requests_a_page_of_files() -> None:
    """For documents the page, their contents and their markers; for markers the documents."""
    async with Zone(bulk_size=10, page_size=20) as zone:
        store = await zone.store()
        for number in range(40):
            await store.create_bounty(make_bounty(bounty_id=f"b-{number:02}"))
        before = zone.mock.request_count
        assert await audited(store) == []
        documents, open_ones, others = 2 + 4 + 4, 2 + 4, 7
        assert zone.mock.request_count - before == documents + open_ones + others


async def test_an_audit_that_cannot_read_says_so() -> None:
    """It never takes what it could not see for healthy."""
    async with Zone(retry_attempts=1) as zone:
        store = await zone.store()
        await store.create_bounty(make_bounty())
        await store.close()
        await zone._clients.aclose()
        with pytest.raises(NexusError):
            await audited(store)
