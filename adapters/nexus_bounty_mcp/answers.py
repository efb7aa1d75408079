"""What tools answer: the outcome as a value, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from nexus_bounty.idempotency import OperationRecord
from nexus_bounty.models import Bounty, Claim
from nexus_bounty.operations import OperationResult
from nexus_bounty.operations.verdicts import Explanation
from nexus_bounty.outcomes import (
    CommitUnknownError,
    Evidence,
    InsufficientCreditsError,
    InvalidInputError,
    Outcome,
    OutcomeError,
    PostCommitError,
    said_by,
)
from nexus_bounty.ports import Reservation


class Outcomes(StrEnum):
    """How a call that changes something can end."""

    COMMITTED = "committed"
    """It happened."""
    DID_NOT_HAPPEN = "did_not_happen"
    """It did not happen, and can no longer happen."""
    HAPPENED_STILL_OWED = "happened_still_owed"
    """It happened; named steps are still owed, and will be done."""
    UNKNOWN = "unknown"
    """It may have happened, or may yet."""
    OTHER_OPERATION = "other_operation"
    """The key stands for something else; this call did nothing."""


_WORDS: Final = {
    Outcome.COMMITTED: Outcomes.COMMITTED,
    Outcome.PRE_COMMIT: Outcomes.DID_NOT_HAPPEN,
    Outcome.POST_COMMIT: Outcomes.HAPPENED_STILL_OWED,
    Outcome.UNKNOWN: Outcomes.UNKNOWN,
    Outcome.OTHER_OPERATION: Outcomes.OTHER_OPERATION,
}

_AFTER: Final = {
    "create": "Others can claim it now. Once work is delivered, settle it with its content id.",
    "claim": "Do the work before the lease ends, and renew it in time. If you give up, release it.",
    "renew": "Go on with the work.",
    "release": "Others can claim it now.",
    "settle": "Nothing: the worker has been paid.",
    "cancel": "Nothing: the credits are back with the creator.",
    "deliver": "Tell the creator the contribution's cid, to settle the bounty with.",
}
_REPEAT: Final = (
    "Repeat this very call with the same arguments: it finds out, or finishes, and does nothing "
    "twice. Until then neither compensate for it nor do it in another way."
)
_FORWARD: Final = (
    "Take it as done, and never undo it. The reconciler does what is owed; repeating this very "
    "call does so as well."
)
_OTHER: Final = (
    "Leave idempotency_key out, or use a new one. bounty_explain says what this one stands for."
)


class ToolAnswer(BaseModel):
    """Base of what tools answer: camelCase, as the documents inside."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class OutcomeReport(ToolAnswer):
    """What became of a call that was to change something."""

    outcome: Annotated[
        Outcomes,
        Field(
            description="committed: it happened. did_not_happen: it did not, and can no longer. "
            "happened_still_owed: it happened, and clean-up is still to be done. unknown: it may "
            "have happened, or may yet. other_operation: the key stands for another call."
        ),
    ]
    operation: Annotated[str, Field(description="What was called.")]
    what_happened: Annotated[str, Field(description="In a sentence.")]
    what_to_do_next: Annotated[str, Field(description="What the caller should do now.")]
    idempotency_key: Annotated[
        str | None, Field(description="The key of this operation, for bounty_explain.")
    ] = None
    bounty: Annotated[Bounty | None, Field(description="The bounty as it stands.")] = None
    claim: Annotated[Claim | None, Field(description="The lease, if there is one.")] = None
    contribution_cid: Annotated[str | None, Field(description="The id of delivered work.")] = None
    credits_with: Annotated[
        str | None,
        Field(description="The account that has the credits, or for which they are held."),
    ] = None
    owed: Annotated[list[str], Field(description="Clean-up steps still to be done.")] = []
    error: Annotated[str | None, Field(description="The kind of refusal, if it was one.")] = None
    evidence: Annotated[
        Evidence | None, Field(description="How the outcome is known, if it is not committed.")
    ] = None


class BountyPage(ToolAnswer):
    """A page of bounties."""

    bounties: list[Bounty]
    more: Annotated[bool, Field(description="Whether there are more after these.")]


class Shown(ToolAnswer):
    """One bounty."""

    found: bool
    bounty: Bounty | None = None
    escrow: Annotated[
        Reservation | None, Field(description="The credits held for it, if they are yours to see.")
    ] = None


class ShownStep(ToolAnswer):
    """One operation in the history of a bounty."""

    record: OperationRecord
    meaning: Annotated[str, Field(description="What it did.")]
    happened: Annotated[bool, Field(description="False: a fence, which keeps it out for good.")]


class ShownHistory(ToolAnswer):
    """What happened to a bounty, oldest first."""

    bounty_id: str
    steps: list[ShownStep]


class Explained(ToolAnswer):
    """What became of an operation."""

    outcome: Annotated[Outcomes, Field(description="What is known of the whole operation.")]
    explanation: Annotated[Explanation, Field(description="How that is known, step by step.")]


class OwnBalance(ToolAnswer):
    """The caller's account, in the smallest unit of credit."""

    account: str
    available: Annotated[int, Field(description="Free to use.")]
    reserved: Annotated[int, Field(description="In escrow for bounties.")]


def committed(result: OperationResult) -> OutcomeReport:
    """The answer of an operation that is committed."""
    name = result.operation
    return OutcomeReport(
        outcome=Outcomes.COMMITTED,
        operation=name,
        what_happened=f"The bounty {result.bounty.bounty_id} is {result.bounty.status.value}.",
        what_to_do_next=_AFTER[name],
        idempotency_key=result.idempotency_key,
        bounty=result.bounty,
        claim=result.claim,
        credits_with=result.credits_with,
        owed=list(result.owed),
    )


def delivered(cid: str) -> OutcomeReport:
    """The answer of a delivery."""
    return OutcomeReport(
        outcome=Outcomes.COMMITTED,
        operation="deliver",
        what_happened=f"The work is delivered as {cid}.",
        what_to_do_next=_AFTER["deliver"],
        contribution_cid=cid,
    )


def leased(claim: Claim, key: str) -> OutcomeReport:
    """The answer of a claim on something that is no bounty."""
    return OutcomeReport(
        outcome=Outcomes.COMMITTED,
        operation="claim",
        what_happened=f"{claim.target_ref} is claimed until {claim.lease_expires_at.isoformat()}.",
        what_to_do_next=_AFTER["claim"],
        idempotency_key=key,
        claim=claim,
    )


def not_committed(operation: str, key: str | None, error: OutcomeError) -> OutcomeReport:
    """The answer for an error, which says what became of the operation."""
    snapshot = error if isinstance(error, PostCommitError) else None
    return OutcomeReport(
        outcome=_WORDS[error.outcome],
        operation=operation,
        what_happened=_sentence(error.message),
        what_to_do_next=_next(error),
        idempotency_key=key,
        bounty=snapshot.bounty if snapshot else None,
        claim=snapshot.claim if snapshot else None,
        owed=list(snapshot.pending) if snapshot else [],
        error=type(error).__name__,
        evidence=error.evidence,
    )


def lost(operation: str, key: str | None, error: Exception) -> OutcomeReport:
    """The answer for an error that says nothing of the operation."""
    return not_committed(operation, key, CommitUnknownError(said_by(error)))


def refused(operation: str, why: str, following: str) -> OutcomeReport:
    """The answer for what the caller may not do; nothing was sent."""
    return OutcomeReport(
        outcome=Outcomes.DID_NOT_HAPPEN,
        operation=operation,
        what_happened=why,
        what_to_do_next=following,
        error="NotAllowed",
    )


def _next(error: OutcomeError) -> str:
    if error.outcome is Outcome.UNKNOWN:
        return _REPEAT
    if error.outcome is Outcome.POST_COMMIT:
        return _FORWARD
    if error.outcome is Outcome.OTHER_OPERATION:
        return _OTHER
    if isinstance(error, InvalidInputError):
        return f"Correct {error.field}, and call again."
    if isinstance(error, InsufficientCreditsError):
        return f"Offer at most {error.available}, or have the account topped up."
    return _sentence(error.advice) or "Look at the bounty before you try anything else."


def _sentence(text: str) -> str:
    whole = text.strip().rstrip(".")
    return f"{whole[0].upper()}{whole[1:]}." if whole else ""


def explained_as(explanation: Explanation) -> Explained:
    """The answer with an explanation."""
    return Explained(outcome=_WORDS[explanation.outcome], explanation=explanation)


def history_of(
    bounty_id: str, records: Sequence[OperationRecord], meanings: Sequence[str]
) -> ShownHistory:
    """The answer with a history."""
    steps = [
        ShownStep(record=record, meaning=meaning, happened=not record.aborted)
        for record, meaning in zip(records, meanings, strict=True)
    ]
    return ShownHistory(bounty_id=bounty_id, steps=steps)
