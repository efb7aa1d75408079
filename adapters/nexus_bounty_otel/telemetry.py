"""The observer: hands each event to spans and to metrics."""

from __future__ import annotations

from typing import Final

from opentelemetry import metrics, trace

import nexus_bounty
from nexus_bounty import events
from nexus_bounty_otel.handlers import Handler, Handlers
from nexus_bounty_otel.meters import Meters
from nexus_bounty_otel.spans import Spans

SCOPE: Final = "nexus_bounty"


class Telemetry:
    """An observer for `nexus_bounty.events.register`, or for one client, store or reconciler.

    Args:
        tracer_provider: Where spans go; the program's own if not given.
        meter_provider: Where metrics go; likewise.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        version = nexus_bounty.__version__
        tracer = trace.get_tracer(SCOPE, version, tracer_provider=tracer_provider)
        meter = metrics.get_meter(SCOPE, version, meter_provider=meter_provider)
        self._handlers = _joined(Spans(tracer).handlers, Meters(meter).handlers)
        self.wants = frozenset(self._handlers)

    def __call__(self, event: events.Event) -> None:
        """Tell of one event."""
        for handler in self._handlers.get(type(event), ()):
            handler(event)


def _joined(*parts: Handlers) -> dict[type[events.Event], tuple[Handler, ...]]:
    kinds = {kind for part in parts for kind in part}
    return {kind: tuple(part[kind] for part in parts if kind in part) for kind in kinds}
