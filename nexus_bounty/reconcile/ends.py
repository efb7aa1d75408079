"""Ends that the ledger contradicts: bounties that say they were paid, or given back, and were not.

No credits are held for them any more, so that no other sweep has a reason to look at them: this one
is for the audit, and reads everything that has ended.

Where both have ended alike, nothing of ours changes either again. One that looks again skips them,
but for a few that it looked at longest ago: somebody else may have changed them since.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from math import ceil
from typing import Final

from nexus_bounty.lifecycle import TERMINAL
from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.operations.escrow import is_of, reservation_of
from nexus_bounty.operations.paying import why_not_paid
from nexus_bounty.ports import Reservation, ReservationStatus
from nexus_bounty.reconcile.sweep import Problem, Scope, in_pages, side_by_side
from nexus_bounty.statuses import STATUSES, Credits

_LOOK = "believe the ledger, and look for who changed the document, or restored either"

AGAIN_AFTER: Final = 16
"""In so many runs of one reconciler all that has ended is looked at again."""


class ContradictedEnds:
    """Bounties that have ended otherwise than their credits."""

    name = "contradicted ends"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every bounty whose end is not that of its reservation; what is held others find."""
        known = scope.state.known
        known.drop_oldest(ceil(len(known) / AGAIN_AFTER))
        told: set[str] = set()  # one with an old marker besides its own is met twice
        for status in (each for each in BountyStatus if each in TERMINAL):
            ids = scope.services.store.walk_ids(status, partition=scope.partition)
            async for page in in_pages(_in_doubt(scope, ids), scope.page):
                bounties = [*(await scope.services.store.get_bounties(page)).values()]
                looks = await side_by_side(partial(_contradiction, scope), bounties)
                for bounty, what in zip(bounties, looks, strict=True):
                    if what is None or bounty.bounty_id in told:
                        continue
                    told.add(bounty.bounty_id)
                    yield Problem(bounty.bounty_id, what, reason=_LOOK, touched=bounty.updated_at)


async def _in_doubt(scope: Scope, ids: AsyncIterator[str]) -> AsyncIterator[str]:
    async for bounty_id in ids:
        if scope.state.known.get(bounty_id) is None:
            yield bounty_id


async def _contradiction(scope: Scope, bounty: Bounty) -> str | None:
    if bounty.status not in TERMINAL:
        return None  # the marker is old
    if bounty.reservation_id is None:
        scope.state.known.add(bounty.bounty_id, "it never had any credits")
        return None
    if await scope.is_elsewhere(bounty):
        return None
    found = await reservation_of(scope.services, bounty)
    state = _contradicting(scope, bounty, found)
    if (
        state is not None
        and found is not None
        and await why_not_paid(scope.services, bounty, found)
    ):
        state = None  # an operator has decided otherwise
    if state is None:
        if found is not None and found.status is not ReservationStatus.HELD:
            scope.state.known.add(bounty.bounty_id, "both have ended")
        return None
    return f"is {bounty.status.value}, and its reservation {bounty.reservation_id!r} {state}"


def _contradicting(scope: Scope, bounty: Bounty, found: Reservation | None) -> str | None:
    """What is wrong with the reservation of a bounty that has ended; `None` if nothing is."""
    was_paid = STATUSES[bounty.status].credits is Credits.CLAIMER
    if found is None:
        return "is not in the ledger" if was_paid else None
    if not is_of(scope.services, found, bounty):
        return f"is for something else: {found.amount} of {found.account}, {found.reference!r}"
    return _not_paid(bounty, found) if was_paid else _paid(found)


def _not_paid(bounty: Bounty, found: Reservation) -> str | None:
    """What became of credits that did not go to the claimer; `None` if they did, or may yet."""
    if found.status is ReservationStatus.HELD:
        return None
    if found.status is not ReservationStatus.CAPTURED:
        return f"is {found.status.value}"
    claimer = bounty.claimed_by.agent_id if bounty.claimed_by else None
    return None if found.captured_to == claimer else _paid(found)


def _paid(found: Reservation) -> str | None:
    """Who was paid; `None` if nobody was."""
    if found.status is not ReservationStatus.CAPTURED:
        return None
    work = f" for {found.assignment.work}" if found.assignment else ""
    return f"was paid to {found.captured_to}{work}"
