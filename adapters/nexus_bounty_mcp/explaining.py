"""What became of an operation, by what its key left behind."""

from __future__ import annotations

from msgspec.structs import replace

from nexus_bounty.idempotency import derived_id
from nexus_bounty.operations import Services
from nexus_bounty.operations.explaining import clues_to, explanation_of
from nexus_bounty.operations.steps import operation_key
from nexus_bounty.operations.verdicts import Explanation
from nexus_bounty.validation import check_key


async def explained(services: Services, key: str, bounty_id: str | None) -> Explanation:
    """What became of the operation with `key`, on `bounty_id` if that is known.

    Raises:
        InvalidInputError: It cannot be a key.
        NexusError: What there is could not be read.
        CommitUnknownError: The ledger could not be read.
    """
    check_key(key)
    key = operation_key(key)
    clues = await clues_to(services, key)
    where = bounty_id or clues.bounty_id or derived_id("bounty", key)
    explanation = await explanation_of(services, key, where, clues.operation, clues)
    if explanation.steps or explanation.bounty_status:
        return explanation
    return replace(explanation, bounty_id=bounty_id)  # nothing shows that it was there
