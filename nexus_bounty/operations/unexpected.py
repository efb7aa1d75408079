"""What a port raises although its protocol names no such error, such as an error of its driver."""

from __future__ import annotations

from nexus_bounty.outcomes import CommitUnknownError, Evidence, Observation, Proof, said_by


def nothing_proven(error: Exception, of: str) -> CommitUnknownError:
    """What such an error says of a call that may have come through: nothing at all.

    `of` is what was called. Whoever caught it at a place where nothing can have happened yet, or
    after the commit, knows more than this, and says so.
    """
    said = said_by(error)
    seen = Observation(action="call", target=of, answer=said)
    return CommitUnknownError(
        f"{of} ended in an unexpected error: {said}",
        evidence=Evidence(proof=Proof.NONE, observations=(seen,)),
    )
