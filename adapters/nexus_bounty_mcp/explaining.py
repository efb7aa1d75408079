"""What became of an operation, by what its key left behind."""

from __future__ import annotations

from nexus_bounty.idempotency import derived_id
from nexus_bounty.operations import Services
from nexus_bounty.operations.services import target_of
from nexus_bounty.operations.steps import OperationKind, operation_key, traces
from nexus_bounty.operations.verdicts import Explanation, judged, operation_of, steps_found
from nexus_bounty.validation import check_key


async def explained(services: Services, key: str, bounty_id: str | None) -> Explanation:
    """What became of the operation with `key`, on `bounty_id` if that is known.

    Raises:
        InvalidInputError: It cannot be a key.
        NexusError: What there is could not be read.
    """
    check_key(key)
    key = operation_key(key)
    claim = await services.claims.get(derived_id("claim", key))
    reservation = await services.credits.get_reservation(derived_id("reservation", key))
    told = [bounty_id]
    told += [claim.target_ref.removeprefix(target_of(""))] if claim else []
    told += [reservation.reference or None] if reservation else []
    where = next((each for each in told if each), derived_id("bounty", key))
    history = await services.store.get_history(where)
    bounty = await services.store.get_bounty(where)
    found = traces(key, history)
    left = OperationKind.CLAIM if claim else OperationKind.CREATE if reservation else None
    operation = operation_of(found) or left
    outcome, summary = judged(operation, found, history)
    return Explanation(
        key=key,
        outcome=outcome,
        summary=summary,
        operation=operation.value if operation else None,
        bounty_id=where if found or bounty else bounty_id,
        bounty_status=bounty.status.value if bounty else None,
        steps=steps_found(key, operation, found),
        claim=claim,
        reservation=reservation,
    )
