"""Stuck drafts: opened if their credits are held, taken back otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nexus_bounty.idempotency import derived_key, new_key
from nexus_bounty.lifecycle import swept_for
from nexus_bounty.models import Bounty, BountyQuery
from nexus_bounty.operations.cancel import unwind
from nexus_bounty.operations.drafts import Try, as_cancelled, discard, made_by
from nexus_bounty.operations.escrow import give_back, is_of, reservation_of
from nexus_bounty.operations.services import Services, committed
from nexus_bounty.outcomes import PreCommitError, Proof
from nexus_bounty.ports import Reservation, ReservationStatus
from nexus_bounty.reconcile.sweep import Problem, Scope
from nexus_bounty.statuses import Repair


class StuckDrafts:
    """Creates that died between their draft and opening it."""

    name = "stuck drafts"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every draft; of one whose create may still be running, no more than that."""
        services = scope.services
        stuck = BountyQuery(status=swept_for(Repair.FINISH_CREATING))
        async for draft in services.store.walk_bounties(stuck, partition=scope.partition):
            if await scope.is_elsewhere(draft):
                continue
            if scope.is_young(draft.updated_at):
                yield Problem(draft.bounty_id, "is a draft", touched=draft.updated_at)
                continue
            reservation = await reservation_of(services, draft)
            yield _problem(scope, draft, reservation)


def _problem(scope: Scope, draft: Bounty, reservation: Reservation | None) -> Problem:
    services = scope.services
    held = reservation is not None and reservation.status is ReservationStatus.HELD
    if not held or draft.deadline <= scope.now:
        why = "past its deadline" if held else "and holds no credits"
        return Problem(
            draft.bounty_id,
            f"is a draft {why}",
            lambda: _take_back(services, draft),
            about=draft,
        )
    if reservation is None or not is_of(services, reservation, draft):
        what = "is a draft that names a reservation for something else"
        return Problem(draft.bounty_id, what, reason="a person has to decide")
    return Problem(
        draft.bounty_id,
        "is a draft whose credits are held",
        lambda: _open(services, draft),
        about=draft,
    )


async def _open(services: Services, draft: Bounty) -> str:
    """Open a draft under the key of the create that made it, so that a repeat of it finds out."""
    attempt = await _made_by(services, draft)
    step = services.store.fund_bounty(
        draft.bounty_id,
        draft.reservation_id or "",
        idempotency_key=None if attempt is None else derived_key(attempt.key, "open"),
    )
    try:
        await committed(step, [])
    except PreCommitError as refusal:
        if refusal.evidence.proof is Proof.FENCED:  # its create has given up
            return await _take_back(services, draft)
        raise
    return "opened"


async def _take_back(services: Services, draft: Bounty) -> str:
    """Do what its create does when it gives up, under the same key."""
    if draft.reservation_id is None:  # none of our operations made it
        owed: list[str] = []
        bounty = await committed(services.store.cancel_bounty(draft.bounty_id), owed)
        await unwind(services, "reconcile", bounty, new_key(services.random), owed)
        return "cancelled"
    attempt = await _made_by(services, draft) or Try(new_key(services.random), draft.bounty_id)
    await discard(services, draft, attempt)
    await give_back(services, as_cancelled(draft))
    return "taken back, and its credits given back if it held any"


async def _made_by(services: Services, draft: Bounty) -> Try | None:
    return made_by(draft.bounty_id, await services.store.get_history(draft.bounty_id))
