"""The steps of operations, and which key each has: the operation's own, extended by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nexus_bounty.idempotency import OperationRecord
from nexus_bounty.outcomes import Outcome


class OperationKind(StrEnum):
    """What a key can stand for."""

    CREATE = "create"
    CLAIM = "claim"
    RELEASE = "release"
    SETTLE = "settle"
    CANCEL = "cancel"
    EXPIRE = "expire"


@dataclass(frozen=True)
class Step:
    """One commit of an operation on the bounty's document."""

    name: str
    operation: OperationKind
    meaning: str


DRAFT: Final = "draft"
GIVE_UP: Final = "give-up"

STEPS: Final = (
    Step(DRAFT, OperationKind.CREATE, "write a draft that names its reservation"),
    Step("open", OperationKind.CREATE, "open it, its credits being held"),
    Step(GIVE_UP, OperationKind.CREATE, "take the draft back, because creating was given up"),
    Step("claim", OperationKind.CLAIM, "give it to the claimer"),
    Step("release", OperationKind.RELEASE, "open it again for others"),
    Step("begin", OperationKind.SETTLE, "begin paying: from here only forward"),
    Step("settle", OperationKind.SETTLE, "settle it, its credits being paid"),
    Step("cancel", OperationKind.CANCEL, "cancel it"),
    Step("expire", OperationKind.EXPIRE, "expire it"),
)
"""In the order in which operations take them."""

COMMIT_STEPS: Final = {
    OperationKind.CREATE: (DRAFT, "open"),
    OperationKind.CLAIM: ("claim",),
    OperationKind.RELEASE: ("release",),
    OperationKind.SETTLE: ("begin",),
    OperationKind.CANCEL: ("cancel",),
    OperationKind.EXPIRE: ("expire",),
}
"""The steps that must all be committed for the operation to have happened."""

_OTHER_STEPS: Final = ("lease",)
"""Kept elsewhere than in the bounty's document."""

_BY_NAME: Final = {step.name: step for step in STEPS}


@dataclass(frozen=True)
class Trace:
    """A step that was found in a document's history."""

    step: Step | None
    record: OperationRecord

    @property
    def outcome(self) -> Outcome:
        """What became of it, for good."""
        return Outcome.PRE_COMMIT if self.record.aborted else Outcome.COMMITTED

    @property
    def name(self) -> str:
        """The step's name, or what a store called directly did."""
        return self.step.name if self.step else self.record.kind


_NUMBERED: Final = frozenset({DRAFT, GIVE_UP})
"""Of a create that is tried again after a refusal: its second try has the step `draft-2`."""


def numbered(name: str, number: int) -> str:
    """The name of a step in the try of its operation with this number, from 1."""
    return name if number == 1 else f"{name}-{number}"


def operation_key(key: str) -> str:
    """The operation's key that `key` is, or is a step's of."""
    head, _, tail = key.rpartition(":")
    return head if head and (_named(tail) or tail in _OTHER_STEPS) else key


def step_of(key: str) -> Step | None:
    """The step that `key` is the key of, if it is one's."""
    head, _, tail = key.rpartition(":")
    return _named(tail) if head else None


def try_of(key: str) -> int:
    """The number of the try, from 1, that the step with this key belongs to."""
    _, _, name = key.rpartition(":")
    return 1 if name in _BY_NAME else int(name.rpartition("-")[2])


def _named(name: str) -> Step | None:
    """The step of this name, in whatever try."""
    first, _, number = name.rpartition("-")
    tried_again = first in _NUMBERED and number.isascii() and number.isdecimal()
    return _BY_NAME.get(first if tried_again else name)


def traces(key: str, history: Sequence[OperationRecord]) -> list[Trace]:
    """What `history` says of the operation with `key`, and of its steps, oldest first."""
    return [
        Trace(None if record.key == key else step_of(record.key), record)
        for record in history
        if key in (record.key, operation_key(record.key))
    ]
