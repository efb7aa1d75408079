"""ConditionalCommit: the server's own `if_match` / `if_none_match`, resolved until proven."""

from __future__ import annotations

from dataclasses import dataclass, field

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus import documents
from nexus_bounty.nexus.client import File, NexusClient, etags
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.commit.evidence import keeps_evidence
from nexus_bounty.nexus.commit.files import FileLocks, FileReads, NoLeftovers
from nexus_bounty.nexus.commit.proven_write import CommitsByProvenWrite, ProvenWrite
from nexus_bounty.nexus.documents import (
    BelievedFile,
    Document,
    DocumentReader,
    UnreadableDocumentError,
)
from nexus_bounty.nexus.documents.commits import (
    Aborted,
    CommitResult,
    Committed,
    Intent,
    Leftovers,
    Locks,
    Superseded,
    Trail,
    Unknown,
)
from nexus_bounty.nexus.documents.signing import Signer
from nexus_bounty.outcomes import Proof


class ConditionalCommit(CommitsByProvenWrite):
    """Commits by the server's own preconditions; safe where the server checks them atomically."""

    def __init__(self, client: NexusClient) -> None:
        self._client = client
        self.reads = FileReads(client)
        self.locks: Locks = FileLocks(client)
        self.leftovers: Leftovers = NoLeftovers()

    def _write(
        self,
        intent: Intent,
        deadline: Deadline,
        trail: Trail,
        *,
        in_doubt: bool,
        as_fence: bool = False,
    ) -> ProvenWrite:
        return _ConditionalWrite(
            client=self._client,
            intent=intent,
            deadline=deadline,
            trail=trail,
            in_doubt=in_doubt,
            as_fence=as_fence,
            reader=self.reads,
        )


@dataclass(slots=True, kw_only=True)
class _ConditionalWrite(ProvenWrite):
    """One conditional write of a document's file."""

    reader: DocumentReader
    told: File | None = field(default=None, init=False)
    """What the server said that it had stored, under an etag that is no hash of it."""

    async def _send(self) -> CommitResult | None:
        self.asked_to_wait = None
        base = self.intent.base
        if base is not None and not base.file.etag:
            return None  # read before the verdict was known: to be seen with its etag first
        try:
            etag = await self.client.write(
                self.intent.path,
                self.content,
                if_match=base.file.etag if base else None,
                if_none_match=base is None,
                deadline=self.deadline,
            )
        except NexusError as error:
            self._wrote(error.answer)
            refusal = self._refused(error)
            if refusal is None:
                self._doubted(error)
            return refusal
        return self._acknowledged(etag)

    def _acknowledged(self, etag: str | None) -> CommitResult | None:
        if etag is None or not etags.speaks_for(etag, self.content):
            self._doubted()
            self.told = File(self.intent.path, self.content, etag)
            self._wrote(f"acknowledged, with {'another' if etag else 'no'} etag: not believed yet")
            return None
        self._wrote("acknowledged with the etag of the bytes sent")
        if self.as_fence:
            fence = BelievedFile(self.intent.path, self.content, etag)
            signer = Signer.of(self.client.settings)
            return Aborted(Proof.FENCED, documents.decode(fence, signer))
        return Committed(self.intent.stored_as(etag), Proof.ACKNOWLEDGED)

    async def _look(self) -> CommitResult | None:
        try:
            document = await self.reader.read(self.intent.path, self.deadline, self.told)
        except NexusError as error:
            self._saw("read", error.answer)
            return None
        except UnreadableDocumentError as error:
            return self._unreadable(error)
        return self._judge(document)

    def _judge(self, document: Document | None) -> CommitResult | None:
        if document and (found := self._found(document)):
            return found
        if not self.in_doubt:  # nothing was sent
            self._saw("read", "to be written over what is there now")
            return Superseded(document) if document else Aborted(Proof.NEVER_SENT)
        if not _has_moved(self.intent.base, document):
            self._saw("read", "as before: the write has not landed yet")
            return None
        if document is not None and keeps_evidence(self.intent.base, document):
            self._saw("read", "another write took its place")
            return Superseded(document)
        self._saw("read", "changed, and the evidence is gone")
        return Unknown("the document changed and no longer keeps the evidence of what landed")

    def _wrote(self, answer: str) -> None:
        precondition = "if_match" if self.intent.base else "if_none_match"
        what = "fence" if self.as_fence else "write"
        self._saw(f"{what} {precondition}", answer)

    def _saw(self, action: str, answer: str) -> None:
        self.trail.saw(action, self.intent.path, answer)


def _has_moved(base: Document | None, document: Document | None) -> bool:
    # not by etags alone: there are servers on which they stay the same when the content changes
    return (base.file if base else None) != (document.file if document else None)
