"""One reservation, and whether its credits are stranded: no rule frees them, a person has to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from nexus_bounty.ledger import LedgerCredits
from nexus_bounty.ledger.entries import JournalEntry
from nexus_bounty.operations.services import Services
from nexus_bounty.partition import EVERYTHING
from nexus_bounty.ports import CreditsService, Reservation, ReservationStatus, referred_to
from nexus_bounty.reconcile.reservations import problem_with
from nexus_bounty.reconcile.sweep import Problem, Scope


@dataclass(frozen=True)
class Stranded:
    """One reservation as it stands.

    Attributes:
        reservation: The credits.
        standing: How it is with them, for people.
        may_be_rescued: Whether no rule frees them, so that a person has to.
        movements: How they got where they are, where the ledger tells.
    """

    reservation: Reservation
    standing: str
    may_be_rescued: bool
    movements: Sequence[JournalEntry] = ()

    @property
    def bounty_id(self) -> str:
        """The bounty that they are for; empty if they are for none."""
        return referred_to(self.reservation.reference)[1]

    @property
    def is_held(self) -> bool:
        """Whether they are in escrow."""
        return self.reservation.status is ReservationStatus.HELD


async def read_stranded(
    services: Services, reservation_id: str, grace: timedelta
) -> Stranded | None:
    """Judge one reservation by the rules of the reconciler; `None` if there is none.

    Raises:
        InvalidInputError: There can be none of that name.
        NexusError: Its bounty could not be read.
        CommitUnknownError: The ledger could not be read.
    """
    found = await services.credits.get_reservation(reservation_id)
    if found is None:
        return None
    standing, may_be_rescued = await _standing(services, found, grace)
    movements = await _movements(services.credits, reservation_id)
    return Stranded(found, standing, may_be_rescued, movements)


async def _movements(credit: CreditsService, reservation_id: str) -> list[JournalEntry]:
    if not isinstance(credit, LedgerCredits):
        return []
    return [each async for each in credit.history(source_id=reservation_id)]


async def _standing(services: Services, found: Reservation, grace: timedelta) -> tuple[str, bool]:
    zone, bounty_id = referred_to(found.reference)
    if found.status is not ReservationStatus.HELD:
        return _ended(found), False
    if not bounty_id:
        return "it is for no bounty: whoever has set it aside has to end it", False
    if zone not in (None, services.store.zone_id):
        return f"it belongs to the zone {zone}, which another console looks after", False
    scope = Scope(services, grace, services.clock(), EVERYTHING)
    problem = await problem_with(scope, found)
    if problem is None:
        return "its bounty needs it, and frees it when that is settled or cancelled", False
    if scope.may_be_running(problem.touched):
        return f"it {problem.what}; it was touched a moment ago, and may still be under way", False
    return _judged(problem)


def _judged(problem: Problem) -> tuple[str, bool]:
    if problem.repair is not None:
        return f"it {problem.what}; the reconciler repairs that", False
    return f"it {problem.what}; {problem.reason}", True


def _ended(found: Reservation) -> str:
    if found.captured_to is not None:
        return f"its credits were paid to {found.captured_to}"
    return f"its credits went back to {found.account}"
