"""Expire: commit `expired` → void the reservation, for bounties past their deadline."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from nexus_bounty.idempotency import derived_key
from nexus_bounty.operations.cancel import OWED_AT_ITS_END, unwind
from nexus_bounty.operations.escrow import check_ledger
from nexus_bounty.operations.results import ExpiryFailure, ExpiryResult, OperationResult
from nexus_bounty.operations.services import (
    Plan,
    Services,
    committed,
    ends_at,
    known_bounty,
    operation,
)
from nexus_bounty.outcomes import BountyStateError, Evidence, OutcomeError, Proof
from nexus_bounty.validation import check_id, check_time

EXPIRE: Final = Plan("expire", decided_by="expire", owed_then=OWED_AT_ITS_END)


async def expire(
    services: Services, bounty_id: str, idempotency_key: str | None, now: datetime | None = None
) -> OperationResult:
    """End a bounty that is past its deadline; see `BountyOperations.expire`."""
    check_id("bounty_id", bounty_id)
    key = services.key(idempotency_key)
    async with operation(services, EXPIRE, bounty_id, key, {}):
        bounty = await known_bounty(services, bounty_id)
        if ends_at(services, bounty) > (now or services.clock()):
            raise BountyStateError(
                f"bounty {bounty_id!r} may be worked on until "
                f"{ends_at(services, bounty).isoformat()}",
                current_status=bounty.status.value,
                evidence=Evidence(proof=Proof.DOCUMENT),
            )
        await check_ledger(services, bounty)
        owed: list[str] = []
        step = services.store.expire_bounty(
            bounty_id,
            reservation_id=bounty.reservation_id,
            idempotency_key=derived_key(key, "expire"),
        )
        return await unwind(services, "expire", await committed(step, owed), key, owed)


async def expire_due(services: Services, now: datetime | None) -> ExpiryResult:
    """End every bounty that is past its deadline; see `BountyOperations.expire_due`."""
    if now is not None:
        check_time("now", now)
    expired: list[OperationResult] = []
    failed: list[ExpiryFailure] = []
    for bounty in await services.store.find_expired_bounties(now):
        if ends_at(services, bounty) > (now or services.clock()):
            continue  # its claimer's work may still be accepted
        try:
            expired.append(await expire(services, bounty.bounty_id, None, now))
        except OutcomeError as error:
            failed.append(
                ExpiryFailure(
                    bounty_id=bounty.bounty_id, outcome=error.outcome.value, reason=str(error)
                )
            )
    return ExpiryResult(expired=expired, failed=failed)
