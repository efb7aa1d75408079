"""A document that is about another record than its path is no news about either."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nexus_bounty import CommitUnknownError, NexusBountyStore, NexusClient, PreCommitError
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus import documents
from nexus_bounty.nexus.documents import UnreadableDocumentError
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.signing import Signer
from nexus_bounty.testing.builders import make_agent, make_bounty

ZONE = ZonePaths("default")
ABOUT: dict[str, tuple[str, dict[str, Any]]] = {
    "a bounty": (ZONE.bounty("mine"), {"bountyId": "other"}),
    "a claim": (ZONE.claim("mine"), {"claimId": "other"}),
    "a claim in two parts": (ZONE.claim("mine"), {"spec": {"id": "other"}, "status": {}}),
    "a reward": (ZONE.reward("mine"), {"rewardId": "other"}),
    "a contribution": (ZONE.contribution("mine"), {"cid": "other"}),
}


@pytest.mark.parametrize("what", ABOUT)
def test_a_document_about_another_record_is_not_understood(what: str) -> None:
    """A copy, or the answer to another request."""
    path, value = ABOUT[what]
    file = documents.BelievedFile(path, msgspec.json.encode(value), "e")
    with pytest.raises(UnreadableDocumentError, match="it is about 'other'"):
        documents.decode(file, Signer())


async def test_a_copy_of_another_bounty_is_not_acted_on() -> None:
    """Nor does it say what became of an operation on the bounty whose place it has taken."""
    mock = MockNexus("0.10-hypothetical")
    async with NexusClient(transport=mock.transport()) as client:
        store = NexusBountyStore(client, commit="conditional")
        for bounty_id in ("b-1", "b-2"):
            await store.create_bounty(make_bounty(bounty_id=bounty_id))
        copy = mock.read_file(ZONE.bounty("b-1")) or b""
        mock.core.table.write(ZONE.bounty("b-2"), copy)
        await store.close()
        with pytest.raises(PreCommitError):
            await store.claim_bounty("b-2", make_agent("bob"), "c-1")
        with pytest.raises(CommitUnknownError):
            await store.resolve_operation("b-2", "k")
        assert mock.read_file(ZONE.bounty("b-2")) == copy
        assert [each.bounty_id for each in await store.list_bounties()] == ["b-1"]
