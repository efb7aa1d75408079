"""What travels can be returned by a web framework, and described to its users."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import nexus_bounty
from nexus_bounty import Bounty, Evidence, Proof, Reservation
from nexus_bounty.models import Wire
from nexus_bounty.schemas import json_schema_of
from nexus_bounty.testing import make_bounty

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

STRUCTS = [
    kind
    for name in nexus_bounty.__all__
    if inspect.isclass(kind := getattr(nexus_bounty, name)) and issubclass(kind, msgspec.Struct)
]


@pytest.fixture
def client() -> TestClient:
    """A client of endpoints that take and return what travels."""
    from tests.support import endpoints  # only here: FastAPI takes long to import

    return endpoints.client()


def test_a_struct_becomes_a_plain_document_and_comes_back() -> None:
    """With the keys that travel."""
    value = make_bounty().to_dict()
    assert value["bountyId"] == "b-1"
    assert value["deadline"] == "2100-01-01T00:00:00Z"
    assert Bounty.from_dict(value) == make_bounty()
    with pytest.raises(ValueError, match="amount"):
        Bounty.from_dict({**value, "amount": "much"})


def test_an_endpoint_takes_and_returns_what_travels(client: TestClient) -> None:
    """Nested, in lists, and where there may be none."""
    from tests.support.endpoints import RESULT

    sent = make_bounty(deadline=datetime(2100, 1, 1, tzinfo=timezone(timedelta(hours=1)))).to_dict()
    answer = client.post("/bounties", json=sent)
    assert (answer.status_code, answer.json()) == (200, sent)
    assert client.get("/bounties").json() == [sent]
    assert client.get("/result").json() == RESULT.to_dict()


def test_an_endpoint_refuses_what_is_no_bounty(client: TestClient) -> None:
    """With the answer that FastAPI gives for any body that is wrong, and the reason."""
    answer = client.post("/bounties", json={"title": 1})
    assert answer.status_code == 422
    assert "title" in answer.text or "creator" in answer.text


def test_the_openapi_document_describes_what_travels(client: TestClient) -> None:
    """Under its name, with every field, and what is required."""
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    bounty = schemas["Bounty"]
    assert set(bounty["properties"]) == set(Bounty.__struct_encode_fields__)
    assert set(bounty["required"]) == {"title", "creator", "amount", "criteria", "deadline"}
    assert bounty["properties"]["deadline"]["format"] == "date-time"
    assert bounty["properties"]["creator"]["required"] == ["agentId"]
    assert "settled" in bounty["properties"]["status"]["enum"]
    assert bounty["properties"]["creator"]["description"] == "Who offers it, and pays."
    assert "Attributes" not in bounty["description"]


@pytest.mark.parametrize("kind", [each for each in STRUCTS if issubclass(each, Wire)])
def test_everything_that_travels_has_a_schema(kind: type[Wire]) -> None:
    """Complete in itself, so that it can stand anywhere."""
    schema = TypeAdapter(kind).json_schema()
    assert "#/" not in str(schema)
    assert set(schema["properties"]) == set(kind.__struct_encode_fields__)


def test_a_time_that_may_be_missing_is_a_time_all_the_same() -> None:
    """In a union, each part keeps what it is."""
    shown = json_schema_of(Reservation)["properties"]["expiresAt"]["anyOf"]
    assert sorted(shown, key=str) == [
        {"type": "null"},
        {"type": "string", "format": "date-time"},
    ]


def test_models_of_pydantic_can_contain_what_travels() -> None:
    """In both directions."""

    class Page(BaseModel):
        bounties: list[Bounty]
        evidence: Evidence | None = None

    page = Page(bounties=[make_bounty()], evidence=Evidence(proof=Proof.DOCUMENT))
    assert Page.model_validate_json(page.model_dump_json()) == page
    assert page.model_dump()["bounties"] == [make_bounty().to_dict()]
    with pytest.raises(ValidationError):
        Page.model_validate({"bounties": [{"title": "and nothing else"}]})


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_help_says_what_every_field_is(kind: type[msgspec.Struct]) -> None:
    """`help(Bounty)` would show nothing but names otherwise."""
    told = inspect.getdoc(kind) or ""
    assert [name for name in kind.__struct_fields__ if f"{name}:" not in told] == []


def test_whatever_is_exported_has_a_first_line_that_says_what_it_is() -> None:
    """And so has each of its methods, where `help` lists them."""
    silent: list[Any] = []
    for name in nexus_bounty.__all__:
        exported = getattr(nexus_bounty, name)
        if not callable(exported):
            continue
        parts = vars(exported).items() if inspect.isclass(exported) else ()
        methods = [part for each, part in parts if each[0] != "_" and inspect.isfunction(part)]
        silent += [each for each in (exported, *methods) if not inspect.getdoc(each)]
    assert silent == []


def test_the_package_says_where_to_begin() -> None:
    """What `help(nexus_bounty)` starts with names the rooms that a user needs."""
    told = nexus_bounty.__doc__ or ""
    for room in ("outcomes", "operations", "sync", "testing", "mock", "events", "ports"):
        assert f"nexus_bounty.{room}" in told
