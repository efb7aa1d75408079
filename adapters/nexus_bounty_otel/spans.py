"""A span for every operation, step and request, each inside of what it is a part of."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any, Final

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from nexus_bounty import events
from nexus_bounty.events import OperationInfo
from nexus_bounty.outcomes import Outcome
from nexus_bounty_otel.handlers import Handlers

MOST_OPEN: Final = 10_000
_NANOSECONDS: Final = 1_000_000_000
_PREFIX: Final = "nexus_bounty"
_ACKNOWLEDGED: Final = "acknowledged"


class Spans:
    """Makes spans of events.

    Args:
        tracer: Makes them.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: OrderedDict[int, Span] = OrderedDict()
        self.handlers: Handlers = {
            events.OperationBegan: self._began,
            events.OperationEnded: self._ended,
            events.RequestEnded: self._request,
            events.Retried: self._noted,
            events.FenceWritten: self._noted,
            events.FenceLanded: self._noted,
            events.OutcomeUnknown: self._noted,
            events.DoubtResolved: self._noted,
            events.StepOwed: self._noted,
        }

    def _began(self, event: events.OperationBegan) -> None:
        operation = event.operation
        if operation is None:
            return
        attributes = {
            f"{_PREFIX}.operation": operation.name,
            f"{_PREFIX}.layer": operation.layer,
            f"{_PREFIX}.key": operation.key,
            f"{_PREFIX}.bounty_id": operation.bounty_id,
            f"{_PREFIX}.zone_id": operation.zone_id,
            f"{_PREFIX}.server": operation.server,
        }
        parent = self._around(operation.parent)
        context = set_span_in_context(parent) if parent else None
        span = self._tracer.start_span(
            f"{_PREFIX}.{operation.name}", context, SpanKind.INTERNAL, attributes
        )
        self._open[operation.id] = span
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)[1].end()

    def _ended(self, event: events.OperationEnded) -> None:
        operation = event.operation
        span = self._open.pop(operation.id, None) if operation else None
        if span is None:
            return
        span.set_attributes(_of_end(event))
        if event.error is not None and event.outcome is not Outcome.POST_COMMIT:
            known = event.outcome.value if event.outcome else "stopped"
            span.set_status(Status(StatusCode.ERROR, f"{event.error}: {known}"))
        span.end()

    def _request(self, event: events.RequestEnded) -> None:
        ended = time.time_ns()
        began = ended - int(event.seconds * _NANOSECONDS)
        parent = self._around(event.operation)
        context = set_span_in_context(parent) if parent else None
        attributes: dict[str, Any] = {
            "rpc.system": "jsonrpc",
            "rpc.method": event.method,
            f"{_PREFIX}.path": event.path,
            f"{_PREFIX}.attempt": event.attempt,
            f"{_PREFIX}.disposition": event.disposition,
        }
        span = self._tracer.start_span(
            event.method, context, SpanKind.CLIENT, attributes, start_time=began
        )
        if event.disposition != _ACKNOWLEDGED:
            span.set_attribute("error.type", event.reason)
            span.set_status(Status(StatusCode.ERROR, event.reason))
        span.end(ended)

    def _noted(self, event: events.Event) -> None:
        """Put what happened on the span of the operation in which it did."""
        span = self._around(event.operation)
        if span is not None:
            told = {name: getattr(event, name) for name in event.__struct_fields__}
            del told["operation"]
            shown = {name: value for name, value in told.items() if value is not None}
            span.add_event(f"{_PREFIX}.{type(event).__name__}", shown)

    def _around(self, operation: OperationInfo | None) -> Span | None:
        """The span of the operation, or of the next one outwards that has one still."""
        ids = [each.id for each in operation] if operation else []
        return next((self._open[each] for each in ids if each in self._open), None)


def _of_end(event: events.OperationEnded) -> dict[str, Any]:
    attributes: dict[str, Any] = {f"{_PREFIX}.requests": event.requests}
    if event.outcome is not None:
        attributes[f"{_PREFIX}.outcome"] = event.outcome.value
    if event.proof is not None:
        attributes[f"{_PREFIX}.proof"] = event.proof.value
    if event.owed:
        attributes[f"{_PREFIX}.owed"] = event.owed
    if event.error is not None:
        attributes["error.type"] = event.error
    return attributes
