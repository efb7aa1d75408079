"""What Grove's readers need of a file, transcribed from its TypeScript at d4eb875.

`src/nexus/nexus-http-client.ts` decodes, `src/nexus/nexus-bounty-store.ts`, `nexus-claim-store.ts`
and `vfs-paths.ts` find and use, `src/core/bounty.ts` and `src/core/models.ts` say what is in it.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

BOUNTY_STATUSES: Final = frozenset(
    {"draft", "open", "claimed", "completed", "settled", "expired", "cancelled"}
)
"""`BountyStatus` in `src/core/bounty.ts`; `pending_settlement` is ours alone."""
CLAIM_STATUSES: Final = frozenset({"active", "released", "expired", "completed"})
_JS_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_AGENT: Final = ("agentName", "provider", "model", "platform", "version", "toolchain", "runtime")


def stored(content: bytes) -> Any:
    """`NexusHttpClient.read`, then `JSON.parse`: base64 text of JSON."""
    return json.loads(base64.b64decode(content, validate=True).decode())


def read_bounty(content: bytes) -> dict[str, Any]:
    """`decodeBounty`, and what the interface `Bounty` promises to those who use it."""
    bounty: dict[str, Any] = stored(content)
    for key in ("bountyId", "title", "description", "status"):
        assert isinstance(bounty[key], str), key
    assert isinstance(bounty["amount"], int), "an integer, in the smallest unit"
    assert bounty["amount"] > 0
    _agent(bounty["creator"])
    _criteria(bounty["criteria"])
    for key in ("deadline", "createdAt", "updatedAt"):
        assert _JS_DATE.fullmatch(bounty[key]), key
    for key in ("zoneId", "claimId", "fulfilledByCid", "reservationId"):
        assert isinstance(bounty.get(key, ""), str), f"{key} is left out, never null"
    assert isinstance(bounty.get("context", {}), dict)
    if "claimedBy" in bounty:
        _agent(bounty["claimedBy"])
    return bounty


def read_claim(content: bytes) -> dict[str, Any]:
    """`decodeClaim`, and what the interface `Claim` promises to those who use it."""
    claim: dict[str, Any] = stored(content)
    for key in ("claimId", "targetRef", "intentSummary"):
        assert isinstance(claim[key], str), key
    assert claim["status"] in CLAIM_STATUSES
    _agent(claim["agent"])
    for key in ("createdAt", "heartbeatAt", "leaseExpiresAt"):
        assert _JS_DATE.fullmatch(claim[key]), key
    assert isinstance(claim.get("revision", 0), int)
    return claim


def is_date(text: str) -> bool:
    """Whether `new Date` finds a moment in it that all of its hosts agree on."""
    return bool(_JS_DATE.fullmatch(text))


def read_lock(content: bytes) -> str:
    """`writeActiveIndexExclusive`: the id of the claim that holds the target."""
    return base64.b64decode(content, validate=True).decode()


def read_marker(content: bytes) -> None:
    """`writeStatusIndex`, `writeActiveIndexExclusive`: a marker is empty."""
    assert content == b""


def _agent(agent: Any) -> None:
    assert isinstance(agent["agentId"], str)
    for key in _AGENT:
        assert isinstance(agent.get(key, ""), str), f"{key} is left out, never null"


def _criteria(criteria: Any) -> None:
    assert isinstance(criteria["description"], str)
    assert isinstance(criteria.get("metricName", ""), str)
    assert isinstance(criteria.get("metricThreshold", 0), (int, float))
    assert criteria.get("metricDirection", "minimize") in ("minimize", "maximize")
    assert all(isinstance(tag, str) for tag in criteria.get("requiredTags", []))


def encode_segment(text: str) -> str:
    """`encodeSegment` in `vfs-paths.ts`."""
    return text.replace("%", "%25").replace("/", "%2F")


def bounty_path(zone: str, bounty_id: str) -> str:
    """`bountyPath`."""
    return f"/zones/{encode_segment(zone)}/bounties/{encode_segment(bounty_id)}.json"


def status_marker(zone: str, status: str, bounty_id: str) -> str:
    """`bountyStatusIndexPath`."""
    index = f"/zones/{encode_segment(zone)}/indexes/bounties/status"
    return f"{index}/{encode_segment(status)}/{encode_segment(bounty_id)}"


def claim_path(zone: str, claim_id: str) -> str:
    """`claimPath`."""
    return f"/zones/{encode_segment(zone)}/claims/{encode_segment(claim_id)}.json"


def claim_marker(zone: str, target: str, claim_id: str) -> str:
    """`activeClaimIndexPath`."""
    index = f"/zones/{encode_segment(zone)}/indexes/claims/active"
    return f"{index}/{encode_segment(target)}/{encode_segment(claim_id)}"


def target_lock(zone: str, target: str) -> str:
    """`targetLockPath`."""
    return f"/zones/{encode_segment(zone)}/indexes/claims/target-lock/{encode_segment(target)}"
