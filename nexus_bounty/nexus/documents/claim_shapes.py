"""The two shapes of a claim's document.

Older Groves write a claim flat, newer ones split into `{spec, status}`: what is wanted of it, and
what has become of it. Both are read as the same `Claim`, and a document keeps its shape: whoever
wrote it, and keeps more in it than we know, goes on reading it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from nexus_bounty.idempotency import is_split
from nexus_bounty.models import AgentIdentity, Claim, ClaimStatus
from nexus_bounty.nexus.client.settings import ClaimShape

_SPEC: Final = {
    "claimId": "id",
    "targetRef": "targetRef",
    "agent": "agent",
    "intentSummary": "intentSummary",
    "createdAt": "createdAt",
    "context": "context",
}
_STATUS: Final = {
    "status": "phase",
    "heartbeatAt": "lastHeartbeatAt",
    "leaseExpiresAt": "leaseExpiresAt",
    "revision": "revision",
}


def flattened(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a claim's document says, under the keys of a flat one."""
    if not is_split(value):
        return value
    spec, status = value["spec"], value["status"]
    return {
        **{ours: spec[theirs] for ours, theirs in _SPEC.items() if theirs in spec},
        **{ours: status[theirs] for ours, theirs in _STATUS.items() if theirs in status},
    }


def new_claim(claim: Claim, shape: ClaimShape) -> dict[str, Any]:
    """The document of a claim that nobody has written yet."""
    flat: dict[str, Any] = msgspec.to_builtins(claim)
    if shape == "flat":
        return flat
    spec, status = _split(flat)
    return {
        "spec": {"generation": 1, **spec},
        "status": {
            "id": claim.claim_id,
            "observedGeneration": 1,
            "conditions": [],
            "lastTransitionAt": flat["heartbeatAt"],
            "attemptCount": 0,
            **status,
        },
    }


def claim_tombstone(
    claim_id: str, target_ref: str, now: datetime, shape: ClaimShape
) -> dict[str, Any]:
    """What stands where a claim was fenced off of which nothing but the id is known."""
    claim = Claim(
        claim_id=claim_id,
        target_ref=target_ref,
        agent=AgentIdentity(agent_id="nexus-bounty"),
        intent_summary="(never made)",
        heartbeat_at=now,
        lease_expires_at=now,
        created_at=now,
        status=ClaimStatus.RELEASED,
    )
    return new_claim(claim, shape)


def changed_claim(
    value: Mapping[str, Any], before: Claim, after: Claim, now: datetime
) -> dict[str, Any]:
    """A copy of the document `value`, which says `before`, that says `after`, in its own shape.

    What stays the same keeps the very form in which it was written.
    """
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(after)
    changes = {key: item for key, item in new.items() if item != old.get(key)}
    if not is_split(value):
        return {**value, **changes}
    spec, status = _split(changes)
    if "phase" in status:
        status["lastTransitionAt"] = msgspec.to_builtins(now)
    return {
        **value,
        "spec": {**value["spec"], **spec},
        "status": {**value["status"], **status},
    }


def _split(flat: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keys of a flat document as those of a spec and of a status."""
    spec = {theirs: flat[ours] for ours, theirs in _SPEC.items() if ours in flat}
    status = {theirs: flat[ours] for ours, theirs in _STATUS.items() if ours in flat}
    return spec, status
