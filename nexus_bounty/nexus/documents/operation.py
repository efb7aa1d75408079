"""One call of a mutation on a document, and the errors that it can end with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from nexus_bounty.deadlines import Deadline
from nexus_bounty.idempotency import OperationRecord
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.documents.commits import Trail
from nexus_bounty.outcomes import (
    CommitUnknownError,
    Evidence,
    IdempotencyMismatchError,
    OutcomeError,
    PreCommitError,
    Proof,
)

RefusalT = TypeVar("RefusalT", PreCommitError, IdempotencyMismatchError)


@dataclass(slots=True)
class Operation:
    """One call of a mutation: what it is, how long it may take, what it has seen so far."""

    name: str
    kind: str
    record_id: str
    key: str
    fingerprint: str
    deadline: Deadline
    in_doubt: bool
    giving_back: str | None = None
    """The claim that its fence gives back."""
    base_is_fresh: bool = False
    """Whether what it changes was seen, or made, only a moment ago."""
    vouches: bool = False
    """Whether it signs what no key has signed: a person has looked at it."""
    trail: Trail = field(default_factory=Trail)

    @property
    def identity(self) -> tuple[str, str]:
        """What a repeat has in common with it."""
        return self.record_id, self.key

    def record(
        self, seq: int, at: datetime, *, aborted: bool = False, gave_back: str | None = None
    ) -> OperationRecord:
        """This operation's entry in a document's history."""
        return OperationRecord(
            key=self.key,
            kind=self.kind,
            fingerprint=self.fingerprint,
            seq=seq,
            at=at,
            aborted=aborted,
            gave_back=self.giving_back if aborted else gave_back,
        )

    def error(self, kind: type[RefusalT], proof: Proof, message: str, **fields: Any) -> RefusalT:
        """An error about this operation, which did nothing."""
        error = kind(message, evidence=self.trail.proves(proof), **fields)
        return error.about(self.name, self.record_id, self.key)

    def unknown(self, why: str) -> CommitUnknownError:
        """The error that says nothing could be proven."""
        error = CommitUnknownError(why, evidence=self.evidence(Proof.NONE))
        return error.about(self.name, self.record_id, self.key)

    def evidence(self, proof: Proof) -> Evidence:
        """What was seen so far, under the proof it amounts to."""
        return self.trail.proves(proof)

    def stopped_by(self, error: Exception, doing: str) -> OutcomeError:
        """The error for a failure before anything that could commit was sent."""
        answer = error.answer if isinstance(error, NexusError) else str(error)
        self.trail.saw(doing, getattr(error, "path", ""), answer)
        if self.in_doubt:
            return self.unknown(f"could not {doing} ({answer}), and an earlier attempt is open")
        return self.error(PreCommitError, Proof.NEVER_SENT, f"could not {doing}: {answer}")
