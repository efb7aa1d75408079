"""Missing escrow: bounties that promise credits which the ledger does not hold.

The other direction is `reservations`: credits that are held for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

from nexus_bounty.lifecycle import swept_for
from nexus_bounty.models import Bounty
from nexus_bounty.operations.escrow import is_of, reservation_of
from nexus_bounty.ports import ReservationStatus, referred_to
from nexus_bounty.reconcile.sweep import Problem, Scope, in_pages
from nexus_bounty.statuses import STATUSES, Repair

_NOBODY_IS_PAID = "nobody can be paid from it: restore the ledger, or cancel the bounty"


class MissingEscrow:
    """Open and claimed bounties whose credits are not held, before anybody works for nothing."""

    name = "missing escrow"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every bounty without its reservation, and how many keep theirs in other ledgers."""
        held = await _hashes_of_held(scope)
        elsewhere: Counter[str] = Counter()
        for status in swept_for(Repair.CHECK_ESCROW):
            ids = _without(held, scope.services.store.walk_ids(status, partition=scope.partition))
            async for page in in_pages(ids, scope.page):
                for bounty in (await scope.services.store.get_bounties(page)).values():
                    if await scope.is_elsewhere(bounty):
                        elsewhere[bounty.ledger_id or ""] += 1
                    elif problem := await _wrong(scope, bounty):
                        yield problem
        for ledger_id, number in elsewhere.items():
            what = f"holds the credits of {number} bounties of this zone, and is another one"
            yield Problem(ledger_id, what, reason="run the reconciler with that ledger, too")


async def _hashes_of_held(scope: Scope) -> set[int]:
    """The bounties for which credits are held, as small as can be."""
    zone_id = scope.services.store.zone_id
    hashes: set[int] = set()
    async for each in scope.held():
        zone, bounty_id = referred_to(each.reference)
        if zone in (None, zone_id):
            hashes.add(hash(bounty_id))
    return hashes


async def _without(held: set[int], ids: AsyncIterator[str]) -> AsyncIterator[str]:
    async for bounty_id in ids:
        if hash(bounty_id) not in held:
            yield bounty_id


async def _wrong(scope: Scope, bounty: Bounty) -> Problem | None:
    """What is wrong with the escrow of a bounty, read again after the ledger was."""
    settled = Repair.CHECK_ESCROW not in STATUSES[bounty.status].repairs
    if settled or bounty.reservation_id is None:
        return None
    found = await reservation_of(scope.services, bounty)
    if found is None:
        state = "is not in the ledger"
    elif not is_of(scope.services, found, bounty):
        state = f"is for something else: {found.amount} of {found.account}, {found.reference!r}"
    elif found.status is not ReservationStatus.HELD:
        state = f"is {found.status.value}"
    else:
        return None  # it was made a moment ago
    what = f"is {bounty.status.value}, and its reservation {bounty.reservation_id!r} {state}"
    return Problem(bounty.bounty_id, what, reason=_NOBODY_IS_PAID, touched=bounty.updated_at)
