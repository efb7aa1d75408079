"""The one loop of every commit: write, look what became of it, and fence it off in the end.

A read alone proves nothing: a request that timed out may still be under way and land after it. So
what is ambiguous is resolved by looking for the operation in the history of what is there, and by
the same exclusive write once more, which is its own fence: once it or a competitor has landed, the
stray one never can. When giving up, a fence takes its place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events import FenceLanded, FenceWritten
from nexus_bounty.events.stream import publish
from nexus_bounty.events.tracking import lost_answer
from nexus_bounty.nexus import documents
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Disposition
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.documents import Document, UnreadableDocumentError
from nexus_bounty.nexus.documents.commits import (
    Aborted,
    CommitResult,
    Committed,
    Intent,
    Prepared,
    Trail,
    Unknown,
)
from nexus_bounty.outcomes import Proof

PROOF_OF_ABSENCE: Final = {
    Disposition.NEVER_SENT: Proof.NEVER_SENT,
    Disposition.REFUSED: Proof.REFUSED,
}


@dataclass(slots=True, kw_only=True)
class ProvenWrite(ABC):
    """One exclusive write, of an intent or of its fence, repeated until something is proven.

    Attributes:
        client: The server.
        intent: What is to be written.
        deadline: When to give up.
        trail: Is told of all that is seen.
        in_doubt: Whether a write of this operation may be under way, or have landed.
        as_fence: Whether it is the fence that is written.
        content: The bytes that are written.
        asked_to_wait: The seconds that the server asked to wait, if it did.
    """

    client: NexusClient
    intent: Intent
    deadline: Deadline
    trail: Trail
    in_doubt: bool
    as_fence: bool = False
    content: bytes = field(init=False)
    asked_to_wait: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.content = self.intent.content
        if self.as_fence:
            self._become_fence()

    async def proven(self) -> CommitResult:
        """Write until it is proven to have landed, or that it cannot.

        Raises:
            NexusError: A marker of the intent could not be written; nothing else was sent.
        """
        last, patience = self.as_fence, self.deadline
        if not last:
            if self.intent.prepared is None:
                await self.prepare()
            else:
                await self._write_markers(without=self.intent.prepared.markers)
            patience = self.deadline.keeping(self.deadline.remaining / 3)  # kept for the fence
        attempt = 1
        while True:
            if result := await self._send() or await self._look():
                if self.as_fence and isinstance(result, Aborted) and result.proof is Proof.FENCED:
                    publish((), FenceLanded, self.intent.path)
                if follows := self._follows():
                    await follows
                return result
            if await self._may_go_on(attempt, patience):
                attempt += 1
            elif not self.in_doubt:
                return Aborted(Proof.NEVER_SENT)
            elif last:
                return Unknown("neither it nor a fence could be proven")
            else:
                self._become_fence()
                last, patience, attempt = True, self.deadline, 1

    def prepare(self) -> Awaitable[object]:
        """Write the markers of the intent, and whatever else comes before a commit.

        Raises:
            NexusError: They could not be written.
        """
        return self._write_markers()

    def _write_markers(self, without: Sequence[str] = ()) -> Awaitable[object]:
        left = [each for each in self.intent.markers if each not in without]
        return self.client.write_many(dict.fromkeys(left, b""), deadline=self.deadline)

    @property
    def prepared(self) -> Prepared:
        """What was done ahead."""
        return Prepared(markers=self.intent.markers)

    async def _may_go_on(self, attempt: int, patience: Deadline) -> bool:
        """Pause before another attempt, unless there have been enough, or the time is over."""
        retries = self.client.retries
        enough = attempt >= retries.attempts
        return not enough and await retries.rest(attempt, patience, self.asked_to_wait)

    def _become_fence(self) -> None:
        """Write the fence from now on."""
        publish((), FenceWritten, self.intent.path)
        self.as_fence = True
        self.content = documents.encode(self.intent.fence, self.intent.encoding)

    @abstractmethod
    async def _send(self) -> CommitResult | None:
        """Write once; what its answer alone proves, if anything."""

    @abstractmethod
    async def _look(self) -> CommitResult | None:
        """Look what is there; what it proves, if anything."""

    def _follows(self) -> Awaitable[None] | None:
        """What is to be written after what was proven, if anything is."""
        return None

    # What is proven

    def _refused(self, error: NexusError) -> Aborted | None:
        """The proof of absence that an answer is, if nothing sent before is open."""
        self.asked_to_wait = error.retry_after
        proof = PROOF_OF_ABSENCE.get(error.disposition)
        return Aborted(proof) if proof and not self.in_doubt else None

    def _doubted(self, error: NexusError | None = None) -> None:
        """From now on what was sent may have landed, whatever was answered."""
        if error and error.says_nothing and not self.in_doubt:
            lost_answer()
        self.in_doubt = True

    def _found(self, document: Document) -> CommitResult | None:
        """What `document` proves if its history names the operation."""
        record = document.history.find(self.intent.record.key)
        if record is None:
            return None
        self._saw("read", f"the history names the operation{' as aborted' * record.aborted}")
        if record.aborted:
            return Aborted(Proof.FENCED, document)
        return Committed(document, Proof.IN_HISTORY)

    def _unreadable(self, error: UnreadableDocumentError) -> CommitResult:
        self._saw("read", str(error))
        return Unknown(str(error)) if self.in_doubt else Aborted(Proof.NEVER_SENT)

    @abstractmethod
    def _saw(self, action: str, answer: str) -> None:
        """Note one thing that was done and what came of it."""


class CommitsByProvenWrite(ABC):
    """The commits of a strategy whose commits are proven writes."""

    async def ready(self, deadline: Deadline) -> None:  # noqa: B027 - of those that need nothing
        """Nothing is to be made sure of."""

    def commit(
        self, intent: Intent, deadline: Deadline, trail: Trail, *, in_doubt: bool
    ) -> Awaitable[CommitResult]:
        """Carry `intent` to a proven end: landed, or fenced off.

        Raises:
            NexusError: A marker could not be written; nothing else was sent.
        """
        return self._write(intent, deadline, trail, in_doubt=in_doubt).proven()

    def abort(self, intent: Intent, deadline: Deadline, trail: Trail) -> Awaitable[CommitResult]:
        """Fence `intent` off, unless it turns out to have landed."""
        return self._write(intent, deadline, trail, in_doubt=True, as_fence=True).proven()

    async def prepare(self, intent: Intent, deadline: Deadline) -> Intent:
        """Do what can be done ahead of committing `intent`.

        Raises:
            NexusError: It could not be done; committing it is no less possible for that.
        """
        write = self._write(intent, deadline, Trail(), in_doubt=False)
        await write.prepare()
        return replace(intent, prepared=write.prepared)

    @abstractmethod
    def _write(
        self,
        intent: Intent,
        deadline: Deadline,
        trail: Trail,
        *,
        in_doubt: bool,
        as_fence: bool = False,
    ) -> ProvenWrite:
        """The write that is to be proven, of `intent` or of its fence."""
