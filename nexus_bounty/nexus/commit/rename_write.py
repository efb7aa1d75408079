"""One bid for the slot after a document: by an intent or its fence, repeated until proven.

What is proven is always read from the slot. Only a first bid whose rename was definitely refused,
or never sent at all, needs no look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events import FenceWritten
from nexus_bounty.events.stream import publish
from nexus_bounty.events.tracking import lost_answer
from nexus_bounty.idempotency import with_record
from nexus_bounty.nexus import documents
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Disposition
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.commit.evidence import keeps_evidence
from nexus_bounty.nexus.commit.log import CommitLog, slot
from nexus_bounty.nexus.commit.slots import Slots
from nexus_bounty.nexus.documents import Document, UnreadableDocumentError
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


@dataclass(slots=True)
class Bid:
    """Tries to win the slot after `intent.base`.

    `in_doubt` says that a rename of this operation may be under way or have been.
    """

    client: NexusClient
    slots: Slots
    log: CommitLog
    intent: Intent
    deadline: Deadline
    trail: Trail
    in_doubt: bool
    as_fence: bool = False
    base_checked: bool = False
    asked_to_wait: float | None = None

    async def until(self, patience: Deadline) -> CommitResult | None:
        """The proven end, or `None` if there is none before `patience` ends."""
        retries = self.client.retries
        for attempt in range(1, retries.attempts + 1):
            if result := await self._try():
                return result
            if not await retries.rest(attempt, patience, self.asked_to_wait):
                break
        return None if self.in_doubt else Aborted(Proof.NEVER_SENT)

    async def _try(self) -> CommitResult | None:
        self.asked_to_wait = None
        if not self.base_checked and (result := await self._check_base()):
            return result
        if self.base_checked and (refusal := await self._bid()):
            return refusal
        return await self._look() if self.in_doubt else None

    # Staging and renaming

    async def _bid(self) -> Aborted | None:
        """Stage and rename; what that alone proves, if anything."""
        path, key = self.intent.path, self.intent.record.key
        content = documents.encode(self._value, self.intent.encoding)
        try:
            staged = await self.slots.stage(path, key, content, self.deadline)
        except NexusError as error:
            return self._not_acknowledged("stage", error)
        try:
            await self.slots.take(staged, self._slot, self.deadline)
        except NexusError as error:
            if refusal := self._not_acknowledged("rename", error):
                return refusal
        else:
            self._saw("rename", "acknowledged: not believed yet")
        self.in_doubt = True
        return None

    def _not_acknowledged(self, action: str, error: NexusError) -> Aborted | None:
        self._saw(action, error.answer)
        self.asked_to_wait = error.retry_after
        proof = _PROOF_OF_ABSENCE.get(error.disposition)
        if action == "rename" and error.says_nothing and not self.in_doubt:
            lost_answer()
        return Aborted(proof) if proof and not self.in_doubt else None

    # Judging

    async def _check_base(self) -> CommitResult | None:
        """Compare the base with the file: others may have moved on, or changed it past the slots.

        Also rejects a base whose slots were collected.
        """
        path = self.intent.path
        try:
            file = await self.log.file(path, self.deadline)
            if file is None or self._leaves_room(file):
                self.base_checked = True
                return None
            newest = await self.log.newest(path, file, self.deadline)
        except NexusError as error:
            self._saw("read", error.answer)
            return None
        except UnreadableDocumentError as error:
            return self._unreadable(error)
        return self._judge(newest or file)

    def _leaves_room(self, file: Document) -> bool:
        """Whether `file` is the base, or lags behind it."""
        base = self.intent.base
        if base is None:
            return False
        return file.history.seq < base.history.seq or file.content == base.content

    def _judge(self, newest: Document) -> CommitResult | None:
        """What a document proves that is not the base any more."""
        if record := newest.history.find(self.intent.record.key):
            return self._found(newest, aborted=record.aborted)
        if newest.history.seq < self.intent.record.seq and self.in_doubt:
            self._saw("read", "another program changed the file: the slot is still to be fenced")
            self._fence_over(newest)
            return None
        if self.in_doubt and not keeps_evidence(self.intent.base, newest):
            return Unknown("the document moved on and no longer keeps the evidence of what landed")
        self._saw("read", "another write took its place")
        return Superseded(newest)

    def _fence_over(self, newest: Document) -> None:
        """Go on as a fence over `newest`, for the same slot."""
        publish((), FenceWritten, newest.path)
        record = msgspec.structs.replace(self.intent.record, aborted=True)
        fence = with_record(newest.value, record, marker_seq=newest.history.marker_seq)
        self.intent = replace(self.intent, base=newest, fence=fence, encoding=newest.encoding)
        self.as_fence = self.base_checked = True

    async def _look(self) -> CommitResult | None:
        """Read the slot; what it proves, if anything."""
        path, key = self.intent.path, self.intent.record.key
        try:
            won = await self.log.at(path, self.intent.record.seq, self.deadline)
            if won is None:
                self._saw("read", "the slot is still free")
                return None
            if record := won.history.find(key):
                await self.log.follow(won, self.deadline)
                return self._found(won, aborted=record.aborted)
            newest = await self.log.newest(path, won, self.deadline)
        except NexusError as error:
            self._saw("read", error.answer)
            return None
        except UnreadableDocumentError as error:
            return self._unreadable(error)
        return self._judge(newest or won)

    def _found(self, document: Document, *, aborted: bool) -> CommitResult:
        self._saw("read", f"the history names the operation{' as aborted' * aborted}")
        if aborted:
            return Aborted(Proof.FENCED, document)
        return Committed(document, Proof.IN_HISTORY)

    def _unreadable(self, error: UnreadableDocumentError) -> CommitResult:
        self._saw("read", str(error))
        return Unknown(str(error)) if self.in_doubt else Aborted(Proof.NEVER_SENT)

    @property
    def _slot(self) -> str:
        return slot(self.intent.path, self.intent.record.seq)

    @property
    def _value(self) -> Mapping[str, Any]:
        return self.intent.fence if self.as_fence else self.intent.value

    def _saw(self, action: str, answer: str) -> None:
        what = "fence: " if self.as_fence else ""
        self.trail.saw(f"{what}{action}", self._slot, answer)
