"""Resolvers that look right and are not: each must be caught by the exhaustive suite."""

from __future__ import annotations

from nexus_bounty import NexusError, Proof
from nexus_bounty.deadlines import Deadline
from nexus_bounty.idempotency import History
from nexus_bounty.nexus.commit.conditional import ConditionalCommit
from nexus_bounty.nexus.documents import Document
from nexus_bounty.nexus.documents.commits import (
    Aborted,
    CommitResult,
    Committed,
    Intent,
    Superseded,
    Trail,
)


class _Naive(ConditionalCommit):
    async def abort(self, intent: Intent, deadline: Deadline, trail: Trail) -> CommitResult:
        raise NotImplementedError

    async def _written(self, intent: Intent, deadline: Deadline) -> Document:
        await self._client.write_many(dict.fromkeys(intent.markers, b""), deadline=deadline)
        etag = await self._client.write(
            intent.path,
            intent.content,
            if_match=intent.base.file.etag if intent.base else None,
            if_none_match=intent.base is None,
            deadline=deadline,
        )
        return intent.stored_as(etag or "")


class UnfencedCommit(_Naive):
    """Resolves doubt by a read alone: what is not there now "did not happen"."""

    async def commit(
        self, intent: Intent, deadline: Deadline, trail: Trail, *, in_doubt: bool
    ) -> CommitResult:
        try:
            return Committed(await self._written(intent, deadline), Proof.ACKNOWLEDGED)
        except NexusError:
            document = await self.reads.read(intent.path, deadline)
        history = document.history if document else History()
        if document and history.find(intent.record.key):
            return Committed(document, Proof.IN_HISTORY)
        if document and (intent.base is None or document.file.etag != intent.base.file.etag):
            return Superseded(document)
        return Aborted(Proof.REFUSED)


class TrustingCommit(_Naive):
    """Believes every acknowledgement, and that every error means "did not happen"."""

    async def commit(
        self, intent: Intent, deadline: Deadline, trail: Trail, *, in_doubt: bool
    ) -> CommitResult:
        try:
            return Committed(await self._written(intent, deadline), Proof.ACKNOWLEDGED)
        except NexusError:
            return Aborted(Proof.REFUSED)
