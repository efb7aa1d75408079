"""How a mutation can end: the error tree, and the evidence each error carries.

    returns a snapshot             committed: go on
    OutcomeError
    ├── PreCommitError             did not happen and can no longer happen: compensate, or retry
    │   │                          with a new key
    │   ├── InvalidInputError      the input is wrong; nothing was sent (also a ValueError)
    │   ├── BountyNotFoundError    there is no such bounty (also a LookupError)
    │   ├── BountyExistsError      the id is taken by somebody else's bounty
    │   ├── BountyStateError       the bounty's state does not allow it
    │   ├── ClaimConflictError     another agent holds the target's lease
    │   ├── ClaimNotFoundError     there is no such claim (also a LookupError)
    │   ├── ClaimStateError        the claim is no longer active, or not as it was seen
    │   ├── NotAllowedError        the actor may not do that
    │   ├── UntrustedDocumentError no key of the zone has signed what the document says
    │   ├── CriteriaNotMetError    the contribution does not fulfil the bounty
    │   ├── UnsupportedServerError no safe way to commit on this server is known
    │   └── PaymentError           the credits service refused
    │       ├── InsufficientCreditsError
    │       ├── AssignedError      it is to be paid to somebody already
    │       └── WrongLedgerError   the bounty's credits are in another ledger
    ├── PostCommitError            happened (snapshot attached); named steps are still owed: go
    │                              forward, never compensate
    ├── IdempotencyMismatchError   the key stands for another operation, which may well have
    │                              happened; this call did nothing: look at the other one
    └── CommitUnknownError         neither could be proven in the time given: do neither, hand it
                                   to the reconciler, or ask again with the same key

`except PreCommitError` is the one place where compensation is allowed. No error ever says
"failed" of a commit that may have happened.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, Self, TypeGuard, TypeVar

import msgspec

from nexus_bounty.models import Bounty, Claim, Wire, utc_now


class Outcome(StrEnum):
    """What is known of a mutation."""

    COMMITTED = "committed"
    PRE_COMMIT = "pre_commit"
    POST_COMMIT = "post_commit"
    UNKNOWN = "unknown"
    OTHER_OPERATION = "other_operation"


class Proof(StrEnum):
    """By what an outcome is known."""

    LOCAL_CHECK = "local_check"
    """The input was refused before anything was sent."""
    NEVER_SENT = "never_sent"
    """No request that could commit left this process."""
    REFUSED = "refused"
    """The first and only attempt was definitely refused."""
    ACKNOWLEDGED = "acknowledged"
    """The acknowledgement carries the etag of exactly the bytes that were sent."""
    IN_HISTORY = "in_history"
    """The document's history names the operation."""
    DOCUMENT = "document"
    """The document, as it stands, rules the operation out."""
    SUPERSEDED = "superseded"
    """Another write took the place this one needed: its precondition can never match again."""
    FENCED = "fenced"
    """A fence is in the document: a stray request can no longer match it."""
    NONE = "none"
    """Nothing proves either way."""


class Observation(Wire, frozen=True, kw_only=True):
    """One thing that was done and what came of it.

    Attributes:
        action: What was done, such as `write if_match`.
        target: To what.
        answer: What came of it.
        at: When; aware.
    """

    action: str
    target: str
    answer: str
    at: datetime = msgspec.field(default_factory=utc_now)

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.action} {self.target}: {self.answer}"


class Evidence(Wire, frozen=True, kw_only=True):
    """Why an outcome is believed.

    Attributes:
        proof: By what it is known.
        observations: What was done and seen, in order.
    """

    proof: Proof
    observations: Sequence[Observation] = ()

    def to_json(self) -> str:
        """This evidence as one JSON object."""
        return _json(self)

    def __str__(self) -> str:
        """A short list for people, the proof first."""
        lines = [f"proof: {self.proof.value}", *(f"  - {seen}" for seen in self.observations)]
        return "\n".join(lines)


class OtherOperation(Wire, frozen=True, kw_only=True):
    """The operation that a key stands for, as far as it is known.

    `at` is when it was recorded, and `outcome` what became of it; `None` if that is not known.
    """

    kind: str
    idempotency_key: str
    record_id: str | None = None
    at: datetime | None = None
    outcome: Outcome | None = None


class Resolution(Wire, frozen=True, kw_only=True):
    """What became of an operation.

    Attributes:
        bounty_id: What it was about.
        idempotency_key: Its key.
        outcome: `committed`, or `pre_commit` if it did not happen and never will.
        evidence: How that is known.
        bounty: The bounty as it stands, where there is one.
    """

    bounty_id: str
    idempotency_key: str
    outcome: Outcome
    evidence: Evidence
    bounty: Bounty | None = None


class PlainError(Exception):
    """An error that says all that a person needs to know: no traceback adds to it."""


class OutcomeError(Exception):
    """Base of every error of a mutation: it knows what became of the commit.

    Attributes:
        outcome: What is known of the commit.
        operation: The name of the mutation, such as `claim_bounty`.
        bounty_id: The bounty (or other record) it was about, where known.
        idempotency_key: Repeat the call with this key to find out, or to finish.
        evidence: What was sent, what came back, what the read or the fence showed.
        to_do: What is to be done about the system that failed, where that is known, in words that
            quote nobody; empty otherwise. The message says it, too.
    """

    outcome: ClassVar[Outcome] = Outcome.UNKNOWN
    advice: ClassVar[str] = ""
    to_do: str = ""

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        bounty_id: str | None = None,
        idempotency_key: str | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.bounty_id = bounty_id
        self.idempotency_key = idempotency_key
        self.evidence = evidence or Evidence(proof=Proof.NONE)

    def __str__(self) -> str:
        """What happened, what it means, and what to do next."""
        where = f"{self.operation}: " if self.operation else ""
        key = f" [idempotency key {self.idempotency_key}]" if self.idempotency_key else ""
        return f"{where}{self.message}{key}. {self.advice}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by state, keeping the causes, so that errors cross processes whole.

        Of a cause that cannot be pickled, such as an SDK's error that holds a lock, what it says.
        No error is kept as a cause of its own.
        """
        return _rebuild, (*_state_of(self), _packed_causes(self))

    def __copy__(self) -> Self:
        """The same state and the very cause, whatever that is."""
        error = _unpacked(*_state_of(self))
        error.__cause__ = self.__cause__
        error.__suppress_context__ = self.__suppress_context__
        return error

    def details(self) -> dict[str, Any]:
        """The error as plain values, ready for JSON."""
        return {
            "error": type(self).__name__,
            "outcome": self.outcome.value,
            "message": self.message,
            "operation": self.operation,
            "bountyId": self.bounty_id,
            "idempotencyKey": self.idempotency_key,
            "advice": self.advice,
            "evidence": msgspec.to_builtins(self.evidence),
        }

    def to_json(self) -> str:
        """The error as one JSON object."""
        return _json(self.details())

    def about(self, operation: str, bounty_id: str | None, idempotency_key: str | None) -> Self:
        """Fill in what the raiser could not know; returns the same error."""
        self.operation = self.operation or operation
        self.bounty_id = self.bounty_id or bounty_id
        self.idempotency_key = self.idempotency_key or idempotency_key
        return self


_E = TypeVar("_E", bound=OutcomeError)

State = tuple[type[_E], tuple[Any, ...], dict[str, Any]]
"""What an error is made of, without its cause."""

_being_packed: Final[ContextVar[frozenset[int]]] = ContextVar("being_packed", default=frozenset())


def _state_of(error: _E) -> State[_E]:
    return type(error), error.args, dict(error.__dict__)


def _packed_causes(error: OutcomeError) -> tuple[bytes, ...]:
    """Its cause, the cause of that, and so on: each pickled once, however long the chain is."""
    around = _being_packed.get()
    if id(error) in around:  # it is somewhere in what it came from, such as in a group
        return ()
    chain = _causes(error)
    token = _being_packed.set(around.union(map(id, (error, *chain))))
    try:
        packed = [_packed(_state_of(each) if _is_plain(each) else each) for each in chain]
    finally:
        _being_packed.reset(token)
    kept = next((at for at, each in enumerate(packed) if each is None), None)
    if kept is not None:  # what it came from does not go without it
        packed[kept:] = [pickle.dumps(PlainError(said_by(chain[kept])))]
    return tuple(each for each in packed if each is not None)


def _causes(error: BaseException) -> list[BaseException]:
    """What it came from: outcome errors, and at the end another, whose cause pickling drops."""
    found, seen = list[BaseException](), {id(error)}
    while _is_plain(error) and (cause := error.__cause__) is not None and id(cause) not in seen:
        found.append(cause)
        seen.add(id(cause))
        error = cause
    return found


def _is_plain(error: BaseException) -> TypeGuard[OutcomeError]:
    """Whether it is an outcome error that is pickled as all of them are."""
    return isinstance(error, OutcomeError) and type(error).__reduce__ is OutcomeError.__reduce__


def _packed(value: object) -> bytes | None:
    """`value` pickled; `None` if that, or the way back, fails."""
    try:
        packed = pickle.dumps(value)
        pickle.loads(packed)  # noqa: S301 - what was made here a moment ago
    except Exception:  # noqa: BLE001 - whatever somebody's class does then
        return None
    return packed


def said_by(error: BaseException) -> str:
    """An error in words, its type first; also of one of somebody's class that fails to say any."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - whatever somebody's class does then
        return shown(error)


def _rebuild(
    kind: type[OutcomeError], args: tuple[Any, ...], state: dict[str, Any], causes: Sequence[bytes]
) -> OutcomeError:
    last: BaseException | None = None
    for packed in reversed(causes):
        cause = pickle.loads(packed)  # noqa: S301 - a part of what is being unpickled
        if isinstance(cause, tuple):
            cause = _unpacked(*cause)
            cause.__cause__ = last
        last = cause
    error = _unpacked(kind, args, state)
    error.__cause__ = last
    return error


def _unpacked(kind: type[_E], args: tuple[Any, ...], state: dict[str, Any]) -> _E:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def _json(value: object) -> str:
    """One JSON object; what no encoding can carry is escaped in it."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(_encodable(msgspec.to_builtins(value))).decode()


def _encodable(value: Any) -> Any:
    """Plain values, with half a surrogate pair in any text of them escaped."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(name): _encodable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(each) for each in value]
    return value


class PreCommitError(OutcomeError):
    """It did not happen and can no longer happen; the evidence says how that is known."""

    outcome = Outcome.PRE_COMMIT
    advice = "Nothing was committed and nothing can be any more: compensate or retry with a new key"


class InvalidInputError(PreCommitError, ValueError):
    """The input is wrong; nothing was sent.

    Attributes:
        field: The name of the offending field.
        value: What was given, as people read it, shortened to 80 characters.
    """

    advice = "Nothing was sent; correct the input"

    def __init__(self, field: str, value: object, problem: str, **context: Any) -> None:
        text = shown(value)
        self.field = field
        self.value = text if len(text) <= 80 else f"{text[:77]}..."
        context.setdefault("evidence", Evidence(proof=Proof.LOCAL_CHECK))
        super().__init__(f"{field} {problem}, got {self.value}", **context)

    def details(self) -> dict[str, Any]:
        """The error as plain values, the field and what was given included."""
        return super().details() | {"field": self.field, "value": self.value}


def shown(value: object) -> str:
    """A value that may be anything, as people read it: lists too deep, integers too long."""
    try:
        if isinstance(value, timedelta):
            return str(value).removesuffix(", 0:00:00")
        return value.isoformat() if isinstance(value, datetime) else repr(value)
    except Exception:  # noqa: BLE001 - a refusal never fails on what it refuses
        return f"<{type(value).__name__} that cannot be shown>"


class BountyNotFoundError(PreCommitError, LookupError):
    """There is no such bounty."""

    advice = "Check the bounty id and the zone"


class BountyExistsError(PreCommitError):
    """The bounty id is taken by a bounty that this operation did not create."""

    advice = "The existing bounty was left as it is; use another bounty id"


DISCARDED: Final = "discarded"
"""What is said in place of a status of a draft that was taken back."""


class BountyStateError(PreCommitError):
    """The bounty's state does not allow the transition.

    Attributes:
        current_status: The status that the document is in; `DISCARDED` where what was created with
            this key was a draft, and was taken back.
    """

    advice = "The bounty was left as it is; see how it stands (nexus-bounty show) before you go on"

    def __init__(self, message: str, *, current_status: str = "", **context: Any) -> None:
        super().__init__(message, **context)
        self.current_status = current_status

    def details(self) -> dict[str, Any]:
        """The error as plain values, the bounty's status included."""
        return super().details() | {"currentStatus": self.current_status}


class ClaimConflictError(PreCommitError):
    """Another agent holds an active claim on the target.

    Attributes:
        claim_id: The claim that holds it, where one was seen.
        holder: The id of its agent.
        held_until: When its lease ends, unless it is renewed.
    """

    advice = "Wait for the lease to end or choose another target"

    def __init__(
        self,
        message: str,
        *,
        claim_id: str | None = None,
        holder: str | None = None,
        held_until: datetime | None = None,
        **context: Any,
    ) -> None:
        super().__init__(message, **context)
        self.claim_id = claim_id
        self.holder = holder
        self.held_until = held_until

    def details(self) -> dict[str, Any]:
        """The error as plain values, who holds the target and until when included."""
        until = msgspec.to_builtins(self.held_until)
        held = {"claimId": self.claim_id, "holder": self.holder, "heldUntil": until}
        return super().details() | held


class ClaimNotFoundError(PreCommitError, LookupError):
    """There is no such claim."""

    advice = "Check the claim's id and the zone; one that has ended for long may have been removed"


class ClaimStateError(PreCommitError):
    """The claim is not active any more, or was renewed since it was seen: it stays as it is."""

    advice = "The claim was left as it is; claim the target anew if it is free"


class NotAllowedError(PreCommitError):
    """The actor may not do that; nothing was written.

    Attributes:
        actor: Who asked.
        allowed: Who may; empty if that is not known yet.
    """

    advice = "Nothing was done; ask somebody who may"

    def __init__(self, message: str, *, actor: str, allowed: Sequence[str], **context: Any) -> None:
        super().__init__(message, **context)
        self.actor = actor
        self.allowed = tuple(allowed)

    def details(self) -> dict[str, Any]:
        """The error as plain values, with who may."""
        return super().details() | {"actor": self.actor, "allowed": list(self.allowed)}


class CriteriaNotMetError(PreCommitError):
    """The contribution does not fulfil the bounty's criteria."""

    advice = "Nothing was paid and the bounty is still claimed; settle with another contribution"


class IdempotencyMismatchError(OutcomeError):
    """The key stands for another operation, which may well have happened; this call did nothing.

    It is no `PreCommitError`: whoever compensates for what the key names would undo the other one.

    Attributes:
        other: The operation that the key stands for, where it is known.
    """

    outcome = Outcome.OTHER_OPERATION
    advice = (
        "This call did nothing: do not compensate; look at the operation that the key stands for, "
        "or use a new key for a new operation"
    )

    def __init__(
        self, message: str, *, other: OtherOperation | None = None, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.other = other

    def details(self) -> dict[str, Any]:
        """The error as plain values, the operation that the key stands for included."""
        return super().details() | {"other": msgspec.to_builtins(self.other)}


class UnsupportedServerError(PreCommitError):
    """No strategy can commit safely on this server; nothing was written and no money moved."""

    advice = "Nothing was written; `nexus-bounty doctor` says what is safe on this server"


class PaymentError(PreCommitError):
    """The credits service refused; no credits moved."""

    advice = "No credits moved; put right what is said of the ledger, and try again"


class InsufficientCreditsError(PaymentError):
    """The account does not have the credits.

    Attributes:
        available: What the account has, in the smallest unit.
        required: What was asked of it.
    """

    advice = "No credits moved; top up the account and try again, or offer less"

    def __init__(self, message: str, *, available: int, required: int, **context: Any) -> None:
        super().__init__(message, **context)
        self.available = available
        self.required = required

    def details(self) -> dict[str, Any]:
        """The error as plain values, both amounts included."""
        return super().details() | {"available": self.available, "required": self.required}


class AssignedError(PaymentError):
    """The reservation is to be paid to somebody already; no credits moved.

    Attributes:
        payee: Who is to be paid.
        work: For which contribution.
        key: The key of the settlement that decided so, which may yet be shown not to commit.
    """

    advice = "No credits moved; find out what became of the settlement that is named"

    def __init__(self, message: str, *, payee: str, work: str, key: str, **context: Any) -> None:
        super().__init__(message, **context)
        self.payee = payee
        self.work = work
        self.key = key

    def details(self) -> dict[str, Any]:
        """The error as plain values, the assignment included."""
        assigned = {"payee": self.payee, "work": self.work, "key": self.key}
        return super().details() | {"assigned": assigned}


class WrongLedgerError(PaymentError):
    """The bounty's credits are in another ledger than the one at hand; nothing was written.

    Attributes:
        ledger_id: The ledger at hand.
        right_ledger_id: The one that the bounty names; `None` if it names none.
    """

    advice = "Nothing was written; use the ledger that holds the credits of this bounty"

    def __init__(
        self, message: str, *, ledger_id: str, right_ledger_id: str | None, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.ledger_id = ledger_id
        self.right_ledger_id = right_ledger_id

    def details(self) -> dict[str, Any]:
        """The error as plain values, both ledgers included."""
        ledgers = {"ledgerId": self.ledger_id, "rightLedgerId": self.right_ledger_id}
        return super().details() | ledgers


class UntrustedDocumentError(PreCommitError):
    """The zone is signed, and what the document says is not: nothing was done on its word."""

    advice = (
        "Nothing was done on the word of a document that no key of the zone has signed; compare it "
        "with the ledger (nexus-bounty history), then sign it (nexus-bounty sign) or restore it"
    )


class PostCommitError(OutcomeError):
    """It happened; the named follow-up steps are still owed.

    Attributes:
        bounty: The committed snapshot, if it was a bounty that was changed.
        claim: The committed snapshot, if it was a claim.
        pending: The steps still owed, such as `remove_stale_marker`; none where an earlier call
            did it, and as the bounty and the ledger stand has left nothing to do.
    """

    outcome = Outcome.POST_COMMIT
    advice = "It is committed: go forward, never compensate; the reconciler does what is owed"

    def __init__(
        self,
        message: str,
        *,
        bounty: Bounty | None = None,
        claim: Claim | None = None,
        pending: Sequence[str],
        **context: Any,
    ) -> None:
        super().__init__(message, **context)
        self.bounty = bounty
        self.claim = claim
        self.pending = tuple(pending)

    def details(self) -> dict[str, Any]:
        """The error as plain values, the snapshot and the owed steps included."""
        snapshots = {"bounty": self.bounty, "claim": self.claim}
        shown = {name: msgspec.to_builtins(value) for name, value in snapshots.items() if value}
        return super().details() | {"pending": list(self.pending)} | shown


class CommitUnknownError(OutcomeError):
    """Neither the commit nor its absence could be proven in the time given."""

    outcome = Outcome.UNKNOWN
    advice = (
        "It may have happened or may still: do not compensate and do not repeat it with a new key; "
        "repeat it with the same key to find out, or leave it to the reconciler"
    )
