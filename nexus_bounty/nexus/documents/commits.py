"""What a commit is asked to do, and the four ways in which it can end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from nexus_bounty.deadlines import Deadline
from nexus_bounty.idempotency import History, OperationRecord
from nexus_bounty.nexus.client import Etags, Page
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.nexus.documents import BelievedFile, Document, UnreadableDocumentError
from nexus_bounty.nexus.documents.marker_layout import ZoneLayout
from nexus_bounty.outcomes import Evidence, Observation, Proof


@dataclass(frozen=True, slots=True)
class Prepared:
    """What has been done for an intent ahead of its commit: its markers are written.

    Attributes:
        staged: Where it lies to be renamed, if that is how it is committed.
        base_checked: Whether its base was seen to stand.
        markers: Which markers were written for it.
        expected: The intent of the step after it, if that was done ahead, too.
    """

    staged: str | None = None
    base_checked: bool = False
    markers: tuple[str, ...] = ()
    expected: Intent | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """One conditional write: `value` over `base`, or as a new document if that is `None`.

    Attributes:
        path: Where.
        base: What it is written over.
        value: What, with `record` as its newest operation.
        history: That of `value`.
        content: `value` as it is stored.
        fence: What is written in its place to make sure that it can no longer land: the base with
            the record marked aborted, or a tombstone.
        record: The operation.
        encoding: How both are stored.
        markers: The empty files that have to be there before it lands, of which none does harm.
        announcing: Names them, once it is known how the zone lays them out.
        promptly: Whether other programs are to see it, in the document's own file, before the
            commit returns; a moment later will do otherwise.
        base_is_fresh: Whether the base was seen, or made, only a moment ago.
        prepared: What was done ahead, if anything was.
        expected: Makes the intent of the step that nearly always comes next, over the document
            that this one makes: where commits are staged, it is staged with this one.
    """

    path: str
    base: Document | None
    value: Mapping[str, Any]
    history: History
    content: bytes
    fence: Mapping[str, Any]
    record: OperationRecord
    encoding: StorageEncoding
    markers: tuple[str, ...] = ()
    announcing: Callable[[Intent], tuple[str, ...]] | None = None
    promptly: bool = True
    base_is_fresh: bool = False
    prepared: Prepared | None = None
    expected: Callable[[Document], Intent | None] | None = None

    def announced(self) -> Intent:
        """The same, with its markers named: the strategy is ready, so that the layout is known."""
        if self.announcing is None:
            return self
        return replace(self, markers=self.announcing(self), announcing=None)

    def stored_as(self, etag: str) -> Document:
        """The document that its content is, under the etag that speaks for it."""
        file = BelievedFile(self.path, self.content, etag)
        return Document(file, self.value, self.history, self.encoding)


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
    """It happened; `document` is what it wrote, or what others have made of it since.

    `expected` is the step that comes next, if something was done ahead for it.
    """

    document: Document
    proof: Proof
    expected: Intent | None = None


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


class DocumentReads(Protocol):
    """How documents are read as they were committed last."""

    @property
    def lists_whole(self) -> bool:
        """Whether a page of names is all of them, however few are wanted."""
        ...

    async def read(self, path: str, deadline: Deadline) -> Document | None:
        """The document as committed."""
        ...

    async def is_absent(self, path: str, deadline: Deadline) -> bool:
        """Whether nothing was ever committed at `path`, not even a tombstone: one round trip."""
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

    async def unchanged(self, seqs: Mapping[str, int], deadline: Deadline) -> set[str]:
        """Those of the documents, by path, of which the commit of that number is the last one.

        Told without reading them, where only commits of ours change documents and that can be
        seen; none otherwise.
        """
        ...


class Locks(Protocol):
    """How locks are moved: small files, each of which names its holder."""

    async def read(self, path: str, deadline: Deadline) -> BelievedFile | None:
        """The lock as it was last moved; `None` if it never was."""
        ...

    async def move(
        self,
        path: str,
        now: BelievedFile | None,
        content: bytes,
        deadline: Deadline,
        trail: Trail,
        *,
        promptly: bool,
    ) -> bool:
        """Try once to move the lock on from `now`; whether it provably was.

        `promptly`: other programs are to see it in the lock's own file before this returns.

        Raises:
            NexusError: The request was refused or could not be sent.
        """
        ...


class Leftovers(Protocol):
    """What commits leave behind."""

    async def collect(self, directory: str, before: datetime) -> list[str]:
        """Remove what commits left behind in `directory` before a time; returns the paths.

        That time must be so long ago that no request sent then can be under way any more.
        """
        ...


class ZoneReads(Protocol):
    """A way to see all that was committed in a zone."""

    @property
    def reads(self) -> DocumentReads:
        """What sees all documents that were committed."""
        ...

    @property
    def locks(self) -> Locks:
        """What sees how locks were moved."""
        ...

    @property
    def leftovers(self) -> Leftovers:
        """What tidies up behind commits."""
        ...


class CommitStrategy(ZoneReads, Protocol):
    """A way to commit documents exclusively on some server, with all that goes with it.

    It sees all that was committed in the same way, and moves locks as exclusively.
    """

    async def ready(self, deadline: Deadline) -> None:
        """Make sure that commits are safe here; called before anything is written.

        Raises:
            UnsupportedServerError: They are not (pre-commit).
        """
        ...

    def prepare(self, intent: Intent, deadline: Deadline) -> Awaitable[Intent]:
        """Do what can be done ahead of committing `intent`; no harm is done if it never is.

        Raises:
            NexusError: It could not be done; committing it is no less possible for that.
        """
        ...

    def commit(
        self, intent: Intent, deadline: Deadline, trail: Trail, *, in_doubt: bool
    ) -> Awaitable[CommitResult]:
        """Carry `intent` to a proven end, once its markers are written.

        `in_doubt` says that an earlier attempt under the same key may still be under way.

        Raises:
            NexusError: A marker could not be written; nothing else was sent.
        """
        ...

    def abort(self, intent: Intent, deadline: Deadline, trail: Trail) -> Awaitable[CommitResult]:
        """Find out what became of `intent`, and fence it off if it has not landed."""
        ...


@runtime_checkable
class StrategyChoice(Protocol):
    """What knows the strategy of a zone, or finds it out."""

    @property
    def layout(self) -> ZoneLayout:
        """How the zone's markers are laid out, as far as it has been asked for a strategy."""
        ...

    async def for_reading(self, deadline: Deadline) -> ZoneReads:
        """What sees all that was committed; it finds out nothing.

        Raises:
            NexusError: What is known of the zone could not be read.
        """
        ...

    async def for_writing(self, deadline: Deadline) -> CommitStrategy:
        """The one to commit with, ready: asked before anything is written.

        Raises:
            UnsupportedServerError: None is safe (pre-commit).
            NexusError: It could not be found out.
        """
        ...
