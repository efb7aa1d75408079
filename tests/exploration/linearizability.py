"""Linearizability of one bounty's state machine over histories of ok, fail and info calls.

The search is detangle's (Wing and Gong's, with Lowe's memoisation); the model is ours. Besides
mutations and reads, what a caller was told about a key is checked: a `PreCommitError`, or a
resolution to `pre_commit`, says that no call with this key has happened or ever will.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from detangle import lin

from nexus_bounty.lifecycle import TRANSITIONS
from nexus_bounty.models import BountyStatus
from nexus_bounty.outcomes import Proof
from tests.exploration.history import FAIL, INFO, OK, Call

TARGETS: Final = {
    "fund": "open",
    "claim": "claimed",
    "release": "open",
    "begin_settlement": "pending_settlement",
    "complete": "completed",
    "settle": "settled",
    "expire": "expired",
    "cancel": "cancelled",
}
SOURCES: Final = {"fund": ("draft",), "release": ("claimed",)}
"""Transitions that the lifecycle's table alone does not tell apart."""

LEGAL: Final = {
    before.value: frozenset(after.value for after in afters)
    for before, afters in TRANSITIONS.items()
}


@dataclass(frozen=True, slots=True)
class State:
    """A bounty, and which keys have been used on it."""

    status: str | None = None
    holder: str | None = None
    cid: str | None = None
    done: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()
    """Keys of which somebody was told that they never happened and never will."""


class BountyModel(lin.Model):
    """One bounty, as the lifecycle allows."""

    name = "bounty"

    def __init__(self, start: State) -> None:
        self._start = start

    def init(self) -> Hashable:
        return self._start

    def step(self, state: State, op: lin.Operation) -> tuple[bool, State]:
        call: Call = op.arg
        if op.f == "read":
            return _matches(state, call.seen), state
        if op.f == "never":
            if call.key in state.done:
                return False, state
            return True, replace(state, dead=state.dead | {call.key or ""})
        if op.f == "happened":
            return call.key in state.done, state
        if call.key in state.done:
            return True, state
        if call.key in state.dead:
            return False, state
        return _applied(state, call)


def _matches(state: State, seen: Any) -> bool:
    if seen is None or state.status is None:
        return seen is None and state.status is None
    status, holder = seen
    if status == "some":
        return True
    return bool(status == state.status and holder in (None, state.holder))


def _applied(state: State, call: Call) -> tuple[bool, State]:
    after = call.argument if call.kind == "create" else TARGETS[call.kind]
    if not _allowed(state, call, after):
        return False, state
    done = state.done | {call.key} if call.key else state.done
    holder = call.argument if call.kind == "claim" else state.holder
    if call.kind == "release":
        holder = None
    settling = call.kind in ("begin_settlement", "complete")
    cid = call.argument if settling else state.cid
    return True, replace(state, status=after, holder=holder, cid=cid, done=done)


def _allowed(state: State, call: Call, after: str) -> bool:
    if call.kind == "create" or state.status is None:
        return call.kind == "create" and state.status is None
    if after not in LEGAL[state.status] or state.status not in SOURCES.get(
        call.kind, (state.status,)
    ):
        return False
    if call.kind in ("claim", "release") and state.status == BountyStatus.CLAIMED:
        return bool(state.holder == call.argument)
    if call.kind in ("begin_settlement", "complete"):
        return state.cid in (None, call.argument)
    return True


def is_linearizable(calls: Iterable[Call], start: State) -> bool:
    """Whether some order of `calls` that respects real time explains everything that was told.

    Raises:
        RuntimeError: The search ran out of its budget.
    """
    result = lin.check(_operations(list(calls)), BountyModel(start))
    return bool(result.ok)


def _operations(calls: Sequence[Call]) -> list[lin.Operation]:
    """The calls in the checker's terms; a refusal counts as what it says about the bounty."""
    found: list[lin.Operation] = []
    calls = _with_attempts(calls)
    for call in calls:
        if call.status in (OK, INFO):
            kind = call.kind
            if kind == "resolve":
                kind = "happened" if call.argument == "committed" else "never"
            if call.status == OK or kind not in ("read", "happened", "never"):
                found.append(_operation(len(found), kind, call))
            continue
        if call.has_seen:
            found.append(_operation(len(found), "read", call))
        if call.key and _speaks_for_its_key(call, calls):
            found.append(_operation(len(found), "never", call))
    return found


def _with_attempts(calls: Sequence[Call]) -> list[Call]:
    """The calls, their keys numbered by attempts: what was refused may be tried again."""
    refused = [each for each in calls if each.status == FAIL and each.key]
    if not refused:
        return list(calls)
    return [_numbered(call, refused) for call in calls]


def _numbered(call: Call, refused: Sequence[Call]) -> Call:
    earlier = [
        each for each in refused if each.key == call.key and (each.returned or 0) < call.called
    ]
    return replace(call, key=f"{call.key} #{len(earlier)}") if earlier else call


def _speaks_for_its_key(call: Call, calls: Sequence[Call]) -> bool:
    """Whether a refusal rules out every call with its key, those of other processes included."""
    proof = call.error.evidence.proof if call.error else Proof.NONE
    alone = all(each.process == call.process for each in calls if each.key == call.key)
    return alone or proof is Proof.FENCED


def _operation(index: int, kind: str, call: Call) -> lin.Operation:
    returned = None if call.status == INFO else call.returned
    status = INFO if call.status == INFO else OK
    return lin.Operation(
        index, call.process, kind, call, call.called, 0.0, None, status, returned, 0.0
    )


__all__ = ["FAIL", "INFO", "OK", "BountyModel", "State", "is_linearizable"]
