"""ConditionalCommit: the server's own `if_match` / `if_none_match`, resolved until proven.

A read alone proves nothing: a request that timed out may still be under way and land after it.
So what is ambiguous is resolved by looking for the operation in the document's history and, when
it is not there, by repeating the same conditional write. That is its own fence: once it or a
competitor lands, the stray one can never match. When giving up, a fence is written in its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events import FenceWritten
from nexus_bounty.events.stream import publish
from nexus_bounty.events.tracking import lost_answer
from nexus_bounty.nexus import documents
from nexus_bounty.nexus.client import File, NexusClient, etags
from nexus_bounty.nexus.client.classification import Disposition
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.commit.evidence import keeps_evidence
from nexus_bounty.nexus.commit.file_backend import FileBackend
from nexus_bounty.nexus.documents import Document, DocumentReader, UnreadableDocumentError
from nexus_bounty.nexus.documents.commits import (
    Aborted,
    CommitResult,
    Committed,
    Intent,
    Superseded,
    Trail,
    Unknown,
)
from nexus_bounty.outcomes import Proof

_PROOF_OF_ABSENCE = {
    Disposition.NEVER_SENT: Proof.NEVER_SENT,
    Disposition.REFUSED: Proof.REFUSED,
}


class ConditionalCommit(FileBackend):
    """Commits by the server's own preconditions; safe where the server checks them atomically."""

    async def commit(
        self, intent: Intent, deadline: Deadline, trail: Trail, *, in_doubt: bool
    ) -> CommitResult:
        """Write `intent` and resolve every doubt about it, or fence it off."""
        # a third of the time is kept for the fence
        patience = deadline.keeping(deadline.remaining / 3)
        write = _ConditionalWrite(
            self._client, self._reader, intent, deadline, trail, in_doubt=in_doubt
        )
        return await write.until(patience) or await self._fence(intent, deadline, trail)

    async def abort(self, intent: Intent, deadline: Deadline, trail: Trail) -> CommitResult:
        """Write the fence of `intent`, unless it turns out to have landed."""
        return await self._fence(intent, deadline, trail)

    async def _fence(self, intent: Intent, deadline: Deadline, trail: Trail) -> CommitResult:
        publish((), FenceWritten, intent.path)
        fence = _ConditionalWrite(
            self._client, self._reader, intent, deadline, trail, in_doubt=True, as_fence=True
        )
        return await fence.until(deadline) or Unknown("neither it nor a fence could be proven")


@dataclass(slots=True)
class _ConditionalWrite:
    """One conditional write, of an intent or of its fence, repeated until something is proven."""

    client: NexusClient
    reader: DocumentReader
    intent: Intent
    deadline: Deadline
    trail: Trail
    in_doubt: bool
    as_fence: bool = False
    asked_to_wait: float | None = None
    told: File | None = None
    """What the server said that it had stored, under an etag that is no hash of it."""

    async def until(self, patience: Deadline) -> CommitResult | None:
        """The proven end, or `None` if there is none before `patience` ends."""
        retries = self.client.retries
        for attempt in range(1, retries.attempts + 1):
            if result := await self._write() or await self._look():
                return result
            if not await retries.rest(attempt, patience, self.asked_to_wait):
                break
        return None

    async def _write(self) -> CommitResult | None:
        """Send the write once; what its answer alone proves, if anything."""
        content = self._content
        self.asked_to_wait = None
        try:
            etag = await self.client.write(
                self.intent.path,
                content,
                if_match=self.intent.base.etag if self.intent.base else None,
                if_none_match=self.intent.base is None,
                deadline=self.deadline,
            )
        except NexusError as error:
            return self._unacknowledged(error)
        if etag is not None and etags.speaks_for(etag, content):
            self._saw("acknowledged with the etag of the bytes sent")
            document = documents.decode(self.intent.path, content, etag)
            if self.as_fence:
                return Aborted(Proof.FENCED, document)
            return Committed(document, Proof.ACKNOWLEDGED)
        self.in_doubt = True
        self.told = File(self.intent.path, content, etag)
        self._saw(f"acknowledged, with {'another' if etag else 'no'} etag: not believed yet")
        return None

    def _unacknowledged(self, error: NexusError) -> CommitResult | None:
        self._saw(error.answer)
        self.asked_to_wait = error.retry_after
        proof = _PROOF_OF_ABSENCE.get(error.disposition)
        if proof and not self.in_doubt:
            return Aborted(proof)
        if error.says_nothing and not self.in_doubt:
            lost_answer()
        self.in_doubt = True
        return None

    async def _look(self) -> CommitResult | None:
        """Read the document; what it proves, if anything."""
        try:
            document = await self.reader.read(self.intent.path, self.deadline, self.told)
        except NexusError as error:
            self.trail.saw("read", self.intent.path, error.answer)
            return None
        except UnreadableDocumentError as error:
            self.trail.saw("read", self.intent.path, str(error))
            return Unknown(str(error))
        return self._judge(document)

    def _judge(self, document: Document | None) -> CommitResult | None:
        record = document.history.find(self.intent.record.key) if document else None
        if document and record:
            self._read(f"the history names the operation{' as aborted' * record.aborted}")
            if record.aborted:
                return Aborted(Proof.FENCED, document)
            return Committed(document, Proof.IN_HISTORY)
        if not _has_moved(self.intent.base, document):
            self._read("as before: the write has not landed yet")
            return None
        if document is not None and keeps_evidence(self.intent.base, document):
            self._read("another write took its place")
            return Superseded(document)
        self._read("changed, and the evidence is gone")
        return Unknown("the document changed and no longer keeps the evidence of what landed")

    @property
    def _content(self) -> bytes:
        value = self.intent.fence if self.as_fence else self.intent.value
        return documents.encode(value, self.intent.encoding)

    def _saw(self, answer: str) -> None:
        precondition = "if_match" if self.intent.base else "if_none_match"
        what = "fence" if self.as_fence else "write"
        self.trail.saw(f"{what} {precondition}", self.intent.path, answer)

    def _read(self, answer: str) -> None:
        self.trail.saw("read", self.intent.path, answer)


def _has_moved(base: Document | None, document: Document | None) -> bool:
    return (base.etag if base else None) != (document.etag if document else None)
