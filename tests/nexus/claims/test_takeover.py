"""A claim that won the lock and was not written before another agent lost patience."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nexus_bounty import NexusClient, NexusSettings, PreCommitError
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.outcomes import ClaimConflictError, Proof
from nexus_bounty.testing.builders import make_agent
from nexus_bounty.testing.virtual_time import run

LEASE = timedelta(minutes=5)


@pytest.mark.parametrize("etag", ["content", "version"])
def test_a_claim_that_was_fenced_off_is_refused_at_once(etag: str) -> None:
    """Also where etags are no content hashes; it took 1,000 requests until the deadline once."""
    error, requests = run(_fenced_off(etag))
    assert isinstance(error, ClaimConflictError)
    assert error.evidence.proof is Proof.FENCED
    assert requests <= 5


async def _fenced_off(etag: str) -> tuple[PreCommitError, int]:
    mock = MockNexus("0.10", etag=etag)  # type: ignore[arg-type]
    async with NexusClient(settings=NexusSettings(), transport=mock.transport()) as client:
        claims = NexusClaimStore(client, commit="conditional")
        mock.inject(_forbidden("*/claims/c-bob.json"))  # bob wins the lock, and no more
        await _refused(claims, "bob")
        mock.clear_faults()
        mock.inject(_forbidden("*/target-lock/*"))  # carol fences him off, and no more
        await _refused(claims, "carol")
        mock.clear_faults()
        before = mock.request_count
        return await _refused(claims, "bob"), mock.request_count - before


async def _refused(claims: NexusClaimStore, name: str) -> PreCommitError:
    with pytest.raises(PreCommitError) as refused:
        await claims.claim_or_renew(
            "bounty:b-1",
            make_agent(name),
            claim_id=f"c-{name}",
            lease=LEASE,
            idempotency_key=f"k-{name}",
        )
    return refused.value


def _forbidden(path: str, nth: int = 1) -> Fault:
    match = RequestMatch("write", path, nth)
    return Fault(FaultKind.STATUS_BEFORE, match=match, times=None, status=403)
