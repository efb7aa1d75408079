"""What became of an operation on a bounty: found in its history, or ruled out by a fence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from nexus_bounty.events.tracking import found
from nexus_bounty.nexus.documents import Document, is_tombstone
from nexus_bounty.nexus.documents.commits import Committed
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.records import anonymous_tombstone, to_bounty
from nexus_bounty.nexus.documents.writer import DocumentWriter
from nexus_bounty.outcomes import Outcome, Proof, Resolution


async def resolved(
    writer: DocumentWriter,
    operation: Operation,
    zone: ZonePaths,
    clock: Callable[[], datetime],
    look_again: Callable[[Document], None],
) -> Resolution:
    """What became of the operation with this key; one that is not found never will land.

    If it was committed, nobody may have heard of it: `look_again` sees to its marker.

    Raises:
        PreCommitError: The fence was refused, which says nothing about the operation.
        CommitUnknownError: Still neither could be proven.
    """
    bounty_id = operation.record_id
    path = zone.bounty(bounty_id)
    document = await writer.read(operation, path)
    record = document.history.find(operation.key) if document else None
    if record is None:
        tombstone = anonymous_tombstone(bounty_id, clock())
        operation.base_is_fresh = True
        fence = writer.fence(operation, path, document, tombstone)
        result = await writer.abort(operation, fence)
        document = result.document or document
        committed = isinstance(result, Committed)
    else:
        committed = not record.aborted
    if committed and document is not None:
        look_again(document)
    proof = Proof.IN_HISTORY if record or committed else Proof.FENCED
    outcome = Outcome.COMMITTED if committed else Outcome.PRE_COMMIT
    if operation.giving_back is None:  # else the key is a new one, of which nobody has a doubt
        found(outcome, proof)
    alive = document is not None and not is_tombstone(document)
    return Resolution(
        bounty_id=bounty_id,
        idempotency_key=operation.key,
        outcome=outcome,
        evidence=operation.evidence(proof),
        bounty=to_bounty(document) if document and alive else None,
    )
