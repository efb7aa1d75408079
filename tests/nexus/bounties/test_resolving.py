"""What became of an operation, asked for afterwards: definite, with the bounty as it stands."""

from __future__ import annotations

import asyncio
import json

import pytest

from nexus_bounty import BountyStatus, CommitUnknownError, NexusBountyStore, NexusClient
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.outcomes import Outcome
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.store_trials import BOUNTY_ID, DOCUMENT, KEY, WORKER, seed
from tests.support.virtual import virtual


@virtual
async def test_a_resolution_shows_what_others_have_made_of_the_bounty_since_the_fence() -> None:
    """The answer to the fence is lost, and somebody claims before anybody looks again."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    await seed(mock, BountyStatus.OPEN)
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store, other = (
            NexusBountyStore(client, commit="conditional", clock=wall_clock) for _ in range(2)
        )
        fence = RequestMatch(method="write", path=DOCUMENT)
        mock.inject(Fault(FaultKind.TIMEOUT_AFTER, match=fence))
        resolving = asyncio.ensure_future(store.resolve_operation(BOUNTY_ID, KEY))
        await asyncio.sleep(1)
        claimed = await other.claim_bounty(BOUNTY_ID, WORKER, "c")
        found = await resolving
    assert found.outcome is Outcome.PRE_COMMIT
    assert found.bounty == claimed


def _as_a_newer_version_wrote_it(text: str) -> str:
    value = json.loads(text)
    value["nexusBounty"]["schema"] = 99
    return json.dumps(value)


@pytest.mark.parametrize(
    "spoilt", [lambda _: "no JSON", _as_a_newer_version_wrote_it], ids=["unreadable", "newer"]
)
async def test_what_cannot_be_looked_at_or_fenced_is_not_ruled_out(spoilt) -> None:
    """Whoever asks would compensate on a `PreCommitError`, and the operation may have happened."""
    mock = MockNexus("0.10-hypothetical")
    await seed(mock, BountyStatus.OPEN)
    text = (mock.read_file(DOCUMENT) or b"").decode()
    mock.core.table.write(DOCUMENT, spoilt(text).encode())
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store = NexusBountyStore(client, commit="conditional")
        with pytest.raises(CommitUnknownError):
            await store.resolve_operation(BOUNTY_ID, "of a process that died")


@pytest.mark.parametrize("fault", [FaultKind.REFUSE, FaultKind.DROP_BEFORE])
@virtual
async def test_an_operation_that_nobody_can_look_for_is_not_ruled_out(fault: FaultKind) -> None:
    mock = MockNexus("0.10-hypothetical", clock=wall_clock, faults=[Fault(fault, times=None)])
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        with pytest.raises(CommitUnknownError):
            await NexusBountyStore(client).resolve_operation(BOUNTY_ID, "of a process that died")
