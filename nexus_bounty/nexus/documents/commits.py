"""What a commit is asked to do, and the four ways in which it can end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from nexus_bounty.deadlines import Deadline
from nexus_bounty.idempotency import OperationRecord
from nexus_bounty.nexus.client import Etags, Page
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.nexus.documents import BelievedFile, Document, UnreadableDocumentError
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
    """It did not happen and cannot any more; `document` is what says so, if one does."""

    proof: Proof
    document: Document | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing could be proven."""

    why: str


CommitResult = Committed | Superseded | Aborted | Unknown


class CommitStrategy(Protocol):
    """A way to commit documents exclusively on some server.

    Besides documents it moves locks: small files, each of which names its holder.
    """

    async def ready(self, deadline: Deadline) -> None:
        """Make sure that commits are safe here; called before anything is written.

        Raises:
            UnsupportedServerError: They are not (pre-commit).
        """
        ...

    async def read(self, path: str, deadline: Deadline) -> Document | None:
        """The document as committed."""
        ...

    async def read_many(
        self, paths: Sequence[str], deadline: Deadline
    ) -> list[Document | UnreadableDocumentError]:
        """The documents that exist among `paths`, as committed; an unreadable one is its error."""
        ...

    async def names(self, directory: str, deadline: Deadline) -> list[str]:
        """The paths of all documents that were committed in `directory`."""
        ...

    async def page(self, directory: str, after: str, deadline: Deadline) -> Page:
        """The paths of documents that were committed in `directory`, those after `after`."""
        ...

    async def etags(self, directory: str, after: str, deadline: Deadline) -> Etags | None:
        """The etags of documents as committed, of a page after `after`.

        `None` where files may lag behind what was committed, so that their etags say nothing.
        """
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

    async def read_lock(self, path: str, deadline: Deadline) -> BelievedFile | None:
        """The lock as it was last moved; `None` if it never was."""
        ...

    async def move_lock(
        self,
        path: str,
        now: BelievedFile | None,
        content: bytes,
        deadline: Deadline,
        trail: Trail,
    ) -> bool:
        """Try once to move the lock on from `now`; whether it provably was.

        Raises:
            NexusError: The request was refused or could not be sent.
        """
        ...

    async def collect(self, directory: str, before: datetime) -> list[str]:
        """Remove what commits left behind in `directory` before a time; returns the paths.

        That time must be so long ago that no request sent then can be under way any more.
        """
        ...
