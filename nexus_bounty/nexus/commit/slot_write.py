"""One write of the slot after a document: by an intent or its fence, repeated until proven.

What is not acknowledged is read from the slot. Only a first try that was definitely refused, or
never sent at all, needs no look.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field, replace

import msgspec

from nexus_bounty.idempotency import with_record
from nexus_bounty.nexus import documents
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.commit.evidence import keeps_evidence
from nexus_bounty.nexus.commit.log import CommitLog, slot
from nexus_bounty.nexus.commit.proven_write import ProvenWrite
from nexus_bounty.nexus.commit.slots import WITHOUT_ETAG, Slots
from nexus_bounty.nexus.documents import BelievedFile, Document, UnreadableDocumentError
from nexus_bounty.nexus.documents.commits import (
    Aborted,
    CommitResult,
    Committed,
    Intent,
    Prepared,
    Superseded,
    Unknown,
)
from nexus_bounty.outcomes import Proof
from nexus_bounty.together import both


@dataclass(slots=True, kw_only=True)
class SlotWrite(ProvenWrite):
    """Tries to win the slot after `intent.base`."""

    slots: Slots
    log: CommitLog
    staged: str | None = field(default=None, init=False)
    base_checked: bool = field(default=False, init=False)
    moved_on: CommitResult | None = field(default=None, init=False)
    expected: Intent | None = field(default=None, init=False)
    won: Document | None = field(default=None, init=False)
    """What the slot was won with, by this or by an earlier attempt."""

    def __post_init__(self) -> None:
        super(SlotWrite, self).__post_init__()
        fresh = self.intent.base_is_fresh
        # what was read just now needs no second look before it is fenced; nor does any base that
        # others see late anyway: others of ours are kept out by the slot
        self.base_checked = fresh and (self.as_fence or not self.intent.promptly)
        if (prepared := self.intent.prepared) and not self.as_fence:
            self.staged, self.expected = prepared.staged, prepared.expected
            self.base_checked = self.base_checked or prepared.base_checked

    async def prepare(self) -> None:
        """Write the markers and what is to be renamed in one request, and look at the base.

        Raises:
            NexusError: They could not be written. What is only staged is never renamed.
        """
        if self.base_checked:
            await self._stage()
        else:
            _, self.moved_on = await both(self._stage(), self._check_base())

    async def _stage(self) -> None:
        """Stage the intent, and the one expected next with it."""
        intent, expected = self.intent, self.intent.expected
        after = None
        if expected is not None and self.slots.are_staged_together:
            after = expected(intent.stored_as(WITHOUT_ETAG))
        contents = {each.record.key: each.content for each in (intent, after) if each is not None}
        staged = await self.slots.stage(intent.path, contents, self.deadline, intent.markers)
        self.staged = staged.get(intent.record.key)
        if after is not None:
            self.expected = replace(after, prepared=Prepared(staged[after.record.key]))

    @property
    def prepared(self) -> Prepared:
        """What was done ahead."""
        return Prepared(self.staged, self.base_checked, self.intent.markers, self.expected)

    async def _send(self) -> CommitResult | None:
        """Stage and rename, if the base still stands."""
        self.asked_to_wait = None
        if not self.base_checked and (result := self.moved_on or await self._check_base()):
            return result
        if not self.base_checked:
            return None
        path, key = self.intent.path, self.intent.record.key
        doing = "stage"
        try:
            staged, self.staged = self.staged, None
            if staged is None or self.as_fence:
                contents = {key: self.content}
                staged = (await self.slots.stage(path, contents, self.deadline)).get(key)
            doing = "rename" if staged else "create"
            await self.slots.take(staged, self._slot, self.content, self.deadline)
        except NexusError as error:
            return self._not_acknowledged(doing, error)
        self._saw(doing, "acknowledged")
        document = self.won = self._document
        if self.as_fence:
            return Aborted(Proof.FENCED, document)
        return Committed(document, Proof.ACKNOWLEDGED, self.expected)

    def _follows(self) -> Awaitable[None] | None:
        """The file, where the slot is ours; nobody needs to see a fence at once."""
        if self.won is None:
            return None
        promptly = self.intent.promptly and not self.as_fence
        return self.log.follow(self.won, self.deadline, promptly=promptly)

    def _not_acknowledged(self, doing: str, error: NexusError) -> CommitResult | None:
        self._saw(doing, error.answer)
        refusal = self._refused(error)
        if refusal is None and doing != "stage":  # what is only staged is never renamed
            self._doubted(error)
        return refusal

    def _become_fence(self) -> None:
        super(SlotWrite, self)._become_fence()
        self.base_checked = False

    # Judging

    async def _check_base(self) -> CommitResult | None:
        """Compare the base with the file: others may have moved on, or changed it past the slots.

        It also keeps out who remembers a base of which the slots are no longer kept.
        """
        path = self.intent.path
        try:
            if self.intent.base is None and not await self.log.has_file(path, self.deadline):
                self.base_checked = True
                return None
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
        return file.history.seq < base.history.seq or file.file.content == base.file.content

    def _judge(self, newest: Document) -> CommitResult | None:
        """What a document proves that is not the base any more."""
        if found := self._found(newest):
            return found
        if self.in_doubt and newest.untrusted is not None:
            return Unknown(f"{newest.untrusted}: nobody can tell what landed")
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
        record = msgspec.structs.replace(self.intent.record, aborted=True)
        record = self.log.signer.signed(newest.path, record, newest.value, tombstone=False)
        fence = with_record(newest.value, record, marker_seq=newest.history.marker_seq)
        self.intent = replace(self.intent, base=newest, fence=fence, encoding=newest.encoding)
        self._become_fence()
        self.base_checked = True

    async def _look(self) -> CommitResult | None:
        """Read the slot, if something may have won it for this operation."""
        if not self.in_doubt:
            return None
        path = self.intent.path
        try:
            won = await self.log.at(path, self.intent.record.seq, self.deadline)
            if won is None:
                self._saw("read", "the slot is still free")
                return None
            if self.intent.base is None:  # what an earlier call created may have gone on since
                won = await self.log.newest(path, won, self.deadline) or won
            if found := self._found(won):
                self.won = won
                return found
            newest = await self.log.newest(path, won, self.deadline)
        except NexusError as error:
            self._saw("read", error.answer)
            return None
        except UnreadableDocumentError as error:
            return self._unreadable(error)
        return self._judge(newest or won)

    @property
    def _document(self) -> Document:
        """What the slot holds that this has won."""
        if self.as_fence:
            file = BelievedFile(self.intent.path, self.content, WITHOUT_ETAG)
            return documents.decode(file, self.log.signer)
        return self.intent.stored_as(WITHOUT_ETAG)

    @property
    def _slot(self) -> str:
        return slot(self.intent.path, self.intent.record.seq)

    def _saw(self, action: str, answer: str) -> None:
        what = "fence: " if self.as_fence else ""
        self.trail.saw(f"{what}{action}", self._slot, answer)
