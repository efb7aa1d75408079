"""How much money is in escrow, counted from time to time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from nexus_bounty.events.log import logger_of
from nexus_bounty.ports import CreditsService, ReservationStatus
from nexus_bounty_otel.telemetry import SCOPE

logger = logger_of("nexus_bounty_otel")


class EscrowWatch:
    """Metrics of the credits that are held.

    Args:
        credit: Where the money is.
        meter_provider: Where metrics go; the program's own if not given.
    """

    def __init__(
        self, credit: CreditsService, meter_provider: metrics.MeterProvider | None = None
    ) -> None:
        self._credit = credit
        self._held: tuple[int, int] | None = None
        meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
        meter.create_observable_gauge(
            "nexus_bounty.escrow.amount", [self._amount], "{credit}", "Credits held for bounties."
        )
        meter.create_observable_gauge(
            "nexus_bounty.escrow.reservations",
            [self._count],
            "{reservation}",
            "For how many bounties credits are held.",
        )

    async def look(self) -> None:
        """Count what is held now.

        Raises:
            Exception: The credits service could not be asked.
        """
        amount = count = 0
        async for each in self._credit.reservations(ReservationStatus.HELD):
            amount += each.amount
            count += 1
        self._held = amount, count

    async def run(self, every: timedelta = timedelta(minutes=1)) -> None:
        """Count for ever; what cannot be counted is not told, and tried again."""
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - whoever watches must not stop what is watched
                self._held = None
                logger.warning("the escrow could not be counted: %s", error)
            await asyncio.sleep(every.total_seconds())  # no back-off: one look, at a set pace

    def _amount(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [] if self._held is None else [Observation(self._held[0])]

    def _count(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [] if self._held is None else [Observation(self._held[1])]
