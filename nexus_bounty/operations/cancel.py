"""Cancel: commit `cancelled` → void the reservation. Never after the pivot."""

from __future__ import annotations

from typing import Final

from nexus_bounty.idempotency import derived_key
from nexus_bounty.models import Bounty
from nexus_bounty.operations.escrow import check_ledger, give_back, is_still_held
from nexus_bounty.operations.lease_ends import RELEASE_LEASE, end_lease, has_lease_left
from nexus_bounty.operations.policy import check_actor
from nexus_bounty.operations.results import OperationResult
from nexus_bounty.operations.services import (
    Plan,
    Services,
    committed,
    known_bounty,
    operation,
    owing,
    remembered_bounty,
    still_owed,
)
from nexus_bounty.outcomes import BountyStateError, NotAllowedError, WrongLedgerError
from nexus_bounty.ports import Reservation
from nexus_bounty.validation import check_id

VOID: Final = "void_reservation"


OWED_AT_ITS_END: Final = {VOID: is_still_held, RELEASE_LEASE: has_lease_left}
CANCEL: Final = Plan("cancel", decided_by="cancel", owed_then=OWED_AT_ITS_END)


async def cancel(
    services: Services, bounty_id: str, idempotency_key: str | None, actor: str | None = None
) -> OperationResult:
    """Withdraw a bounty and give its credits back; see `BountyOperations.cancel`."""
    check_id("bounty_id", bounty_id)
    key = services.key(idempotency_key)
    async with operation(services, CANCEL, bounty_id, key, {}, actor=actor):
        owed: list[str] = []
        bounty = await _cancelled(services, bounty_id, key, actor, owed)
        return await unwind(services, "cancel", bounty, key, owed)


async def _cancelled(
    services: Services, bounty_id: str, key: str, actor: str | None, owed: list[str]
) -> Bounty:
    """The bounty, withdrawn by whoever may, as it is remembered if that is enough.

    Raises:
        PreCommitError: It is not to be cancelled, or not by them, or not with this ledger.
    """
    remembered = await remembered_bounty(services, bounty_id)
    try:
        looked_at = remembered or await known_bounty(services, bounty_id)
        return await _withdrawn(services, looked_at, key, actor, owed)
    except (NotAllowedError, WrongLedgerError, BountyStateError):
        standing = await known_bounty(services, bounty_id)
        if remembered is None or standing.reservation_id == remembered.reservation_id:
            raise
        return await _withdrawn(services, standing, key, actor, owed)  # another one by now


async def _withdrawn(
    services: Services, bounty: Bounty, key: str, actor: str | None, owed: list[str]
) -> Bounty:
    check_actor(actor, "cancel", bounty.creator.agent_id, bounty.bounty_id)
    await check_ledger(services, bounty)
    step = services.store.cancel_bounty(
        bounty.bounty_id,
        reservation_id=bounty.reservation_id,
        idempotency_key=derived_key(key, "cancel"),
    )
    return await committed(step, owed)


async def unwind(
    services: Services, name: str, bounty: Bounty, key: str, owed: list[str]
) -> OperationResult:
    """Give back what a cancelled or expired bounty held: first its credits, then its lease.

    Raises:
        PostCommitError: The credits are still to be given back.
    """
    try:
        reservation = await give_back(services, bounty)
    except Exception as error:
        raise still_owed(bounty, [VOID, RELEASE_LEASE, *owed], error) from error
    async with owing(services, RELEASE_LEASE, owed):
        if bounty.claim_id is not None:
            await end_lease(services, bounty.bounty_id, bounty.claim_id)
    with_whom = _with_whom(bounty, reservation)
    kept = bounty.reservation_id is not None and with_whom != bounty.creator.agent_id
    steps = (f"commit_{bounty.status.value}", *(() if kept else (VOID,)), RELEASE_LEASE)
    return OperationResult(
        operation=name,
        idempotency_key=key,
        bounty=bounty,
        done=tuple(step for step in steps if step not in owed),
        owed=owed,
        credits_with=with_whom,
        reservation=reservation,
    )


def _with_whom(bounty: Bounty, reservation: Reservation | None) -> str | None:
    """The account that has the credits, as the ledger says, whatever the bounty has become.

    Somebody was paid after all if an operator said so (`rescue`), or if the document was put back.
    """
    if reservation is None:
        return None  # there never were any, or nobody knows where they are
    return reservation.captured_to or bounty.creator.agent_id
