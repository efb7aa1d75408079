"""What a stranger puts into a slot stops nothing but its own bounty."""

from __future__ import annotations

import msgspec
import pytest

from nexus_bounty import BountyQuery, NexusBountyStore, NexusClient
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.documents import UnreadableDocumentError
from nexus_bounty.testing.builders import make_bounty
from tests.support.racing import SLOTS


async def poisoned(content: bytes) -> tuple[MockNexus, NexusClient, NexusBountyStore]:
    """A zone with two bounties, and that content in the slot after the first one's last."""
    mock = MockNexus("0.7.0")
    client = NexusClient(transport=mock.transport())
    store = NexusBountyStore(client, commit=RenameCommit(client))
    for bounty_id in ("b-1", "b-2"):
        await store.create_bounty(make_bounty(bounty_id=bounty_id))
    await store.close()
    mock.core.table.write(f"{SLOTS}/2", content)
    return mock, client, store


BEFORE = msgspec.json.encode({"bountyId": "b-1", "nexusBounty": {"seq": 1, "ops": []}})
CONTENTS = {
    "an earlier write": BEFORE,
    "no write at all": b'{"bountyId": "b-1"}',
    "a later write": BEFORE.replace(b'"seq":1', b'"seq":7'),
    "no document": b"poison",
}


@pytest.mark.parametrize("what", CONTENTS)
async def test_a_slot_with_what_is_not_its_own_does_not_send_readers_round_in_circles(
    what: str,
) -> None:
    """Its bounty cannot be read, and is named; the others are listed."""
    mock, client, store = await poisoned(CONTENTS[what])
    async with client:
        before = mock.request_count
        with pytest.raises(UnreadableDocumentError):
            await store.get_bounty("b-1")
        assert mock.request_count - before < 10
        unreadable: dict[str, str] = {}
        found = await store.list_bounties(BountyQuery(), unreadable=unreadable)
        assert [each.bounty_id for each in found] == ["b-2"]
        assert list(unreadable) == ["b-1"]
