"""Orphan reservations: credits held for a bounty that has ended, given back or paid as it says."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.operations.services import Services, give_back
from nexus_bounty.operations.settle import finish
from nexus_bounty.ports import Reservation, ReservationStatus
from nexus_bounty.reconcile.sweep import Problem, Scope

_ENDED = (BountyStatus.CANCELLED, BountyStatus.EXPIRED, BountyStatus.SETTLED)


class OrphanReservations:
    """Held reservations whose bounty does not need them any more.

    One whose bounty cannot be found is left to people: the ledger may serve other zones, too, and
    no crash of ours leaves such a one, because a draft names its reservation before it is made.
    """

    name = "orphan reservations"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every held reservation that its document rules out."""
        services = scope.services
        async for reservation in services.credits.reservations(ReservationStatus.HELD):
            if scope.is_young(reservation.created_at) or not reservation.reference:
                continue
            bounty = await services.store.get_bounty(reservation.reference)
            if bounty is None:
                yield Problem(
                    reservation.reservation_id,
                    f"is held for bounty {reservation.reference!r}, which is not in this zone",
                    reason="it may belong to another zone",
                )
            elif bounty.reservation_id != reservation.reservation_id:
                yield Problem(
                    reservation.reservation_id,
                    f"is held for bounty {bounty.bounty_id!r}, which names another reservation",
                    reason="a person has to decide",
                )
            elif bounty.status in _ENDED and not scope.is_young(bounty.updated_at):
                yield _problem(services, bounty, reservation)


def _problem(services: Services, bounty: Bounty, reservation: Reservation) -> Problem:
    async def end() -> str:
        if bounty.status is BountyStatus.SETTLED:
            await finish(services, bounty, services.key(None))
            return "paid to the claimer"
        await give_back(services, bounty)
        return f"{reservation.amount} given back to {reservation.account}"

    what = f"is held for bounty {bounty.bounty_id!r}, which is {bounty.status.value}"
    return Problem(reservation.reservation_id, what, end)
