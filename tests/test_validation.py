"""Wrong input is refused before anything is sent, by an error that names field and value."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_bounty import (
    FROM_IDEMPOTENCY_KEY,
    AgentIdentity,
    Bounty,
    BountyCriteria,
    InvalidInputError,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
    PreCommitError,
    Proof,
    RewardRecord,
    validation,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.testing import bounties_suite as suite
from nexus_bounty.testing.builders import make_agent, make_bounty, make_reward

LIMIT = 10_000
QUICK = settings(max_examples=60, deadline=None)


class Nowhere(tzinfo):
    """A zone that does not know its offset."""

    def utcoffset(self, _moment: datetime | None) -> timedelta | None:
        return None

    dst = utcoffset

    def tzname(self, _moment: datetime | None) -> None:
        return None


@pytest.fixture
def mock():
    return MockNexus("0.10")


@pytest.fixture
async def store(mock):
    limits = NexusSettings(max_document_bytes=LIMIT)
    async with NexusClient("http://nexus", settings=limits, transport=mock.transport()) as client:
        yield NexusBountyStore(client)


def is_accepted(check: Callable[[str, object], object], value: object) -> bool:
    try:
        check("field", value)
    except InvalidInputError:
        return False
    return True


async def refusal(mock: MockNexus, attempt: Any) -> InvalidInputError:
    """The error that `attempt` ends in, before anything was sent."""
    with pytest.raises(InvalidInputError) as refused:
        await attempt
    assert mock.request_count == 0
    return refused.value


def pairs(table: Any) -> list[tuple[str, Any]]:
    return [(field, value) for field, values in table.items() for value in values]


def shown(case: Any) -> str:
    return "" if suite.WRONG in (case if isinstance(case, tuple) else ()) else ascii(case)[:60]


@pytest.mark.parametrize(("field", "wrong"), pairs(suite.BAD_BOUNTIES), ids=shown)
async def test_a_wrong_bounty_is_refused_with_nothing_sent(mock, store, field, wrong):
    """Each field of a bounty, and each way in which it can be wrong."""
    error = await refusal(mock, store.create_bounty(make_bounty(**{field: wrong})))
    assert error.field.startswith(field)
    assert error.evidence.proof is Proof.LOCAL_CHECK


@pytest.mark.parametrize(("field", "wrong"), pairs(suite.BAD_REWARDS), ids=shown)
async def test_a_wrong_reward_is_refused_with_nothing_sent(mock, store, field, wrong):
    """Each field of a reward, and each way in which it can be wrong."""
    reward = make_reward(**({"reward_id": "r-1"} | {field: wrong}))
    assert (await refusal(mock, store.record_reward(reward))).field.startswith(field)


@pytest.mark.parametrize(
    ("method", "name", "call", "wrong"),
    [(m, name, call, bad) for m, name, call, wrong in suite.BAD_CALLS for bad in wrong],
    ids=shown,
)
async def test_a_wrong_argument_is_refused_with_nothing_sent(
    mock, store, method, name, call, wrong
):
    """Each argument of each method, and each way in which it can be wrong."""
    arguments = [wrong if each is suite.WRONG else each for each in call]
    assert (await refusal(mock, getattr(store, method)(*arguments))).field.startswith(name)


@pytest.mark.parametrize(
    ("method", "field", "query"),
    [(m, field, bad) for m, field, wrong in suite.BAD_QUERIES for bad in wrong],
    ids=shown,
)
async def test_a_wrong_query_is_refused_with_nothing_sent(mock, store, method, field, query):
    """Counts that are none, and statuses that there are not."""
    assert (await refusal(mock, getattr(store, method)(query))).field == field


@pytest.mark.parametrize("thing", [None, "b-1", 7, make_reward()], ids=shown)
async def test_what_is_no_bounty_is_refused_with_nothing_sent(mock, store, thing):
    """A dict or another record is not taken for one."""
    assert (await refusal(mock, store.create_bounty(thing))).field == "bounty"


@pytest.mark.parametrize("thing", [None, "r-1", 7, make_bounty()], ids=shown)
async def test_what_is_no_reward_is_refused_with_nothing_sent(mock, store, thing):
    """A dict or another record is not taken for one."""
    assert (await refusal(mock, store.record_reward(thing))).field == "reward"


@pytest.mark.parametrize("key", ["", " ", "a\nb", "a\0b", "x" * 256, 7, "\ud800"], ids=shown)
async def test_a_wrong_key_is_refused_with_nothing_sent(mock, store, key):
    """By every mutation, also where a key could be derived instead."""
    for attempt in (
        store.create_bounty(make_bounty(), idempotency_key=key),
        store.create_bounty(make_bounty(bounty_id=FROM_IDEMPOTENCY_KEY), idempotency_key=key),
        store.record_reward(make_reward(), idempotency_key=key),
        *(move.make(store, idempotency_key=key) for move in suite.MOVES),
        store.resolve_operation("b-1", key),
    ):
        assert (await refusal(mock, attempt)).field == "idempotency_key"


@pytest.mark.parametrize("encoding", ["raw", "base64"])
async def test_a_huge_document_is_refused_with_nothing_sent(mock, encoding):
    """The bytes as they would be stored count, and the error says how many there may be."""
    limits = NexusSettings(max_document_bytes=LIMIT, storage_encoding=encoding)
    async with NexusClient("http://nexus", settings=limits, transport=mock.transport()) as client:
        store = NexusBountyStore(client)
        huge = make_bounty(context={"blob": "x" * LIMIT})
        error = await refusal(mock, store.create_bounty(huge))
    assert "size" in error.field
    assert str(LIMIT) in str(error)
    assert error.idempotency_key


async def test_a_huge_reward_is_refused_with_nothing_sent(mock, store):
    """Rewards have the same limit."""
    reward = make_reward(reward_id="r-1", contribution_cid="x" * LIMIT)
    assert "size" in (await refusal(mock, store.record_reward(reward))).field


async def test_a_transition_that_would_make_a_document_huge_writes_nothing(mock, store):
    """It is refused before the first write."""
    await store.create_bounty(make_bounty())
    applied = len(mock.log)
    with pytest.raises(InvalidInputError):
        await store.claim_bounty("b-1", make_agent(), "c" * LIMIT)
    assert len(mock.log) == applied


async def test_a_long_value_is_shown_shortened(mock, store):
    """An error stays readable whatever was given."""
    error = await refusal(mock, store.create_bounty(make_bounty(bounty_id="x" * 5000)))
    assert len(str(error)) < 400


async def test_the_place_within_a_context_is_named(mock, store):
    """So that it is found in a large one."""
    context = {"runs": [{"ok": 1}, {"bad": float("inf")}]}
    error = await refusal(mock, store.create_bounty(make_bounty(context=context)))
    assert error.field == "context.runs[1].bad"


@pytest.mark.parametrize("zone_id", [bad for bad in suite.BAD_IDS if bad is not None], ids=shown)
async def test_a_wrong_zone_is_refused_when_the_store_is_made(mock, zone_id):
    """A zone is a directory on every server; `None` is no zone of its own, but the settings'."""
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        with pytest.raises(InvalidInputError) as refused:
            NexusBountyStore(client, zone_id)
    assert refused.value.field == "zone_id"


async def test_no_zone_is_the_zone_of_the_settings(mock):
    """So `None` is the one value that is right although it is no id."""
    settings = NexusSettings(zone_id="theirs")
    async with NexusClient("http://nexus", settings=settings, transport=mock.transport()) as client:
        without, named = NexusBountyStore(client, None), NexusBountyStore(client, "theirs")
        other = NexusBountyStore(client, "other")
    assert without.store_identity == named.store_identity != other.store_identity


def test_a_zone_without_an_offset_is_no_zone():
    """Such a time is as naive as one without."""
    with pytest.raises(InvalidInputError):
        validation.check_time("deadline", datetime(2030, 1, 1, tzinfo=Nowhere()))


@pytest.mark.parametrize("amount", [1, 2**53 - 1])
def test_every_amount_that_all_readers_take_exactly_is_accepted(amount):
    """From one to the largest integer of JavaScript."""
    validation.check_amount("amount", amount)


class Money(int):
    """An integer that is more than one."""


@pytest.mark.parametrize("amount", [Money(5), 5.0, True, 5j, float("nan"), -0])
def test_what_is_not_exactly_an_integer_is_no_amount(amount):
    """No subclass either: what it does in arithmetic and JSON is unknown."""
    with pytest.raises(InvalidInputError):
        validation.check_amount("amount", amount)


@given(st.text(min_size=1, max_size=60))
def test_an_id_is_accepted_exactly_when_it_is_a_plain_file_name(text):
    """No separator, no escape, nothing unprintable, nothing that a shell would trim."""
    plain = (
        text.isprintable()
        and not set(text) & set("/%")
        and text == text.strip()
        and text not in (".", "..")
        and len(text.encode("utf-8", "surrogatepass")) <= validation.MOST_ID_BYTES
    )
    assert is_accepted(validation.check_id, text) == plain


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ODD = JSON | st.just(object()) | st.binary() | st.datetimes() | st.floats() | st.tuples(JSON)
AGENTS = st.builds(AgentIdentity, agent_id=ODD, model=ODD) | ODD
CRITERIA = (
    st.builds(
        BountyCriteria,
        description=ODD,
        metric_name=ODD,
        metric_threshold=ODD,
        metric_direction=ODD | st.sampled_from(["minimize", "maximize"]),
        required_tags=ODD,
    )
    | ODD
)
ONE_ODD_FIELD = st.one_of(
    *(
        st.fixed_dictionaries({name: {"creator": AGENTS, "criteria": CRITERIA}.get(name, ODD)})
        for name in Bounty.__struct_fields__
    )
)
REWARD_FIELDS = [name for name in RewardRecord.__struct_fields__ if name != "recipient"]
ONE_ODD_REWARD_FIELD = st.one_of(
    *(st.fixed_dictionaries({name: ODD}) for name in REWARD_FIELDS),
    st.fixed_dictionaries({"recipient": AGENTS}),
)


async def refused_or_kept(method: str, given_record: msgspec.Struct) -> None:
    """Refused with nothing sent, or stored so that it comes back as it was."""
    mock = MockNexus("0.10")
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store = NexusBountyStore(client)
        try:
            kept = await getattr(store, method)(given_record)
        except PreCommitError:
            assert mock.request_count == 0
        else:
            moving = {"updated_at": kept.updated_at} if method == "create_bounty" else {}
            expected = msgspec.structs.replace(given_record, **moving)
            assert msgspec.to_builtins(kept) == msgspec.to_builtins(expected)


@QUICK
@given(ONE_ODD_FIELD)
async def test_a_bounty_is_refused_or_comes_back_as_it_was(odd):
    """Whatever is in a field: there is no third way."""
    await refused_or_kept("create_bounty", make_bounty(**odd))


@QUICK
@given(ONE_ODD_REWARD_FIELD)
async def test_a_reward_is_refused_or_comes_back_as_it_was(odd):
    """Whatever is in a field: there is no third way."""
    await refused_or_kept("record_reward", make_reward(**({"reward_id": "r-1"} | odd)))


def comes_back(value: object) -> bool:
    try:
        again = json.loads(json.dumps(value, allow_nan=False).encode())
    except (TypeError, ValueError):
        return False
    return bool(again == value) and type(again) is type(value)


@given(ODD)
def test_a_value_is_accepted_as_json_exactly_when_it_comes_back(value):
    """What JSON would change is refused, and nothing else."""
    assert is_accepted(validation.check_json, value) == comes_back(value)


@pytest.mark.parametrize("moment", [datetime.min, datetime.max])
async def test_the_ends_of_time_are_refused_or_kept(moment):
    """No deadline overflows."""
    await refused_or_kept("create_bounty", make_bounty(deadline=moment.replace(tzinfo=UTC)))
