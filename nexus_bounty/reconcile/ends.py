"""Ends that the ledger contradicts: bounties that say they were paid, or given back, and were not.

No credits are held for them any more, so that no other sweep has a reason to look at them: this one
is for the audit, and reads everything that has ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from nexus_bounty.lifecycle import TERMINAL
from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.operations.escrow import is_of, reservation_of
from nexus_bounty.ports import Reservation, ReservationStatus
from nexus_bounty.reconcile.sweep import Problem, Scope, in_pages
from nexus_bounty.statuses import STATUSES, Credits

_LOOK = "believe the ledger, and look for who changed the document, or restored either"


class ContradictedEnds:
    """Bounties that have ended otherwise than their credits."""

    name = "contradicted ends"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every bounty whose end is not that of its reservation; what is held others find."""
        told: set[str] = set()  # one with an old marker besides its own is met twice
        for status in (each for each in BountyStatus if each in TERMINAL):
            ids = scope.services.store.walk_ids(status, partition=scope.partition)
            async for page in in_pages(ids, scope.page):
                for bounty_id, bounty in (await scope.services.store.get_bounties(page)).items():
                    what = await _contradiction(scope, bounty)
                    if what is None or bounty_id in told:
                        continue
                    told.add(bounty_id)
                    yield Problem(bounty_id, what, reason=_LOOK, touched=bounty.updated_at)


async def _contradiction(scope: Scope, bounty: Bounty) -> str | None:
    if bounty.status not in TERMINAL or bounty.reservation_id is None:
        return None  # the marker is old, or it never had any credits
    if await scope.is_elsewhere(bounty):
        return None
    found = await reservation_of(scope.services, bounty)
    was_paid = STATUSES[bounty.status].credits is Credits.CLAIMER
    if found is None:
        state = "is not in the ledger" if was_paid else None
    elif not is_of(scope.services, found, bounty):
        state = f"is for something else: {found.amount} of {found.account}, {found.reference!r}"
    else:
        state = _not_paid(bounty, found) if was_paid else _paid(found)
    if state is None:
        return None
    return f"is {bounty.status.value}, and its reservation {bounty.reservation_id!r} {state}"


def _not_paid(bounty: Bounty, found: Reservation) -> str | None:
    """What became of credits that did not go to the claimer; `None` if they did, or may yet."""
    if found.status is ReservationStatus.HELD:
        return None
    if found.status is not ReservationStatus.CAPTURED:
        return f"is {found.status.value}"
    claimer = bounty.claimed_by.agent_id if bounty.claimed_by else None
    return None if found.captured_to == claimer else _paid(found)


def _paid(found: Reservation) -> str | None:
    """Who was paid; `None` if nobody was, or by a rescue, which is for no work on record."""
    if found.status is not ReservationStatus.CAPTURED or found.assignment is None:
        return None
    return f"was paid to {found.captured_to} for {found.assignment.work}"
