"""What the ledger says against a document that somebody is about to sign."""

from __future__ import annotations

from nexus_bounty.models import Bounty
from nexus_bounty.operations.escrow import is_of, reservation_of
from nexus_bounty.operations.services import Services
from nexus_bounty.ports import Reservation, ReservationStatus
from nexus_bounty.statuses import STATUSES, Credits


async def contradiction(services: Services, bounty: Bounty) -> str | None:
    """Why the ledger rules out that what a bounty says is so; `None` if it does not.

    Raises:
        CommitUnknownError: The ledger could not be read.
    """
    if bounty.reservation_id is None:
        return None
    if bounty.ledger_id not in (None, await services.credits.identity()):
        return f"its credits are in another ledger, {bounty.ledger_id}"
    stage = STATUSES[bounty.status].credits
    found = await reservation_of(services, bounty)
    if found is None:
        never_needed = stage in (Credits.PROMISED, Credits.CREATOR)
        return None if never_needed else f"the ledger has no reservation {bounty.reservation_id}"
    if not is_of(services, found, bounty):
        return f"{found.reservation_id} is {found.amount} of {found.account} for {found.reference}"
    return _unfitting(bounty, found, stage)


def _unfitting(bounty: Bounty, found: Reservation, stage: Credits) -> str | None:
    state = found.status
    if stage in (Credits.PROMISED, Credits.ESCROW):
        fits = state is ReservationStatus.HELD
    elif stage is Credits.CREATOR:
        fits = state in (ReservationStatus.VOIDED, ReservationStatus.EXPIRED)
    else:
        unpaid = stage is Credits.IN_PAYMENT and state is ReservationStatus.HELD
        fits = (unpaid or state is ReservationStatus.CAPTURED) and _names_the_payee(bounty, found)
    if fits:
        return None
    whose = f", to be paid to {found.assignment.payee}" if found.assignment else ""
    return f"it is {bounty.status.value}, and its reservation is {state.value}{whose}"


def _names_the_payee(bounty: Bounty, found: Reservation) -> bool:
    """Whether the ledger has the claimer and the work on record that the document names."""
    on_record, claimer = found.assignment, bounty.claimed_by
    if on_record is None or claimer is None:
        return False
    return (on_record.payee, on_record.work) == (claimer.agent_id, bounty.fulfilled_by_cid)
