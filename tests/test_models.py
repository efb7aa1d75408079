"""What bounties look like on the wire, and what a store keeps of what it does not know."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyQuery,
    BountyStatus,
    Claim,
    ClaimQuery,
    ClaimStatus,
    IndexStatus,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
    RewardQuery,
    RewardType,
    reward_id,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.testing.bounties_suite import LIFE, MOVES
from nexus_bounty.testing.builders import make_agent, make_bounty, make_bounty_in, make_reward

PATH = "/zones/z/bounties/b-1.json"
MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 3), max_value=datetime(9000, 1, 1), timezones=st.timezones()
)


def on_the_wire(record: msgspec.Struct) -> Any:
    return json.loads(msgspec.json.encode(record))


def test_every_key_on_the_wire_is_camel_case():
    """The peer reads these names and no others."""
    full = make_bounty_in(
        BountyStatus.SETTLED,
        zone_id="z",
        context={"snake_case": {"kept_as_is": 1}},
        criteria=BountyCriteria(
            description="d",
            metric_name="m",
            metric_threshold=1.5,
            metric_direction="minimize",
            required_tags=["t"],
        ),
    )
    wire = on_the_wire(full)
    assert set(wire) == {
        *("bountyId", "title", "description", "status", "creator", "amount", "criteria"),
        *("deadline", "zoneId", "claimedBy", "claimId", "fulfilledByCid", "reservationId"),
        *("context", "createdAt", "updatedAt"),
    }
    assert set(wire["criteria"]) == {
        *("description", "metricName", "metricThreshold", "metricDirection", "requiredTags"),
    }
    assert wire["claimedBy"] == {"agentId": "alice"}
    assert wire["context"] == {"snake_case": {"kept_as_is": 1}}


def test_what_is_not_given_is_not_written():
    """Optional keys are left out, as the peer leaves them out; required ones never are."""
    assert set(on_the_wire(make_bounty(description="", status=BountyStatus.OPEN))) == {
        *("bountyId", "title", "description", "status", "creator", "amount", "criteria"),
        *("deadline", "createdAt", "updatedAt"),
    }


def test_a_reward_has_the_keys_that_the_peer_knows():
    """Among them the id, which follows from what it is for."""
    wire = on_the_wire(make_reward(transfer_id="t-1"))
    assert set(wire) == {
        *("rewardId", "rewardType", "recipient", "amount", "contributionCid"),
        *("bountyId", "transferId", "createdAt"),
    }
    assert wire["rewardId"] == "reward:bounty_payout:b-1:cid-1"


def test_a_reward_id_follows_from_type_source_and_contribution():
    """So that recording it twice is recording it once."""
    assert reward_id(RewardType.ADOPTION_BONUS, "s-1", "cid-1") == "reward:adoption_bonus:s-1:cid-1"


PARTS = st.lists(
    st.sampled_from([":", "~", "1", "3", "a", "blake3", "blake3:" + "0" * 64, "0" * 64, "%"]),
    min_size=1,
    max_size=4,
).map("".join)


@given(PARTS, PARTS)
def test_a_reward_id_is_that_of_one_source_and_contribution_alone(source: str, cid: str) -> None:
    """Wherever colons are in them: of all that could be meant, each has an id of its own."""
    whole = f"{source}:{cid}"
    splits = [(whole[:at], whole[at + 1 :]) for at, sign in enumerate(whole) if sign == ":"]
    counted = [(f"{len(left)}~{left}", right) for left, right in splits]
    pairs = {pair for pair in (*splits, *counted) if all(pair)}
    ids = {reward_id(RewardType.BOUNTY_PAYOUT, *pair) for pair in pairs}
    assert len(ids) == len(pairs)


@pytest.mark.parametrize(
    ("source", "cid", "named"),
    [
        ("b-1", "blake3:" + "0" * 64, "b-1:blake3:" + "0" * 64),
        ("blake3:" + "1" * 64, "blake3:" + "0" * 64, f"blake3:{'1' * 64}:blake3:{'0' * 64}"),
        ("b-1", "sha256:1", "b-1:sha256:1"),
        ("team:b-1", "sha256:1", "8~team:b-1:sha256:1"),
        ("b:blake3", "0" * 64, "8~b:blake3:" + "0" * 64),
    ],
)
def test_a_reward_id_has_the_form_of_the_peer_where_that_has_one_meaning(
    source: str, cid: str, named: str
) -> None:
    """As it has for every contribution of the peer, and for ids without colons."""
    assert reward_id(RewardType.BOUNTY_PAYOUT, source, cid) == f"reward:bounty_payout:{named}"


def test_statuses_are_the_words_that_the_peer_writes():
    """Eight of them, in the order of a bounty's life."""
    assert [status.value for status in BountyStatus] == [
        *("draft", "open", "claimed", "pending_settlement", "completed"),
        *("settled", "expired", "cancelled"),
    ]


@given(MOMENTS)
def test_every_time_is_brought_to_utc(moment):
    """Whatever zone it was given in, it is the same moment, in UTC, here and on the wire."""
    bounty = make_bounty(deadline=moment, created_at=moment, updated_at=moment)
    for time in (bounty.deadline, bounty.created_at, bounty.updated_at):
        assert time == moment.astimezone(UTC)
        assert time.tzinfo is UTC
    assert on_the_wire(bounty)["deadline"].endswith("Z")


@given(MOMENTS)
def test_a_bounty_comes_back_from_the_wire_as_it_was(moment):
    """Encoding and decoding lose nothing, microseconds included."""
    bounty = make_bounty(deadline=moment)
    assert msgspec.json.decode(msgspec.json.encode(bounty), type=Bounty) == bounty


def test_a_time_that_is_changed_is_brought_to_utc_too():
    """Whatever makes the copy."""
    there = datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    moved = msgspec.structs.replace(make_bounty(), deadline=there)
    assert moved.deadline.tzinfo is UTC
    assert moved.deadline == there


def test_equal_moments_make_equal_bounties():
    """The zone in which a deadline was written is no part of a bounty."""
    moment = datetime(2040, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert make_bounty(deadline=moment) == make_bounty(deadline=moment.astimezone(UTC))


def test_a_bounty_cannot_be_changed_in_place():
    """It is a snapshot."""
    with pytest.raises(AttributeError):
        make_bounty().status = BountyStatus.SETTLED  # type: ignore[misc] # that is the point


def test_a_query_takes_one_status_or_many_by_name_or_by_member():
    """All forms mean the same statuses."""
    assert BountyQuery().statuses is None
    assert BountyQuery(status=BountyStatus.OPEN).statuses == (BountyStatus.OPEN,)
    both = (BountyStatus.OPEN, BountyStatus.DRAFT)
    assert BountyQuery(status=both).statuses == both
    by_name: Any = ["open", "draft"]
    assert BountyQuery(status=by_name).statuses == both


def test_a_claim_holds_until_its_lease_has_run_out():
    """Its last moment included, and only while it is active."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    claim = Claim(
        claim_id="c",
        target_ref="bounty:b-1",
        agent=make_agent(),
        intent_summary="",
        heartbeat_at=now,
        lease_expires_at=now,
    )
    assert claim.holds(now)
    assert not claim.holds(now + timedelta(microseconds=1))
    assert not msgspec.structs.replace(claim, status=ClaimStatus.RELEASED).holds(now)


def test_an_index_is_healthy_when_nothing_is_missing_and_nothing_stale():
    """Either of them is enough to make it ill."""
    well = IndexStatus(status=BountyStatus.OPEN, markers=3)
    assert well.healthy
    assert not msgspec.structs.replace(well, missing=["b-1"]).healthy
    assert not msgspec.structs.replace(well, stale=["b-1"]).healthy


STRANGE: dict[str, Any] = {
    "x-top": {"list": [1, {"deep": None}], "snake_case": True},
    "": "an empty key",
    "null": None,
}


def strange_document(status: BountyStatus) -> dict[str, Any]:
    """A bounty with keys of another writer at every level where there can be any."""
    document: dict[str, Any] = on_the_wire(make_bounty_in(status, context={"free": ["form"]}))
    document["creator"] |= {"x-team": {"name": "T"}}
    document["criteria"] |= {"x-weights": [0.5, {"a": 1}]}
    if "claimedBy" in document:
        document["claimedBy"] |= {"x-badge": {"n": 7}}
    return document | STRANGE | {"nexusBounty": {"x-other": [1, 2]}}


@pytest.fixture
async def mock():
    return MockNexus("0.10")


@pytest.fixture
async def store(mock):
    settings = NexusSettings(retry_base=0)
    async with NexusClient("http://nexus", settings=settings, transport=mock.transport()) as client:
        yield NexusBountyStore(client, "z", commit="conditional")


def put(mock: MockNexus, document: dict[str, Any]) -> None:
    request = mock.receive("POST", "/api/nfs/write", "", (), b"{}")
    mock.core.write(request, PATH, json.dumps(document).encode())


def stored(mock: MockNexus) -> dict[str, Any]:
    content = mock.read_file(PATH)
    assert content is not None
    return msgspec.json.decode(content, type=dict[str, Any])


@pytest.mark.parametrize(
    ("move", "source"),
    [(move, source) for move in MOVES for source in BountyStatus if source in move.sources],
    ids=lambda part: getattr(part, "method", str(part)),
)
async def test_unknown_keys_survive_every_transition(mock, store, move, source):
    """At the top, in the creator, the criteria, the context and beside our own evidence."""
    before = strange_document(source)
    put(mock, before)
    await move.make(store)
    after = stored(mock)
    assert {key: after[key] for key in STRANGE} == STRANGE
    for part in ("creator", "criteria", "context"):
        assert after[part] == before[part]
    assert after["nexusBounty"]["x-other"] == [1, 2]
    assert list(after)[: len(before)] == [key for key in before if key in after]


async def test_unknown_keys_survive_a_whole_life(mock, store):
    """Seven transitions in a row drop nothing."""
    before = strange_document(BountyStatus.DRAFT)
    put(mock, before)
    for method in LIFE:
        await next(move for move in MOVES if move.method == method).make(store)
    after = stored(mock)
    owned = {"status", "updatedAt", "nexusBounty"}
    assert {key: after[key] for key in before if key not in owned} == {
        key: value for key, value in before.items() if key not in owned
    }


@pytest.mark.parametrize(
    "move",
    [move for move in MOVES if BountyStatus.CLAIMED in move.sources and move.target != "open"],
    ids=lambda move: move.method,
)
async def test_unknown_keys_of_the_claimer_survive_while_it_is_the_claimer(mock, store, move):
    """A renewal by the same agent included."""
    put(mock, strange_document(BountyStatus.CLAIMED))
    await move.make(store)
    assert stored(mock)["claimedBy"] == {"agentId": "alice", "x-badge": {"n": 7}}


def test_an_agent_is_told_by_its_id_alone_but_kept_whole():
    """Every field of an identity is written."""
    agent = AgentIdentity(agent_id="a", agent_name="A", toolchain="t", runtime="r", role="x")
    assert on_the_wire(agent) == {
        "agentId": "a",
        "agentName": "A",
        "toolchain": "t",
        "runtime": "r",
        "role": "x",
    }


@pytest.mark.parametrize(
    ("stored", "asked"), [("jos\u00e9", "jose\u0301"), ("jose\u0301", "jos\u00e9")]
)
def test_queries_find_an_agent_however_its_accents_are_stored(stored: str, asked: str) -> None:
    """In the document or in the query; nobody else is found."""
    agent, now = make_agent(stored), datetime(2026, 1, 1, tzinfo=UTC)
    bounty = make_bounty(creator=agent, claimed_by=agent)
    reward = msgspec.structs.replace(make_reward(), recipient=agent)
    claim = Claim(
        claim_id="c",
        target_ref="t",
        agent=agent,
        intent_summary="",
        heartbeat_at=now,
        lease_expires_at=now,
    )
    for name, found in ((asked, True), (stored, True), ("jose", False)):
        assert BountyQuery(creator_agent_id=name).matches(bounty) is found
        assert BountyQuery(claimed_by_agent_id=name).matches(bounty) is found
        assert RewardQuery(recipient_agent_id=name).matches(reward) is found
        assert ClaimQuery(agent_id=name).matches(claim) is found
    assert not BountyQuery(claimed_by_agent_id=asked).matches(make_bounty())
