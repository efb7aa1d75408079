"""Settlements under way: past the pivot there is only forward."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nexus_bounty.idempotency import new_key
from nexus_bounty.lifecycle import swept_for
from nexus_bounty.models import Bounty, BountyQuery
from nexus_bounty.operations.escrow import reservation_of
from nexus_bounty.operations.paying import finish, why_not_paid
from nexus_bounty.operations.services import Services
from nexus_bounty.ports import ReservationStatus
from nexus_bounty.reconcile.sweep import Problem, Scope
from nexus_bounty.statuses import Repair


class PendingSettlements:
    """Settles that died after the pivot."""

    name = "pending settlements"
    repair = Repair.FINISH_PAYING

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every bounty that is still being paid, by nobody."""
        stranded = BountyQuery(status=swept_for(self.repair))
        store = scope.services.store
        async for bounty in store.walk_bounties(stranded, partition=scope.partition):
            if not await scope.is_elsewhere(bounty):
                yield await _problem(scope.services, bounty)


class CompletedNotSettled(PendingSettlements):
    """Bounties that the peer, or a store's user, completed and nobody settled."""

    name = "completed, not settled"
    repair = Repair.SETTLE_COMPLETED


async def _problem(services: Services, bounty: Bounty) -> Problem:
    what = f"is {bounty.status.value}"
    gone, why = await _gone(services, bounty)
    if why is not None:
        return _decided(services, bounty, f"{what}: {gone}", why)
    if gone is not None:
        reason = f"{gone}: nobody can be paid any more, and a person has to decide"
        return Problem(bounty.bounty_id, what, reason=reason, touched=bounty.updated_at)
    if bounty.fulfilled_by_cid is None:
        return Problem(
            bounty.bounty_id,
            f"{what}, and does not say for which work",
            reason="whoever completed it has to say: nobody is paid for nothing",
            touched=bounty.updated_at,
        )

    async def pay() -> str:
        result = await finish(services, bounty, new_key(services.random))
        if result.reservation is None:
            return "settled; it holds no credits"
        return f"paid {bounty.amount} to {result.credits_with} and settled"

    return Problem(bounty.bounty_id, what, pay, touched=bounty.updated_at, about=bounty)


def _decided(services: Services, bounty: Bounty, what: str, why: str) -> Problem:
    """A bounty whose credits an operator has freed for good: it is settled without them."""

    async def settle() -> str:
        await finish(services, bounty, new_key(services.random))
        return f"settled without a payment, as an operator decided: {why}"

    return Problem(bounty.bounty_id, what, settle, touched=bounty.updated_at, about=bounty)


async def _gone(services: Services, bounty: Bounty) -> tuple[str | None, str | None]:
    """Where the credits are if they cannot be paid to the claimer, and why if somebody decided so.

    Nowhere else, if they can be paid, or were.
    """
    found = await reservation_of(services, bounty)
    if found is None and bounty.reservation_id is not None:
        return f"the ledger has no reservation {bounty.reservation_id!r}", None
    if found is None or found.status is ReservationStatus.HELD:
        return None, None
    claimer = bounty.claimed_by.agent_id if bounty.claimed_by else None
    if found.captured_to is not None and found.captured_to == claimer:
        return None, None
    to = f"paid to {found.captured_to}" if found.captured_to else f"given back to {found.account}"
    return f"its credits were {to}", await why_not_paid(services, bounty, found)
