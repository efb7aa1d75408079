"""Drafts that are taken back: a tombstone in their place, as where nothing was ever created."""

from __future__ import annotations

from nexus_bounty.models import BountyStatus
from nexus_bounty.nexus.documents import Document
from nexus_bounty.nexus.documents.commits import Intent
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.records import changed, to_bounty
from nexus_bounty.nexus.documents.writer import DocumentWriter
from nexus_bounty.outcomes import DISCARDED, BountyStateError, PreCommitError, Proof
from nexus_bounty.statuses import TOMBSTONE


def burial(
    writer: DocumentWriter, operation: Operation, reservation_id: str, document: Document
) -> Intent | None:
    """The intent to put a tombstone in the draft's place; `None` if that was done before.

    Raises:
        BountyStateError: It is no draft, or names another reservation (pre-commit).
    """
    if document.history.has_given_back(reservation_id):
        return None
    bounty = writer.view(operation, document, to_bounty)
    if bounty.status is not BountyStatus.DRAFT or bounty.reservation_id != reservation_id:
        raise operation.error(
            BountyStateError,
            Proof.DOCUMENT,
            f"bounty {bounty.bounty_id!r} is {bounty.status.value} with the reservation "
            f"{bounty.reservation_id!r}: it is no draft with {reservation_id!r}",
            current_status=bounty.status.value,
        )
    return writer.intend(
        operation,
        document.path,
        document,
        changed(document.value, {"status": TOMBSTONE.value}),
        gave_back=reservation_id,
        buries=True,
    )


def discarded(operation: Operation) -> PreCommitError:
    """The refusal to create anew, with its key, what was created with it and taken back."""
    return operation.error(
        BountyStateError,
        Proof.DOCUMENT,
        f"the draft of {operation.record_id!r} that was made with this key was taken back",
        current_status=DISCARDED,
    )
