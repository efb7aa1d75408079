"""Metrics for Prometheus, of a process that has no OpenTelemetry SDK of its own.

    async with watched("127.0.0.1:9464", credits):
        ...                                   # http://127.0.0.1:9464/metrics

Needs the extra `prometheus`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from nexus_bounty import events
from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.ports import CreditsService
from nexus_bounty.small_server import SmallServer
from nexus_bounty_otel.escrow import EscrowWatch
from nexus_bounty_otel.telemetry import Telemetry

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """The metrics of this process, as Prometheus reads them.

    While it is open, everything that happens in the process is counted.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        reader = PrometheusMetricReader(
            disable_target_info=True, scope_info_enabled=False, registry=self.registry
        )
        self.provider = MeterProvider([reader])
        self._registration = events.register(Telemetry(meter_provider=self.provider))

    def text(self) -> str:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry).decode()

    def close(self) -> None:
        """Count nothing any more."""
        self._registration.unregister()
        self.provider.shutdown()


@asynccontextmanager
async def watched(
    address: str, credit: CreditsService | None = None, every: timedelta = timedelta(minutes=1)
) -> AsyncIterator[Exposition]:
    """Serve the metrics of this process at `http://address/metrics`.

    Args:
        address: Host and port, such as `127.0.0.1:9464`; with port 0 nothing is served.
        credit: Whose escrow to count, if any.
        every: How often to count it.

    Raises:
        InvalidInputError: The address is none.
        PlainError: It cannot be listened on.
    """
    host, port = _parts(address)
    async with AsyncExitStack() as stack:
        exposition = Exposition()
        stack.callback(exposition.close)
        if port:
            server = _serving(host, port, exposition)
            stack.push_async_callback(asyncio.to_thread, server.close)
        if credit:
            watch = EscrowWatch(credit, exposition.provider)
            await stack.enter_async_context(_counted(watch, every))
        yield exposition


@asynccontextmanager
async def _counted(watch: EscrowWatch, every: timedelta) -> AsyncIterator[None]:
    task = asyncio.ensure_future(watch.run(every))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _serving(host: str, port: int, exposition: Exposition) -> SmallServer:
    def answer(path: str) -> tuple[int, str, bytes]:
        if path not in ("/metrics", "/"):
            return 404, "text/plain", b"see /metrics\n"
        return 200, _TEXT, exposition.text().encode()

    return SmallServer(host, port, answer)


_PORT: Final = re.compile(r"[0-9]{1,5}")


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not (_PORT.fullmatch(port) and int(port) < 2**16):
        raise InvalidInputError("metrics", address, "must be host and port, such as 127.0.0.1:9464")
    return host.strip("[]") or "127.0.0.1", int(port)
