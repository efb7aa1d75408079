"""A person vouches for what no key has signed: it is signed as it stands."""

from __future__ import annotations

from collections.abc import Callable

from nexus_bounty.nexus.documents.cache import DocumentMemory
from nexus_bounty.nexus.documents.commits import Intent
from nexus_bounty.nexus.documents.document import Document
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.writer import DocumentWriter
from nexus_bounty.outcomes import PreCommitError


async def vouched_for(
    writer: DocumentWriter,
    operation: Operation,
    path: str,
    missing: type[PreCommitError],
    check: Callable[[Document], None],
) -> Document:
    """The document at `path`, signed as it stands unless it is.

    What its history said before proves nothing from then on, neither way. `check` refuses a
    document that is not what the person has looked at.

    Raises:
        PreCommitError: `missing` if there is none, or it was not signed and can no longer be.
        CommitUnknownError: Neither could be proven.
    """
    operation.vouches = True

    def prepare(document: Document) -> Intent | None:
        if document.untrusted is None:
            return None
        check(document)
        value, marker_seq = document.value, document.history.marker_seq
        return writer.intend(operation, path, document, value, marker_seq=marker_seq)

    nothing_remembered = DocumentMemory(0)
    change = await writer.change(operation, path, nothing_remembered, missing, prepare)
    return change.after
