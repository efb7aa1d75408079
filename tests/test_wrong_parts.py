"""What cannot be a part is refused as it is given, not by a call that has written by then."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from pydantic import ValidationError

from nexus_bounty import (
    BountyOperations,
    ConditionalCommit,
    Contribution,
    InvalidInputError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
    Reconciler,
    events,
)
from nexus_bounty.memory import MemoryClaimStore, MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.sync import SyncNexusClient

ANYTHING: Any = 5


def _client(**settings: Any) -> NexusClient:
    return NexusClient(settings=NexusSettings(**settings), transport=MockNexus().transport())


def _operations(**other: Any) -> BountyOperations:
    parts: dict[str, Any] = {
        "store": NexusBountyStore(_client()),
        "credits": MemoryCredits(),
        "claims": MemoryClaimStore(),
        "contributions": MemoryContributionStore([]),
    }
    return BountyOperations(**(parts | other))


@pytest.mark.parametrize("part", ["store", "credits", "claims", "contributions"])
@pytest.mark.parametrize(
    "wrong",
    [5, "auto", object(), [Contribution(cid="c")], {"c": Contribution(cid="c")}],
    ids=["number", "text", "object", "list", "dict"],
)
def test_a_part_that_is_no_port_is_refused_as_operations_are_made(part: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"{part} must be a "):
        _operations(**{part: wrong})


def test_parts_that_have_changed_places_are_refused() -> None:
    with pytest.raises(TypeError, match="credits must be a credits service, not MemoryClaimStore"):
        _operations(credits=MemoryClaimStore(), claims=MemoryCredits())


@pytest.mark.parametrize(
    ("part", "stand_in"),
    [(each, MagicMock) for each in ("store", "credits", "claims", "contributions")]
    + [(each, AsyncMock) for each in ("credits", "contributions")],
)
def test_a_stand_in_of_a_test_is_taken_for_what_it_stands_for(
    part: str, stand_in: type[Any]
) -> None:
    """Though it has whatever it is asked for, such as a length."""
    _operations(**{part: stand_in()})


def test_a_stand_in_for_what_cannot_be_reached_is_asked_nothing() -> None:
    class Unreachable:
        def __getattr__(self, name: str) -> Any:
            raise ConnectionError(name)

    _operations(credits=Unreachable())


@pytest.mark.parametrize("wrong", ["conditonal", "x", "", 5, None])
@pytest.mark.parametrize("store", [NexusBountyStore, NexusClaimStore])
async def test_a_way_to_commit_that_there_is_not_is_refused_at_once(
    store: Callable[..., Any], wrong: Any
) -> None:
    with pytest.raises(InvalidInputError, match="commit must be auto, conditional or a strategy"):
        store(_client(), commit=wrong)


@pytest.mark.parametrize("wrong", ["open", "", 5, ["open"]])
async def test_what_is_no_query_is_refused_before_anything_is_sent(wrong: Any) -> None:
    mock = MockNexus()
    client = NexusClient(transport=mock.transport())
    store = NexusBountyStore(client, commit=ConditionalCommit(client))
    claims = NexusClaimStore(client, commit=ConditionalCommit(client))
    asked: list[Callable[[Any], Any]] = [
        *(store.list_bounties, store.count_bounties, store.list_rewards),
        *(claims.list_claims, MemoryClaimStore().list_claims),
    ]
    for each in asked:
        with pytest.raises(InvalidInputError, match="query must be a "):
            await each(wrong)
    with pytest.raises(InvalidInputError, match="query must be a "):
        async for _ in store.walk_bounties(wrong):
            pass
    assert not mock.requests


@pytest.mark.parametrize(
    "given",
    [
        {"settings": {"url": "x"}},
        {"settings": 5},
        {"transport": 5},
        {"observers": print},
    ],
)
async def test_a_client_refuses_what_it_cannot_work_with(given: Any) -> None:
    with pytest.raises(TypeError):
        NexusClient(**given)


def test_the_sync_faces_refuse_the_same() -> None:
    with pytest.raises(TypeError, match="settings must be NexusSettings"):
        SyncNexusClient(settings=ANYTHING)


@pytest.mark.parametrize("observer", [None, 5])
def test_only_refuses_what_cannot_be_called(observer: Any) -> None:
    with pytest.raises(TypeError, match="cannot be"):
        events.only(observer, events.OperationEnded)
    with pytest.raises(TypeError, match="no type of event"):
        events.only(print, ANYTHING)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease": timedelta(0)},
        {"lease": timedelta(seconds=-1)},
        {"lease": 5},
        {"longest_lease": timedelta(0)},
        {"acceptance": timedelta(days=-1)},
        {"acceptance": math.nan},
    ],
)
def test_a_length_of_time_that_cannot_be_is_refused_as_operations_are_made(wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        _operations(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"grace": timedelta(seconds=-1)},
        {"grace": 300},
        {"names_age": timedelta(days=-1)},
        {"page": 0},
        {"page": -1},
        {"keep": -1},
    ],
)
def test_a_reconciler_refuses_likewise(wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        Reconciler(_operations(), **wrong)
    with pytest.raises(TypeError, match="operations must be BountyOperations"):
        Reconciler(ANYTHING)


@pytest.mark.parametrize("wrong", [-1, 0, "-P1D", "PT59M", "P99999D", "P999999999D", "nan"])
def test_a_fence_stays_as_long_as_a_request_may_be_under_way(wrong: Any) -> None:
    """A sweep that removed it sooner would let in what is told to be impossible."""
    with pytest.raises(ValidationError, match="tombstone_retention"):
        NexusSettings(tombstone_retention=wrong)


def test_it_stays_longer_than_any_operation_of_the_same_program() -> None:
    with pytest.raises(ValidationError, match="at least 4 times operation_timeout"):
        NexusSettings(operation_timeout=24 * 3600)
    NexusSettings(operation_timeout=24 * 3600, tombstone_retention=timedelta(days=4))
    with pytest.raises(ValidationError, match="at least 4 times operation_timeout"):
        NexusSettings(operation_timeout=math.inf)


NUMBERS = [
    name
    for name, field in NexusSettings.model_fields.items()
    if field.annotation in (int, float, float | None, timedelta)
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("wrong", [math.nan, -1])
def test_no_number_is_below_zero_or_none(name: str, wrong: float) -> None:
    with pytest.raises(ValidationError):
        NexusSettings(**{name: wrong})
