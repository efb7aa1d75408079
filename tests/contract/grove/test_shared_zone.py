"""Files shared with Grove: its own are read, listed and moved on; ours carry what it needs."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyStatus,
    Claim,
    ClaimStatus,
    NexusBountyStore,
    NexusClaimStore,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.builders import make_agent, make_bounty, make_bounty_in
from tests.contract.grove import reader
from tests.contract.grove.shared_zone import (
    NOW,
    OUR_TURNS,
    PLAY,
    ZONE,
    Files,
    Us,
    changes,
    files_of,
    ours,
    recorded_turns,
    shared_server,
)

OWN = {"status", "claimedBy", "claimId", "fulfilledByCid", "reservationId", "updatedAt"}
"""What a transition changes of a bounty."""


async def leave(server: MockNexus, files: Files) -> None:
    """Put the files there that Grove left."""
    async with ours(server.transport()) as client:
        for path, text in files.items():
            if text is None:
                await client.delete(path)
            else:
                await client.write(path, text.encode())


async def test_in_each_turn_we_find_what_grove_left_and_leave_what_grove_read() -> None:
    """Byte for byte: so what Grove answered to our files, it answers still."""
    server = shared_server()
    for turn in recorded_turns():
        before = files_of(server)
        if turn.by == "grove":
            await leave(server, turn.files)
        else:
            async with ours(server.transport()) as client:
                await OUR_TURNS[turn.does](Us(client))
        assert changes(before, files_of(server)) == turn.files, turn.does


def test_the_recording_is_of_the_play_as_it_stands() -> None:
    """Turn by turn, call by call."""
    assert [turn.does for turn in recorded_turns()] == PLAY


def answers(turn: int) -> list[Any]:
    """What Grove's own code answered."""
    return recorded_turns()[turn].answers


def test_grove_lists_finds_and_moves_what_we_wrote() -> None:
    """Its answers, recorded."""
    [claimed], [lease], renewed = answers(2)
    assert (claimed["bountyId"], claimed["claimedBy"]["agentId"]) == ("g-1", "bob")
    assert (lease["claimId"], lease["agent"]["agentId"], renewed["revision"]) == ("c-1", "bob", 2)
    pending, [listed] = answers(4)
    assert pending == listed
    [settled], ended = answers(6)
    assert (settled["status"], ended["status"]) == ("settled", "completed")
    [own], active, completed, released = answers(8)
    assert (own["bountyId"], [each["claimId"] for each in active]) == ("b-1", ["c-2"])
    assert (completed["status"], released["status"]) == ("completed", "released")


def test_grove_passes_over_the_marker_of_a_lease_that_we_did_not_get() -> None:
    """It is written beside the attempt to take the lock, and of no claim."""
    turns = recorded_turns()
    assert ZonePaths(ZONE).active_claim("bounty:g/2%", "c-3") in turns[11].files
    [held], released = answers(12)
    assert (held["claimId"], released["status"]) == ("gc-1", "released")


def test_grove_cannot_take_a_target_that_we_have_leased_before() -> None:
    """It meets our lock, which stays, and takes the -32603 of 0.9 and 0.10 for a failure."""
    [refused] = answers(14)
    assert refused["error"] == "NexusConnectionError"
    assert "-32603" in refused["message"]


def test_one_document_in_raw_json_breaks_every_listing_of_grove() -> None:
    """Which is why a shared zone is to be written with base64."""
    [listing] = answers(17)
    assert listing["error"] == "SyntaxError"


def documents(bounty_id: str) -> list[dict[str, Any]]:
    """Each recorded state of a bounty."""
    path = ZonePaths(ZONE).bounty(bounty_id)
    texts = [turn.files.get(path) for turn in recorded_turns()]
    return [reader.stored(text.encode()) for text in texts if text]


def test_what_grove_knows_and_we_do_not_survives_every_transition() -> None:
    """Unknown keys, nested ones too, and the very form of its values."""
    first, *later = documents("g-1")
    assert first["mood"] == {"good": True}
    assert first["creator"]["shoeSize"] == 43
    assert first["criteria"]["judge"] == "eve"
    kept = {key: value for key, value in first.items() if key not in OWN}
    assert [each["status"] for each in later] == ["claimed", "pending_settlement", "settled"]
    for each in later:
        assert kept.items() <= each.items()


def test_what_we_know_and_grove_does_not_survives_its_transitions() -> None:
    """The history by which outcomes are proven."""
    [claimed, completed, settled] = documents("b-1")
    assert completed["nexusBounty"] == claimed["nexusBounty"]
    assert len(settled["nexusBounty"]["ops"]) == 3


READERS = {
    f"/zones/{ZONE}/bounties/": reader.read_bounty,
    f"/zones/{ZONE}/claims/": reader.read_claim,
    f"/zones/{ZONE}/indexes/claims/target-lock/": reader.read_lock,
    f"/zones/{ZONE}/indexes/claims/active/": reader.read_marker,
    f"/zones/{ZONE}/indexes/bounties/status/": reader.read_marker,
}


def test_all_that_we_left_is_what_grove_needs() -> None:
    """Held against a transcription of its readers."""
    for turn in recorded_turns():
        for path, text in turn.files.items():
            if turn.by == "us" and text is not None and "raw" not in path:
                [read] = [each for start, each in READERS.items() if path.startswith(start)]
                read(text.encode())


@pytest.mark.parametrize("status", BountyStatus)
async def test_a_bounty_in_any_status_is_one_to_grove(status: BountyStatus) -> None:
    """Where it looks for it, under the marker by which it lists it."""
    server = shared_server()
    async with ours(server.transport()) as client:
        store = NexusBountyStore(client, ZONE, commit="conditional", clock=lambda: NOW)
        await store.create_bounty(make_bounty_in(status, bounty_id="b.1 é"))
    content = server.read_file(reader.bounty_path(ZONE, "b.1 é"))
    assert content is not None
    assert reader.read_bounty(content)["status"] == status.value
    marker = server.read_file(reader.status_marker(ZONE, status.value, "b.1 é"))
    assert marker == b""


def test_one_status_is_unknown_to_grove() -> None:
    """It shows and lists it, and finds no rule for it."""
    assert {status.value for status in BountyStatus} - reader.BOUNTY_STATUSES == {
        "pending_settlement"
    }
    assert {status.value for status in ClaimStatus} == reader.CLAIM_STATUSES


async def test_what_was_never_created_is_a_cancelled_bounty_to_grove() -> None:
    """A tombstone is a whole document, so that its listings do not break."""
    server = shared_server()
    async with ours(server.transport()) as client:
        store = NexusBountyStore(client, ZONE, commit="conditional", clock=lambda: NOW)
        await store.resolve_operation("b-1", "never-used")
    content = server.read_file(reader.bounty_path(ZONE, "b-1"))
    assert content is not None
    assert reader.read_bounty(content)["status"] == "cancelled"


async def test_a_claim_that_was_never_made_is_a_released_one_to_grove() -> None:
    """The fence of a claimer that died with the lock in its hands."""
    server = shared_server()
    async with ours(server.transport()) as client:
        await client.write(ZonePaths(ZONE).target_lock("t"), base64.b64encode(b"dead"))
        claims = NexusClaimStore(client, ZONE, commit="conditional", clock=lambda: NOW)
        await claims.claim_or_renew(
            "t", AgentIdentity(agent_id="bob"), claim_id="c-1", lease=timedelta(hours=1)
        )
    content = server.read_file(reader.claim_path(ZONE, "dead"))
    assert content is not None
    assert reader.read_claim(content)["status"] == "released"


def test_our_paths_are_those_of_grove() -> None:
    """For ids with every character that it escapes."""
    for name in ("plain", "a/b", "100%", "%2F", "ä b.json"):
        zone = ZonePaths(name)
        assert zone.bounty(name) == reader.bounty_path(name, name)
        assert zone.marker(BountyStatus.OPEN, name) == reader.status_marker(name, "open", name)
        assert zone.claim(name) == reader.claim_path(name, name)
        assert zone.active_claim(name, name) == reader.claim_marker(name, name, name)
        assert zone.target_lock(name) == reader.target_lock(name, name)


BOUNTY = msgspec.to_builtins(make_bounty())
CLAIM = msgspec.to_builtins(
    Claim(
        claim_id="c-1",
        target_ref="t",
        agent=AgentIdentity(agent_id="bob"),
        intent_summary="",
        heartbeat_at=NOW,
        lease_expires_at=NOW,
        created_at=NOW,
    )
)


@pytest.mark.parametrize(
    ("read", "record", "change"),
    [
        *((reader.read_bounty, BOUNTY, {key: ...}) for key in sorted(BOUNTY) if key != "context"),
        *((reader.read_claim, CLAIM, {key: ...}) for key in sorted(CLAIM) if key != "revision"),
        (reader.read_bounty, BOUNTY, {"amount": 1.5}),
        (reader.read_bounty, BOUNTY, {"claimedBy": None}),
        (reader.read_bounty, BOUNTY, {"zoneId": None}),
        (reader.read_bounty, BOUNTY, {"deadline": "tomorrow"}),
        (reader.read_claim, CLAIM, {"status": "open"}),
    ],
)
def test_the_transcription_refuses_what_grove_could_not_use(
    read: Any, record: dict[str, Any], change: dict[str, Any]
) -> None:
    """A field that is missing, null or of another kind."""
    broken = {key: value for key, value in {**record, **change}.items() if value is not ...}
    read(base64.b64encode(msgspec.json.encode(record)))
    with pytest.raises((AssertionError, KeyError, TypeError)):
        read(base64.b64encode(msgspec.json.encode(broken)))


async def test_a_lease_of_ours_can_be_lost_to_a_late_clean_up_of_grove() -> None:
    """It deletes the lock without a condition: `share-a-zone-with-grove.md` says so."""
    server = shared_server()
    async with ours(server.transport()) as client:
        claims = NexusClaimStore(client, ZONE, commit="conditional", clock=lambda: NOW)
        bob, eve, hour = make_agent("bob"), make_agent("eve"), timedelta(hours=1)
        await claims.claim_or_renew("t", bob, claim_id="c-1", lease=hour)
        # `deleteActiveIndex` of a claim that Grove ended before ours, arriving after it
        await client.delete(ZonePaths(ZONE).target_lock("t"))
        taken = await claims.claim_or_renew("t", eve, claim_id="c-2", lease=hour)
    assert taken.agent == eve
