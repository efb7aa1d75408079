"""What can be told: one frozen type for each thing that happens.

None holds a body, a header or the text of an answer, and so no credentials: paths, ids, keys and
what was proven are all there is. Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar, Literal, NamedTuple

import msgspec

from nexus_bounty.outcomes import Outcome, Proof

Layer = Literal["operations", "store"]


def told_as(error: BaseException) -> str:
    """An error as events say it: its type, and what it proves or what is to be done about it.

    Never what a server has said.
    """
    told: str = getattr(error, "proven", None) or _to_do_about(error)
    return f"{type(error).__name__}: {told}" if told else type(error).__name__


def _to_do_about(error: BaseException) -> str:
    """What an error says is to be done, or one that it came of; empty if none does."""
    cause: BaseException | None = error
    seen = set[int]()
    while cause is not None and id(cause) not in seen:
        if to_do := getattr(cause, "to_do", ""):
            return str(to_do)
        seen.add(id(cause))
        cause = cause.__cause__
    return ""


class Place(NamedTuple):
    """A zone of a server: zones of one name on two servers are two.

    Attributes:
        server: The address of the server, as the client was given it; empty where a store does not
            say.
        zone_id: The zone.
    """

    server: str
    zone_id: str


class Identity(NamedTuple):
    """What tells one operation from others, however often it is called."""

    place: Place
    layer: Layer
    name: str
    bounty_id: str
    key: str


class OperationInfo(msgspec.Struct, frozen=True):
    """The operation that an event belongs to.

    Attributes:
        id: Unique in this process; a repeat with the same key is another operation.
        layer: "operations" for those of `BountyOperations`, "store" for the mutations of a store.
        name: What was called, such as `claim` or `claim_bounty`.
        key: Its idempotency key.
        bounty_id: The bounty (or other record) that it is about.
        zone_id: The zone that it is in; the same bounty and key in another zone are another one.
        parent: The operation that it is a step of, if it is one.
        server: The address of the server that the zone is on, as the client was given it; empty
            where the store does not say. Zones of one name on two servers are two.
    """

    id: int
    layer: Layer
    name: str
    key: str
    bounty_id: str
    zone_id: str
    parent: OperationInfo | None = None
    server: str = ""

    def __iter__(self) -> Iterator[OperationInfo]:
        """It and those around it, outwards."""
        one: OperationInfo | None = self
        while one is not None:
            yield one
            one = one.parent

    @property
    def outermost(self) -> OperationInfo:
        """What the program called, whichever step of it this is."""
        return self if self.parent is None else self.parent.outermost

    @property
    def identity(self) -> Identity:
        """What it has in common with its repeats, and with whoever asks what became of it.

        Whoever asks about a mutation of a store does so under another name.
        """
        name = self.name if self.layer == "operations" else ""
        place = Place(self.server, self.zone_id)
        return Identity(place, self.layer, name, self.bounty_id, self.key)


class DoubtCause(StrEnum):
    """Why it was in doubt what became of an operation."""

    LOST_ANSWER = "lost_answer"
    """The same call lost an answer, or got one that proves nothing, and found out by itself."""
    EARLIER_CALL = "earlier_call"
    """An earlier call ended in an unknown outcome; a repeat with its key found out."""
    ASKED = "asked"
    """Somebody asked, by `resolve_operation` or `explain --resolve`, or the reconciler did."""


class Event(msgspec.Struct, frozen=True):
    """What all events have: the operation under way, `None` outside of any.

    `heard` says of a type whether anybody may be listening: what happens often looks there first.
    """

    heard: ClassVar[bool] = False

    operation: OperationInfo | None


class OperationBegan(Event, frozen=True):
    """An operation was called."""


class OperationEnded(Event, frozen=True):
    """An operation returned or raised.

    Attributes:
        outcome: What is known of its commit; `None` if it was stopped, by a cancellation for
            example, before it could have committed anything. Of `resolve_operation` it is what
            became of the operation that was asked about.
        proof: By what that is known, where it was said.
        seconds: From the call to its end, waiting for its turn included.
        requests: How many requests it sent, those of its steps and repeats included.
        owed: The follow-up steps that a `PostCommitError` names.
        error: The type of what it raised.
    """

    outcome: Outcome | None
    proof: Proof | None
    seconds: float
    requests: int
    owed: tuple[str, ...] = ()
    error: str | None = None


class OutcomeUnknown(Event, frozen=True):
    """An operation is about to end, and nobody knows whether it is committed: a doubt begins.

    It ends with the `DoubtResolved` whose operation has the same `identity`. Only what the program
    called is ever in doubt, and can be asked about: its steps are done anew with it, or owed. So
    there is no doubt of what is done by looking at how things stand, whatever became of the last
    time: the repairs of a reconciler, the end of stale leases, a renewal.

    What was called on a store is in no journal: a repeat or its `resolve_operation` ends that, and
    no reconciler does. Ten thousand are known in a process; of those before no end is told.

    Attributes:
        error: The type of what was raised: `CommitUnknownError`, or what stopped it meanwhile.
    """

    error: str


class DoubtResolved(Event, frozen=True):
    """It has become definite what became of an operation.

    Attributes:
        cause: Why that was in doubt.
        outcome: What became of it.
        proof: By what that is known, where it was said.
        seconds: For how long it was in doubt, where this process knows.
    """

    cause: DoubtCause
    outcome: Outcome
    proof: Proof | None
    seconds: float | None


class RequestSent(Event, frozen=True):
    """A request is about to be sent.

    Attributes:
        method: The JSON-RPC method; the HTTP method outside JSON-RPC.
        path: What it is about: the path of a file, or the route.
        attempt: Counted from 1, where one call sends a request several times.
    """

    method: str
    path: str
    attempt: int


class RequestEnded(Event, frozen=True):
    """A request was answered, or there will be no answer; one for each `RequestSent`.

    An observer that was registered in between hears of the end alone.

    Attributes:
        method: As of `RequestSent`.
        path: Likewise.
        attempt: Likewise.
        disposition: What that proves of it: a value of `Disposition`.
        reason: Why it ended so: a value of `Reason`, or "cancelled".
        seconds: From sending it until then.
    """

    method: str
    path: str
    attempt: int
    disposition: str
    reason: str
    seconds: float


class Retried(Event, frozen=True):
    """Something did not come through, or proved nothing yet, and is tried again after a pause.

    Attributes:
        why: What was wrong with this attempt.
        attempt: Which one that was, counted from 1.
        pause: How long the next one waits.
    """

    why: str
    attempt: int
    pause: float


class FenceWritten(Event, frozen=True):
    """An operation is given up: a fence is to be written, so that it can no longer land.

    Attributes:
        path: The document that the fence goes into.
    """

    path: str


class FenceLanded(Event, frozen=True):
    """A fence is in the document: what it keeps out did not happen and can no longer happen.

    It is told by whoever has told of its `FenceWritten`, and by nobody who comes upon it later: not
    at all, then, where that call has not seen what became of it.

    Attributes:
        path: The document that it is in.
    """

    path: str


class StepOwed(Event, frozen=True):
    """A step after a commit did not come through: the operation stands, and the step is owed.

    Every step is told of that a `PostCommitError` or the `owed` of a result names: once by the
    operation that it was to be done in, and not again by those around.

    Attributes:
        step: The step, which the reconciler will do.
        why: What was in its way.
    """

    step: str
    why: str


class CleanUpEnded(Event, frozen=True):
    """Files that nothing needs any more were removed together, off the critical path.

    Attributes:
        removed: How many are gone.
        left: Those that are not; the reconciler removes them.
        why: What was in the way, if the request failed.
    """

    removed: int
    left: tuple[str, ...]
    why: str | None = None


class ProblemFound(Event, frozen=True):
    """A sweep of the reconciler found something that is not at its right end.

    Attributes:
        sweep: The name of the sweep.
        subject: The id of the bounty, reservation or claim, or the path of a file.
        problem: What is wrong with it.
    """

    sweep: str
    subject: str
    problem: str


class ProblemRepaired(Event, frozen=True):
    """What a sweep found was brought to its right end.

    Attributes:
        sweep: As of `ProblemFound`.
        subject: Likewise.
        problem: Likewise.
        repaired: What was done.
    """

    sweep: str
    subject: str
    problem: str
    repaired: str


class ProblemLeft(Event, frozen=True):
    """What a sweep found was left as it is.

    Attributes:
        sweep: As of `ProblemFound`.
        subject: Likewise.
        problem: Likewise.
        why: Why nothing was done: it is a dry run, a person has to decide, or the repair failed.
        failed: Whether a repair was tried; the next run tries again.
    """

    sweep: str
    subject: str
    problem: str
    why: str
    failed: bool


class RangeEnded(Event, frozen=True):
    """A worker went through a range of the bounties of a zone, by all sweeps.

    Attributes:
        zone_id: The zone.
        lo: The id after which the range begins; empty for the beginning.
        hi: The id that it ends with; `None` for the end.
        found: How many problems it found.
        repaired: How many of them are repaired.
        seconds: How long it took.
        error: What cut the first sweep short that was: its type, and what is to be done about it
            where that is known.
        server: The address of the server that the zone is on, as of an operation.
    """

    zone_id: str
    lo: str
    hi: str | None
    found: int
    repaired: int
    seconds: float
    error: str | None = None
    server: str = ""


class SweepEnded(Event, frozen=True):
    """A sweep of the reconciler is through, or was cut short.

    Attributes:
        sweep: The name of the sweep.
        found: How many problems it found.
        repaired: How many of them are repaired.
        seconds: How long it took.
        error: What cut it short.
    """

    sweep: str
    found: int
    repaired: int
    seconds: float
    error: str | None = None
