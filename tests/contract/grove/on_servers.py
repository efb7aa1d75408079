"""What Grove does on servers of each release: a zone with a bounty and a lease, and calls on it.

`on_servers.json` was recorded by `tools/record_grove.py`, which runs Grove's TypeScript as
published, on the mocks: which files each row of calls left, and in which errors they ended.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from nexus_bounty.mock import MockNexus
from nexus_bounty.mock.personality import Release
from tests.contract.grove import newer, reader
from tests.contract.grove.shared_zone import NOW, ZONE, Call, Files

RECORDED: Final = Path(__file__).parent / "on_servers.json"

BOUNTY: Final = {
    "bountyId": "there",
    "title": "From Grove",
    "description": "",
    "status": "open",
    "creator": {"agentId": "alice"},
    "amount": 100,
    "criteria": {"description": "a lower loss"},
    "deadline": "2100-01-01T00:00:00.000Z",
    "createdAt": "2026-01-01T00:00:00.000Z",
    "updatedAt": "2026-01-01T00:00:00.000Z",
}
LEASE: Final = {
    "claimId": "held",
    "targetRef": "paper:1",
    "agent": {"agentId": "alice"},
    "status": "active",
    "intentSummary": "try it",
    "createdAt": "2026-01-01T11:50:00.000Z",
    "heartbeatAt": "2026-01-01T11:50:00.000Z",
    "leaseExpiresAt": "2026-01-01T12:30:00.000Z",
    "revision": 1,
}


def _call(on: str, method: str, *arguments: Any) -> Call:
    return {"on": on, "call": method, "args": list(arguments)}


ROWS: Final[dict[str, list[Call]]] = {
    "read and list bounties": [
        _call("bounties", "getBounty", "there"),
        _call("bounties", "listBounties"),
        _call("bounties", "listBounties", {"status": "open"}),
    ],
    "learn that there is no such bounty": [_call("bounties", "getBounty", "missing")],
    "read and list claims": [
        _call("claims", "getClaim", "held"),
        _call("claims", "activeClaims", "paper:1"),
        _call("claims", "listClaims"),
    ],
    "create a bounty": [_call("bounties", "createBounty", BOUNTY | {"bountyId": "new"})],
    "lease a target": [
        _call("claims", "createClaim", LEASE | {"claimId": "c-new", "targetRef": "paper:2"})
    ],
    "move a bounty on": [_call("bounties", "claimBounty", "there", {"agentId": "bob"}, "c-1")],
    "renew a lease": [_call("claims", "heartbeat", "held")],
    "end a lease": [_call("claims", "release", "held")],
}

COLUMNS: Final[dict[str, tuple[Release, ...]]] = {
    "0.5.6, 0.7.0": (Release.V0_5_6, Release.V0_7_0),
    "0.9.9 to 0.9.26": (Release.V0_9, Release.V0_9_26),
    "those without their kernel": (Release.V0_9_20_WITHOUT_KERNEL,),
    "0.10.1": (Release.V0_10,),
}
"""Which mocks stand for the servers of a column."""


def a_zone(release: Release) -> MockNexus:
    """A server with the zone that the calls find."""
    server = MockNexus(release, clock=lambda: NOW)
    files = {
        reader.bounty_path(ZONE, "there"): newer.stored(BOUNTY),
        reader.status_marker(ZONE, "open", "there"): b"",
        reader.claim_path(ZONE, "held"): newer.stored(LEASE),
        reader.claim_marker(ZONE, "paper:1", "held"): b"",
        reader.target_lock(ZONE, "paper:1"): base64.b64encode(b"held"),
    }
    for path, content in files.items():
        server.core.table.write(path, content)
    return server


def as_recorded(files: Files, errors: list[str]) -> dict[str, Any]:
    """What a row of calls left, readable."""
    shown = {path: text and base64.b64decode(text).decode() for path, text in files.items()}
    return {"files": shown, "errors": errors}


def recorded() -> Mapping[str, Mapping[str, Any]]:
    """By release and row."""
    found: Mapping[str, Mapping[str, Any]] = json.loads(RECORDED.read_text())["servers"]
    return found
