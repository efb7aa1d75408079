"""What a commit is asked to do, and the four ways in which it can end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nexus_bounty.idempotency import OperationRecord
from nexus_bounty.nexus.documents import Document
from nexus_bounty.nexus.retry import Deadline
from nexus_bounty.nexus.settings import StorageEncoding
from nexus_bounty.outcomes import Evidence, Observation, Proof


@dataclass(frozen=True, slots=True)
class Intent:
    """One conditional write: `value` over `base`, or as a new document if that is `None`.

    `value` carries `record` as its newest operation. `fence` is what is written in its place to
    make sure that it can no longer land: the base with the record marked aborted, or a tombstone.
    """

    path: str
    base: Document | None
    value: Mapping[str, Any]
    fence: Mapping[str, Any]
    record: OperationRecord
    encoding: StorageEncoding


@dataclass(slots=True)
class Trail:
    """What was observed while an operation ran, in order."""

    observations: list[Observation] = field(default_factory=list)

    def saw(self, action: str, target: str, answer: str) -> None:
        """Add one observation."""
        self.observations.append(Observation(action=action, target=target, answer=answer))

    def proves(self, proof: Proof) -> Evidence:
        """The evidence gathered, under the proof it amounts to."""
        return Evidence(proof=proof, observations=tuple(self.observations))


@dataclass(frozen=True, slots=True)
class Committed:
    """It happened; `document` is what it wrote, or what others have made of it since."""

    document: Document
    proof: Proof


@dataclass(frozen=True, slots=True)
class Superseded:
    """It did not happen and cannot any more: another write took its place."""

    document: Document


@dataclass(frozen=True, slots=True)
class Aborted:
    """It did not happen and cannot any more."""

    proof: Proof


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing could be proven."""

    why: str


CommitResult = Committed | Superseded | Aborted | Unknown


class CommitStrategy(Protocol):
    """A way to commit documents exclusively on some server."""

    async def read(self, path: str, deadline: Deadline) -> Document | None:
        """The document as committed."""
        ...

    async def commit(
        self, intent: Intent, deadline: Deadline, trail: Trail, *, in_doubt: bool
    ) -> CommitResult:
        """Carry `intent` to a proven end.

        `in_doubt` says that an earlier attempt under the same key may still be under way.
        """
        ...

    async def abort(self, intent: Intent, deadline: Deadline, trail: Trail) -> CommitResult:
        """Find out what became of `intent`, and fence it off if it has not landed."""
        ...
