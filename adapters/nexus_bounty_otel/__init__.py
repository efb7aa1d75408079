"""Spans and metrics of everything that nexus-bounty does, by OpenTelemetry.

    from nexus_bounty import events
    from nexus_bounty_otel import Telemetry

    with events.register(Telemetry()):
        ...

It uses the API alone: what becomes of spans and metrics is decided by whichever SDK the program
sets up, and without one nothing does. A process that has no SDK of its own is watched by
`nexus_bounty_otel.prometheus`. Beside it, in `files`, lie a Grafana dashboard and alert rules.
"""

from __future__ import annotations

from nexus_bounty_otel.escrow import EscrowWatch
from nexus_bounty_otel.telemetry import Telemetry

__all__ = ["EscrowWatch", "Telemetry"]
