"""What a document's history proves about an operation: pure, from what was read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from nexus_bounty.idempotency import OperationRecord, derived_key
from nexus_bounty.models import Claim, Wire
from nexus_bounty.operations.steps import (
    COMMIT_STEPS,
    DRAFT,
    GIVE_UP,
    STEPS,
    OperationKind,
    Trace,
)
from nexus_bounty.outcomes import Outcome
from nexus_bounty.ports import Reservation

_OPERATION_OF_KIND: Final = {
    "create": OperationKind.CREATE,
    "claim": OperationKind.CLAIM,
    "release": OperationKind.RELEASE,
    "begin_settlement": OperationKind.SETTLE,
    "cancel": OperationKind.CANCEL,
    "expire": OperationKind.EXPIRE,
}


class StepFound(Wire, frozen=True, kw_only=True):
    """One step: what became of it, and how that is known."""

    step: str
    key: str
    meaning: str
    outcome: Outcome
    how: str
    at: datetime | None = None


class Explanation(Wire, frozen=True, kw_only=True):
    """What became of the operation with `key`: `outcome` speaks of the whole."""

    key: str
    outcome: Outcome
    summary: str
    operation: str | None = None
    bounty_id: str | None = None
    bounty_status: str | None = None
    steps: Sequence[StepFound] = ()
    claim: Claim | None = None
    reservation: Reservation | None = None


def operation_of(found: Sequence[Trace]) -> OperationKind | None:
    """What the key of these traces was used for, if they tell."""
    for each in found:
        known = each.step.operation if each.step else _OPERATION_OF_KIND.get(each.record.kind)
        if known is not None:
            return known
    return None


def steps_found(
    key: str, operation: OperationKind | None, found: Sequence[Trace]
) -> list[StepFound]:
    """Every step that left a trace, then those that it still takes to commit."""
    seen = [_seen(each) for each in found]
    over = was_given_up(found) or any(each.step is None or _is_fenced_off(each) for each in found)
    if operation is None or over:
        return seen
    named = {each.name for each in last_try(found)}
    missing = [name for name in COMMIT_STEPS[operation] if name not in named]
    return [*seen, *(_missing(key, name) for name in missing)]


def judged(
    operation: OperationKind | None, found: Sequence[Trace], history: Sequence[OperationRecord]
) -> tuple[Outcome, str]:
    """What became of the whole operation, and a sentence that says how it is known."""
    if not found:
        forgotten = bool(history) and history[0].seq > 1
        return Outcome.UNKNOWN, _NO_TRACE_FORGOTTEN if forgotten else _NO_TRACE
    if fenced := next((each for each in found if _is_fenced_off(each)), None):
        return Outcome.PRE_COMMIT, (
            f"it never happened and never will: a fence took the place of its step {fenced.name!r}"
        )
    if was_given_up(found):
        return Outcome.PRE_COMMIT, "it was given up: its draft was taken back and holds nothing"
    found = last_try(found)
    steps = {each.name for each in found}
    if operation is None or any(each.step is None for each in found):
        return Outcome.COMMITTED, "it happened: the document's history names it"
    if steps.issuperset(COMMIT_STEPS[operation]):
        return Outcome.COMMITTED, _committed(operation, steps)
    return Outcome.UNKNOWN, (
        "it is half-way: still running, or stranded; `nexus-bounty reconcile` brings it to its end"
    )


def was_given_up(found: Sequence[Trace]) -> bool:
    """Whether a create has taken its draft back, and not begun anew."""
    return any(each.name == GIVE_UP and not each.record.aborted for each in last_try(found))


def last_try(found: Sequence[Trace]) -> Sequence[Trace]:
    """The traces of the last try of an operation: of a create, since its last draft."""
    begun = [at for at, each in enumerate(found) if each.name == DRAFT]
    return found[begun[-1] :] if begun else found


def _is_fenced_off(trace: Trace) -> bool:
    """Whether its key can never do it; what could not be given up may yet go on."""
    return trace.record.aborted and trace.name != GIVE_UP


_NO_TRACE: Final = (
    "no history names it: it was never sent, or is still under way; --resolve makes sure that it "
    "can no longer happen"
)
_NO_TRACE_FORGOTTEN: Final = (
    "the history does not name it, but has dropped its older entries: that proves nothing"
)


def _committed(operation: OperationKind, steps: set[str]) -> str:
    told = "it happened: the document's history names it"
    if operation is OperationKind.SETTLE and "settle" not in steps:
        return f"{told}; past this point there is only forward, whoever finishes it"
    return told


def _seen(trace: Trace) -> StepFound:
    record = trace.record
    how = (
        f"write {record.seq} of the document is a fence in its place"
        if record.aborted
        else f"write {record.seq} of the document was made by it"
    )
    return StepFound(
        step=trace.name,
        key=record.key,
        meaning=trace.step.meaning if trace.step else record.kind,
        outcome=trace.outcome,
        how=how,
        at=record.at,
    )


def _missing(key: str, name: str) -> StepFound:
    return StepFound(
        step=name,
        key=derived_key(key, name),
        meaning=next(step.meaning for step in STEPS if step.name == name),
        outcome=Outcome.UNKNOWN,
        how="the document's history does not name it",
    )
