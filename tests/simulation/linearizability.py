"""Linearizability of one bounty's state machine over histories of ok, fail and info calls.

The search is Wing and Gong's, just in time as Lowe has it: a call takes effect when the next answer
needs it. What keeps it short however many calls ended unknown: an unknown call may as well never
happen, so that of two ways to the same state only the one that used up fewer of them is followed;
and of unknown calls that are alike, the oldest goes first. (detangle 0.1, from the package index,
looks at every subset of them: right histories are quick, and on one of 200 calls with 20 unknown
and one wrong answer it gives up.)

Besides mutations and reads, what a caller was told about a key is checked: a `PreCommitError`, or
a resolution to `pre_commit`, says that no call with this key has happened or ever will.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from operator import le
from typing import Final

from nexus_bounty.lifecycle import TRANSITIONS
from nexus_bounty.models import BountyStatus
from nexus_bounty.outcomes import Proof
from tests.simulation.history import FAIL, INFO, OK, Call, Seen

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
    discarded: bool = False
    """Whether a draft was taken back, so that to do so again is a no-op."""
    done: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()
    """Keys of which somebody was told that they never happened and never will."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one call did to the bounty, or saw of it."""

    kind: str
    argument: Hashable = None
    key: str | None = None
    seen: Seen = None
    attempts: frozenset[str | None] = frozenset()
    """The keys of which one has happened, where somebody was told that."""

    def applied_to(self, state: State) -> State | None:
        """The bounty afterwards; `None` if it cannot have been like that."""
        match self.kind:
            case "read":
                return state if _matches(state, self.seen) else None
            case "never":
                alive = self.key not in state.done
                return replace(state, dead=state.dead | {self.key or ""}) if alive else None
            case "happened":
                return state if self.attempts & state.done else None
        if self.key in state.done:
            return state
        return None if self.key in state.dead else _moved(state, self)


def _matches(state: State, seen: Seen) -> bool:
    if seen is None or state.status is None:
        return seen is None and state.status is None
    status, holder = seen
    return status == "some" or (status == state.status and holder in (None, state.holder))


def _discarded(state: State, step: Step) -> State | None:
    done = state.done | {step.key} if step.key else state.done
    if state.status == BountyStatus.DRAFT:
        return State(discarded=True, done=done, dead=state.dead)
    return replace(state, done=done) if state.discarded else None


def _moved(state: State, step: Step) -> State | None:
    if step.kind == "discard":
        return _discarded(state, step)
    argument = str(step.argument)
    after = argument if step.kind == "create" else TARGETS[step.kind]
    if not _is_allowed(state, step, after):
        return None
    holder = {"claim": argument, "release": None}.get(step.kind, state.holder)
    cid = argument if step.kind in ("begin_settlement", "complete") else state.cid
    done = state.done | {step.key} if step.key else state.done
    return State(after, holder, cid, state.discarded, done, state.dead)


def _is_allowed(state: State, step: Step, after: str) -> bool:
    if step.kind == "create" or state.status is None:
        return step.kind == "create" and state.status is None
    sources = SOURCES.get(step.kind, (state.status,))
    if after not in LEGAL[state.status] or state.status not in sources:
        return False
    if step.kind in ("claim", "release") and state.status == BountyStatus.CLAIMED:
        return state.holder == step.argument
    if step.kind in ("begin_settlement", "complete"):
        return state.cid in (None, step.argument)
    return True


# The search


@dataclass(frozen=True, slots=True)
class Event:
    """A step between its call and its return; one without a return may never have happened."""

    step: Step
    called: int
    returned: int | None


Used = tuple[int, ...]
"""How many unknown steps of each likeness took effect, by the likeness's number."""


@dataclass(frozen=True, slots=True)
class _Point:
    """Where things may have come to: the bounty, and what took effect before it returned."""

    state: State
    ahead: frozenset[int] = frozenset()


Way = tuple[_Point, Used]


class _Ways:
    """The points that were reached, each with the fewest unknown steps that led there."""

    def __init__(self) -> None:
        self._ways: dict[_Point, list[Used]] = {}

    def add(self, way: Way) -> bool:
        """Add a way, unless one with no more unknown steps leads to the same point."""
        point, used = way
        known = self._ways.setdefault(point, [])
        if any(_no_more(each, used) for each in known):
            return False
        known[:] = [each for each in known if not _no_more(used, each)]
        known.append(used)
        return True


def _no_more(some: Used, others: Used) -> bool:
    """Whether `some` are no more than `others` of any likeness."""
    return all(map(le, some, chain(others, repeat(0)))) and not any(some[len(others) :])


@dataclass(frozen=True, slots=True)
class _Return:
    """An event returns: by now it has taken effect, and others may have."""

    number: int
    waiting: dict[int, Step]
    """What was called and has not returned, itself included, by number."""
    unknown: dict[Step, int]
    """How many unknown steps of each likeness were called."""

    def ways(self, before: Way) -> Iterator[Way]:
        """The ways on from here, the straightest first."""
        seen, left = _Ways(), [before]
        while left:
            point, used = left.pop()
            if self.number in point.ahead:
                yield _Point(point.state, point.ahead - {self.number}), used
            elif seen.add((point, used)):
                left += self._unknown_next(point, used)
                left += self._waiting_next(point, used)

    def _unknown_next(self, point: _Point, used: Used) -> Iterator[Way]:
        counts = used + (0,) * (len(self.unknown) - len(used))
        for likeness, (step, most) in enumerate(self.unknown.items()):
            state = step.applied_to(point.state) if counts[likeness] < most else None
            if state is not None and state != point.state:  # else it may as well not have happened
                more = (*counts[:likeness], counts[likeness] + 1, *counts[likeness + 1 :])
                yield _Point(state, point.ahead), more

    def _waiting_next(self, point: _Point, used: Used) -> Iterator[Way]:
        for number in sorted(self.waiting, key=lambda each: each == self.number):
            if number not in point.ahead:
                state = self.waiting[number].applied_to(point.state)
                if state is not None:
                    yield _Point(state, point.ahead | {number}), used


def explains(events: Sequence[Event], start: State) -> bool:
    """Whether some order of `events` that respects real time leads through all of them."""
    returns = list(_returns(events))
    tried = [_Ways() for _ in returns]
    first: Way = (_Point(start), ())
    branches = [iter([first])]
    while branches:
        way = next(branches[-1], None)
        depth = len(branches) - 1
        if way is None:
            branches.pop()
        elif depth == len(returns):
            return True
        elif tried[depth].add(way):
            branches.append(returns[depth].ways(way))
    return False


def _returns(events: Sequence[Event]) -> Iterator[_Return]:
    moments = [(each.called, 0, number) for number, each in enumerate(events)]
    moments += [
        (each.returned, 1, number)
        for number, each in enumerate(events)
        if each.returned is not None
    ]
    waiting: dict[int, Step] = {}
    unknown: dict[Step, int] = {}
    for _, is_return, number in sorted(moments):
        event = events[number]
        if is_return:
            yield _Return(number, dict(waiting), dict(unknown))
            del waiting[number]
        elif event.returned is None:
            unknown[event.step] = unknown.get(event.step, 0) + 1
        else:
            waiting[number] = event.step


# From what was told to events


def is_linearizable(calls: Iterable[Call], start: State) -> bool:
    """Whether some order of `calls` that respects real time explains everything that was told."""
    told = list(calls)
    return explains(list(_events(told, _with_attempts(told))), start)


def _events(told: list[Call], numbered: list[Call]) -> Iterator[Event]:
    """What each call comes to; a refusal counts as what it says about bounty and key."""
    happened = [_attempts_before(call, told, numbered) for call in told]
    times_used = Counter(chain((call.key for call in numbered), *happened))
    for call, attempts in zip(numbered, happened, strict=True):
        key = call.key if times_used[call.key] > 1 else None  # others need not be told apart
        if call.status == FAIL:
            if call.has_seen:
                yield Event(Step("read", seen=call.seen), call.called, call.returned)
            if key and _speaks_for_its_key(call, numbered):
                yield Event(Step("never", key=key), call.called, call.returned)
        elif call.kind == "resolve":
            never = Step("never", key=call.key)
            step = Step("happened", attempts=attempts) if _says_committed(call) else never
            if call.status == OK:
                yield Event(step, call.called, call.returned)
        elif call.status == OK or call.kind != "read":
            returned = None if call.status == INFO else call.returned
            yield Event(Step(call.kind, call.argument, key, call.seen), call.called, returned)


def _with_attempts(calls: list[Call]) -> list[Call]:
    """The calls, their keys numbered by attempts: what was refused may be tried again.

    A refusal that speaks for one attempt alone is known as such once those before are told apart.
    """
    refused = [
        each
        for each in calls
        if each.status == FAIL and each.key and _speaks_for_its_key(each, calls)
    ]
    numbered = [_numbered(call, refused, calls) for call in calls]
    return calls if numbered == calls else _with_attempts(numbered)


def _numbered(call: Call, refused: Sequence[Call], calls: Sequence[Call]) -> Call:
    begun = call.called
    if _says_committed(call):
        return call
    if call.kind == "resolve":  # it speaks of the last attempt before it
        tries = [each for each in calls if each.key == call.key and each.kind != "resolve"]
        begun = max((each.called for each in tries if each.called < begun), default=begun)
    earlier = [each for each in refused if each.key == call.key and (each.returned or 0) < begun]
    return replace(call, key=f"{call.key} #{len(earlier)}") if earlier else call


def _says_committed(call: Call) -> bool:
    return call.kind == "resolve" and call.argument == "committed"


def _attempts_before(
    call: Call, told: Sequence[Call], numbered: Sequence[Call]
) -> frozenset[str | None]:
    """The attempts of which one has happened if a resolution finds its key to be committed.

    The history that it finds the key in does not tell attempts apart: it may be one that another
    process began while the resolution was under way.
    """
    if not _says_committed(call):
        return frozenset()
    until = call.returned or call.called
    tries = [
        each.key
        for as_told, each in zip(told, numbered, strict=True)
        if as_told.key == call.key and as_told.called < until
    ]
    return frozenset((call.key, *tries))


def _speaks_for_its_key(call: Call, calls: Sequence[Call]) -> bool:
    """Whether a refusal rules out every call with its key.

    A fence does. Otherwise it speaks for what its own process had tried by then.
    """
    proof = call.error.evidence.proof if call.error else Proof.NONE
    others = [each for each in calls if each.key == call.key and each is not call]
    until = call.returned or call.called
    before = [each for each in others if each.called < until]
    alone = all(
        each.process == call.process and each.ended is not None and each.ended < call.called
        for each in before
    )
    return alone or proof is Proof.FENCED
