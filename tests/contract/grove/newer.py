"""Claims as newer Groves keep them: their documents byte for byte, and what their readers need.

Written after `src/nexus/nexus-claim-store.ts` and `src/core/models.ts` as they stand after the
split of claims into spec and status. Two things differ from the older ones in `reader`: a claim's
document is `{spec, status}`, and a lock is given back by emptying it.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any, Final

from tests.contract.grove import reader

SPEC: Final = {
    "id": "gc-1",
    "roleName": "scout",
    "platform": "codex",
    "blueprint": "explore",
    "assignee": {"agentId": "alice", "role": "scout"},
    "leaseDeadlineSec": 1800,
    "priority": 3,
    "maxIterations": 5,
    "generation": 1,
    "targetRef": "bounty:b-1",
    "agent": {"agentId": "alice", "role": "scout"},
    "intentSummary": "try it",
    "context": {"plan": "b", "papers": [1, 2.5, None]},
    "ownerRef": {"kind": "session", "id": "s-1", "uid": "u-1"},
    "finalizers": ["grove/handoff"],
    "deletionTimestamp": "2026-01-02T12:00:00.000Z",
    "createdAt": "2026-01-01T12:00:00.000Z",
}
STATUS: Final = {
    "id": "gc-1",
    "phase": "active",
    "observedGeneration": 1,
    "agentSessionId": "session-1",
    "lastHeartbeatAt": "2026-01-01T12:00:00.000Z",
    "leaseExpiresAt": "2026-01-01T12:30:00.000Z",
    "currentContributionCid": "blake3:1",
    "conditions": [
        {
            "type": "Accepted",
            "status": "True",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T12:00:00.000Z",
            "reason": "controller",
            "message": "accepted",
        }
    ],
    "lastTransitionAt": "2026-01-01T12:00:00.000Z",
    "attemptCount": 2,
    "revision": 1,
    "resourceVersion": 7,
}


def stored(value: Any) -> bytes:
    """As its HTTP client stores a document: base64 text of `JSON.stringify`."""
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode())


def claim(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> bytes:
    """The bytes of a claim's document, with some of its keys set otherwise."""
    return stored({"spec": SPEC | (spec or {}), "status": STATUS | (status or {})})


def read_claim(content: bytes) -> dict[str, Any]:
    """`decodeClaimDocument` and `claimViewToClaim`: either shape, as a flat claim."""
    document = reader.stored(content)
    if not _is_split(document):
        return reader.read_claim(content)
    spec, status = document["spec"], document["status"]
    flat = {
        "claimId": spec["id"],
        "targetRef": spec["targetRef"],
        "agent": spec["agent"],
        "status": status["phase"],
        "intentSummary": spec["intentSummary"],
        "createdAt": spec["createdAt"],
        "heartbeatAt": status["lastHeartbeatAt"],
        "leaseExpiresAt": status["leaseExpiresAt"],
        "revision": status["revision"],
    }
    for key in ("generation",):
        assert isinstance(spec[key], int), key
    for key in ("observedGeneration", "attemptCount", "revision"):
        assert isinstance(status[key], int), key
    assert isinstance(status["conditions"], list)
    assert reader.is_date(status["lastTransitionAt"])
    assert isinstance(spec.get("context", {}), dict)
    return reader.read_claim(stored(flat))


def renewed(content: bytes, until: str) -> bytes:
    """`claimToDocumentPreservingSplitFields` of a heartbeat: what it knows, and within the two."""
    document = reader.stored(content)
    flat = read_claim(content)
    if not _is_split(document):
        document = converted(flat)
    kept = {"spec": document["spec"], "status": document["status"]}
    kept["status"] = kept["status"] | {
        "lastHeartbeatAt": "2026-01-01T12:10:00.000Z",
        "leaseExpiresAt": until,
        "revision": flat["revision"] + 1,
    }
    return stored(kept)


def _is_split(document: Any) -> bool:
    """`isClaimDocument`."""
    parts = [document.get("spec"), document.get("status")]
    return all(isinstance(part, dict) and isinstance(part.get("id"), str) for part in parts)


def converted(flat: dict[str, Any]) -> dict[str, Any]:
    """`claimToDocument`: only what it knows of a flat claim."""
    agent, until = flat["agent"], datetime.fromisoformat(flat["leaseExpiresAt"])
    lasts = until - datetime.fromisoformat(flat["createdAt"])
    kept = ("context", "ownerRef", "finalizers", "deletionTimestamp")
    spec = {
        "id": flat["claimId"],
        **({"roleName": agent["role"]} if "role" in agent else {}),
        **({"platform": agent["platform"]} if "platform" in agent else {}),
        "assignee": agent,
        **({"leaseDeadlineSec": int(lasts.total_seconds())} if lasts > timedelta(0) else {}),
        "generation": flat["revision"],
        "targetRef": flat["targetRef"],
        "agent": agent,
        "intentSummary": flat["intentSummary"],
        **{key: flat[key] for key in kept if key in flat},
        "createdAt": flat["createdAt"],
    }
    status = {
        "id": flat["claimId"],
        "phase": flat["status"],
        "observedGeneration": flat["revision"],
        "lastHeartbeatAt": flat["heartbeatAt"],
        "leaseExpiresAt": flat["leaseExpiresAt"],
        "conditions": [],
        "lastTransitionAt": flat["heartbeatAt"],
        "attemptCount": flat.get("attemptCount", 0),
        "revision": flat["revision"],
    }
    return {"spec": spec, "status": status}
