"""Spans lie inside of what they are a part of, and say how it ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from nexus_bounty import CommitUnknownError, InsufficientCreditsError, events
from nexus_bounty.testing import make_agent, make_bounty
from nexus_bounty_otel import Telemetry
from nexus_bounty_otel.spans import MOST_OPEN, Spans
from tests.adapters.otel.watching import a_watched_room, plan

Named = Callable[[str], list[ReadableSpan]]


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def named(exporter: InMemorySpanExporter) -> Named:
    return lambda name: [
        each for each in exporter.get_finished_spans() if each.name == f"nexus_bounty.{name}"
    ]


async def test_requests_lie_in_steps_and_steps_in_operations(
    provider: TracerProvider, exporter: InMemorySpanExporter, named: Named
) -> None:
    """All in the trace of whatever the program does around them."""
    tracer = provider.get_tracer("a program")
    async with a_watched_room() as room:
        with events.register(Telemetry(provider)), tracer.start_as_current_span("around") as around:
            await room["operations"].create(make_bounty(), idempotency_key="k")
    (create,) = named("create")
    steps = [*named("create_bounty"), *named("fund_bounty")]
    requests = [each for each in exporter.get_finished_spans() if each.name == "write"]
    assert create.parent == around.get_span_context()
    assert [each.parent for each in steps] == [create.context] * 2
    inside = [each.context for each in steps]
    assert all(each.parent in inside for each in requests)
    assert create.attributes is not None
    assert dict(create.attributes) == {
        "nexus_bounty.operation": "create",
        "nexus_bounty.layer": "operations",
        "nexus_bounty.key": "k",
        "nexus_bounty.bounty_id": "b-1",
        "nexus_bounty.zone_id": "test",
        "nexus_bounty.server": room["nexus_client"].server,
        "nexus_bounty.requests": 4,  # the first sees what the key that was given has done before
        "nexus_bounty.outcome": "committed",
        "nexus_bounty.proof": "acknowledged",
    }
    for request in requests:
        assert request.start_time is not None
        assert create.start_time is not None
        assert create.start_time <= request.start_time + 10_000_000
        assert (request.attributes or {})["rpc.method"] == "write"


async def test_a_lost_answer_is_an_event_of_the_operation_and_an_error_of_its_request(
    provider: TracerProvider, exporter: InMemorySpanExporter, named: Named
) -> None:
    """The operation itself is none: it is committed."""
    async with a_watched_room() as room:
        await room["operations"].create(make_bounty())
        plan(room, ("commit of claim", "answer lost", 1))
        with events.register(Telemetry(provider)):
            await room["operations"].claim("b-1", make_agent())
    (claim,) = named("claim_bounty")
    assert claim.status.status_code is StatusCode.UNSET
    assert (claim.attributes or {})["nexus_bounty.proof"] == "in_history"
    told = {event.name: event.attributes or {} for event in claim.events}
    assert told["nexus_bounty.DoubtResolved"]["cause"] == "lost_answer"
    failed = [
        each
        for each in exporter.get_finished_spans()
        if each.status.status_code is StatusCode.ERROR
    ]
    assert [(each.name, (each.attributes or {})["error.type"]) for each in failed] == [
        ("write", "connection lost")
    ]


async def test_an_unknown_outcome_and_a_refusal_are_errors_that_say_which(
    provider: TracerProvider, named: Named
) -> None:
    """By the type of the error and what is known, never by a server's words."""
    async with a_watched_room() as room:
        operations = room["operations"]
        await operations.create(make_bounty())
        with events.register(Telemetry(provider)):
            plan(room, ("commit of claim", "no answer", None), ("read of claim", "no answer", None))
            with pytest.raises(CommitUnknownError):
                await operations.claim("b-1", make_agent())
            with pytest.raises(InsufficientCreditsError):
                await operations.create(make_bounty(bounty_id="b-2", amount=5000))
    (claim,), (create,) = named("claim"), named("create")
    assert claim.status.description == "CommitUnknownError: unknown"
    assert create.status.description == "InsufficientCreditsError: pre_commit"
    assert "nexus_bounty.OutcomeUnknown" in [event.name for event in claim.events]


def test_spans_of_operations_that_never_end_are_ended_in_the_end(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """So that a program that loses tasks does not lose memory."""
    spans = Spans(provider.get_tracer("a test"))
    for number in range(MOST_OPEN + 5):
        info = events.OperationInfo(number, "store", "claim_bounty", "k", "b", "z")
        spans.handlers[events.OperationBegan](events.OperationBegan(info))
    assert len(exporter.get_finished_spans()) == 5


async def test_what_it_observes_goes_on_without_an_sdk() -> None:
    """The API alone does nothing, and says nothing."""
    async with a_watched_room() as room:
        with events.register(Telemetry()):
            await room["operations"].create(make_bounty())
            assert (await room["operations"].claim("b-1", make_agent())).claim
