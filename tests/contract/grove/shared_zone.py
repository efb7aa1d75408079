"""A zone that Grove and we write in turns: what each does, and what Grove's own code answers.

`turns.json` was recorded by `tools/record_grove.py`, which runs Grove's TypeScript as published. A
turn is either Grove's, with its calls, what they returned and the files that they left, byte for
byte; or ours, with the files that we left. So it holds files in the format of both.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from nexus_bounty import (
    AgentIdentity,
    BountyStatus,
    ClaimConflictError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.builders import make_bounty

TURNS: Final = Path(__file__).parent / "turns.json"
ZONE: Final = "shared"
NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE: Final = timedelta(days=30_000)
BOB: Final = AgentIdentity(agent_id="bob")
CAROL: Final = AgentIdentity(agent_id="carol")

Files = dict[str, str | None]
"""Stored text by path; `None` for a file that is gone."""


def shared_server() -> MockNexus:
    """A server in the shapes that Grove's client expects, whose preconditions hold."""
    return MockNexus("0.9", atomic=True, clock=lambda: NOW)


def files_of(server: MockNexus) -> dict[str, str]:
    """Every file as text."""
    return {path: entry.content.decode() for path, entry in server.files.items()}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> Files:
    """What was written and removed between two states."""
    written = {path: text for path, text in after.items() if before.get(path) != text}
    return {**written, **{path: None for path in before if path not in after}}


@dataclass
class Us:
    """Our stores in the shared zone, storing as Grove does."""

    client: NexusClient
    bounties: NexusBountyStore = field(init=False)
    claims: NexusClaimStore = field(init=False)

    def __post_init__(self) -> None:
        self.bounties = NexusBountyStore(self.client, ZONE, commit="conditional", clock=lambda: NOW)
        self.claims = NexusClaimStore(self.client, ZONE, commit="conditional", clock=lambda: NOW)

    async def lease(self, bounty_id: str, claim_id: str, agent: AgentIdentity) -> None:
        """Take the lease on a bounty."""
        await self.claims.claim_or_renew(
            f"bounty:{bounty_id}", agent, claim_id=claim_id, lease=LEASE, idempotency_key=claim_id
        )


def ours(transport: Any, encoding: StorageEncoding = "base64") -> NexusClient:
    """A client that leaves nothing to chance."""
    settings = NexusSettings(storage_encoding=encoding, zone_id=ZONE, retry_base=0)
    return NexusClient("http://nexus", settings=settings, transport=transport, random=Random(3))


# Our turns, in order; each asserts what it must find.


async def move_theirs_on(us: Us) -> None:
    """A bounty of Grove's is read, listed and claimed."""
    found = await us.bounties.get_bounty("g-1")
    assert found is not None
    assert (found.title, found.amount, found.status) == ("From Grove", 100, BountyStatus.OPEN)
    assert found.criteria.required_tags == ["h100"]
    assert await us.bounties.list_bounties() == [found]
    await us.lease("g-1", "c-1", BOB)
    await us.bounties.claim_bounty("g-1", BOB, "c-1", idempotency_key="k-1")


async def settle_theirs(us: Us) -> None:
    """Grove has extended our lease; we take the bounty to its end."""
    lease = await us.claims.get("c-1")
    assert lease is not None
    assert (lease.revision, lease.lease_expires_at.year) == (2, 2089)
    await us.bounties.begin_settlement("g-1", "cid-1", idempotency_key="k-2")


async def end_theirs(us: Us) -> None:
    """Grove has looked at it half-way."""
    await us.bounties.settle_bounty("g-1", idempotency_key="k-3")
    await us.claims.complete("c-1", idempotency_key="k-4")


async def post_our_own(us: Us) -> None:
    """A bounty of ours, leased and claimed."""
    bounty = make_bounty(zone_id=ZONE, context={"seed": 7})
    await us.bounties.create_bounty(bounty, idempotency_key="k-5")
    await us.lease("b-1", "c-2", BOB)
    await us.bounties.claim_bounty("b-1", BOB, "c-2", idempotency_key="k-6")


async def settle_our_own(us: Us) -> None:
    """Grove has completed it and given the lease back; what we did to it is still in it."""
    found = await us.bounties.get_bounty("b-1")
    assert found is not None
    assert (found.status, found.fulfilled_by_cid) == (BountyStatus.COMPLETED, "cid-2")
    history = await us.bounties.get_history("b-1")
    assert [each.key for each in history] == ["k-5", "k-6"]
    await us.bounties.settle_bounty("b-1", idempotency_key="k-7")


async def respect_their_lease(us: Us) -> None:
    """A target that Grove holds is not ours to take; our attempt leaves its marker."""
    [held] = await us.claims.active_claims("bounty:g/2%")
    assert (held.claim_id, held.agent.agent_id) == ("gc-1", "alice")
    assert "g/2%" in {each.bounty_id for each in await us.bounties.list_bounties()}
    try:
        await us.lease("g/2%", "c-3", CAROL)
    except ClaimConflictError:
        return
    raise AssertionError("Grove's lease was not respected")


async def take_what_they_gave_back(us: Us) -> None:
    """Grove has released it, and deleted the lock."""
    await us.lease("g/2%", "c-4", CAROL)
    await us.claims.release("c-4", idempotency_key="k-8")


async def keep_what_they_could_not_take(us: Us) -> None:
    """Grove met the lock that we never delete, and gave up; the target is still ours to take."""
    await us.lease("g/2%", "c-5", BOB)


async def forget_the_encoding(us: Us) -> None:
    """A document in raw JSON, as we store it unless told to use base64."""
    path = ZonePaths(ZONE).bounty("raw-1")
    await us.client.write(path, msgspec.json.encode(make_bounty(bounty_id="raw-1")))


OUR_TURNS: Final[Mapping[str, Callable[[Us], Awaitable[None]]]] = {
    turn.__name__: turn
    for turn in (
        move_theirs_on,
        settle_theirs,
        end_theirs,
        post_our_own,
        settle_our_own,
        respect_their_lease,
        take_what_they_gave_back,
        keep_what_they_could_not_take,
        forget_the_encoding,
    )
}


# Grove's turns: calls on its `bounties` and `claims` stores.

Call = dict[str, Any]


def _call(on: str, method: str, *arguments: Any) -> Call:
    return {"on": on, "call": method, "args": list(arguments)}


_THEIRS: Final = {
    "bountyId": "g-1",
    "title": "From Grove",
    "description": "As its users write them.",
    "status": "open",
    "creator": {"agentId": "alice", "agentName": "Alice", "shoeSize": 43},
    "amount": 100,
    "criteria": {
        "description": "a lower loss",
        "metricName": "val_bpb",
        "metricThreshold": 0.96,
        "metricDirection": "minimize",
        "requiredTags": ["h100"],
        "judge": "eve",
    },
    "zoneId": ZONE,
    "deadline": "2100-01-01T00:00:00.000Z",
    "context": {"papers": [1, 2.5, None]},
    "createdAt": "2026-01-01T00:00:00.000Z",
    "mood": {"good": True},
}
_LEASE: Final = {
    "claimId": "gc-1",
    "targetRef": "bounty:g/2%",
    "agent": {"agentId": "alice", "platform": "grove"},
    "status": "active",
    "intentSummary": "try it",
    "createdAt": "2026-01-01T12:00:00+02:00",
    "heartbeatAt": "2026-01-01T12:00:00.000Z",
    "leaseExpiresAt": "2100-01-01T00:00:00.000Z",
    "context": {"plan": "b"},
    "attemptCount": 2,
}

PLAY: Final[list[str | list[Call]]] = [
    [_call("bounties", "createBounty", _THEIRS)],
    "move_theirs_on",
    [
        _call("bounties", "listBounties", {"status": "claimed"}),
        _call("claims", "activeClaims", "bounty:g-1"),
        _call("claims", "heartbeat", "c-1", 2_000_000_000_000),
    ],
    "settle_theirs",
    [
        _call("bounties", "getBounty", "g-1"),
        _call("bounties", "listBounties", {"status": "pending_settlement"}),
    ],
    "end_theirs",
    [_call("bounties", "listBounties", {"status": "settled"}), _call("claims", "getClaim", "c-1")],
    "post_our_own",
    [
        _call("bounties", "listBounties", {"status": "claimed", "claimedByAgentId": "bob"}),
        _call("claims", "activeClaims"),
        _call("bounties", "completeBounty", "b-1", "cid-2"),
        _call("claims", "release", "c-2"),
    ],
    "settle_our_own",
    [
        _call("bounties", "createBounty", _THEIRS | {"bountyId": "g/2%"}),
        _call("claims", "createClaim", _LEASE),
    ],
    "respect_their_lease",
    [_call("claims", "activeClaims", "bounty:g/2%"), _call("claims", "release", "gc-1")],
    "take_what_they_gave_back",
    [_call("claims", "createClaim", _LEASE | {"claimId": "gc-2"})],
    "keep_what_they_could_not_take",
    "forget_the_encoding",
    [_call("bounties", "listBounties")],
]


@dataclass
class Turn:
    """One turn of either side, as recorded."""

    by: str
    does: Any
    files: Files
    answers: list[Any] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Readable: with each base64 text stands what it says."""
        files = {
            path: {"stored": text, "says": _says(text)} if text else text
            for path, text in self.files.items()
        }
        heard = {"answers": self.answers} if self.answers else {}
        return {"by": self.by, "does": self.does, "files": files, **heard}


def _says(text: str) -> str:
    return text if text.startswith("{") else base64.b64decode(text).decode()


def recorded_turns() -> list[Turn]:
    """The recording."""
    document = json.loads(TURNS.read_text())
    return [
        Turn(each["by"], each["does"], _stored(each["files"]), each.get("answers", []))
        for each in document["turns"]
    ]


def _stored(files: Mapping[str, Any]) -> Files:
    return {path: each["stored"] if each else each for path, each in files.items()}
