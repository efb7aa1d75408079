"""Whether a document still tells what became of a write over an earlier state of it."""

from __future__ import annotations

from nexus_bounty.nexus.documents import Document


def keeps_evidence(base: Document | None, document: Document) -> bool:
    """Whether `document` would name an operation that had been written over `base`.

    It would if its history reaches back to that write, or if only writers that leave our
    evidence alone (the peer) have changed it since `base`. Somebody without the key of a signed
    zone can take our records out.
    """
    if document.untrusted is not None:
        return False
    before = base.history.seq if base else 0
    untouched = base.history.ops if base else ()
    now = document.history
    return now.covers(before + 1) or (now.seq == before and now.ops == untouched)
