"""Carries operations on documents to a definite end, or says plainly that there is none.

Shared by every store on Nexus. It turns the results of a commit strategy into the outcome errors,
and remembers which keys have been tried before: for those a later "never sent" proves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, Self, TypeVar

from nexus_bounty.bounded_set import BoundedSet
from nexus_bounty.events.stream import Observers
from nexus_bounty.events.tracking import may_land, proved, superseded, tracked
from nexus_bounty.events.types import Place
from nexus_bounty.idempotency import (
    History,
    fingerprint,
    new_key,
    with_record,
)
from nexus_bounty.keyed_locks import KeyedLocks
from nexus_bounty.models import utc_now
from nexus_bounty.nexus import documents
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.nexus.documents import Document, UnreadableDocumentError, is_tombstone
from nexus_bounty.nexus.documents.ahead import DoneAhead
from nexus_bounty.nexus.documents.cache import DocumentMemory
from nexus_bounty.nexus.documents.commits import (
    Aborted,
    CommitResult,
    CommitStrategy,
    Committed,
    Intent,
    StrategyChoice,
    Superseded,
    Unknown,
)
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.signing import Signer
from nexus_bounty.outcomes import (
    CommitUnknownError,
    IdempotencyMismatchError,
    InvalidInputError,
    OtherOperation,
    Outcome,
    PreCommitError,
    Proof,
    UnsupportedServerError,
    UntrustedDocumentError,
)
from nexus_bounty.validation import check_key

RecordT = TypeVar("RecordT")
Commit = Callable[[Intent], Awaitable[CommitResult]]

_WHY_ABORTED: Final = {
    Proof.NEVER_SENT: "the request could not be sent",
    Proof.REFUSED: "the server refused",
    Proof.FENCED: "it had not landed in time, and was fenced off so that it never will",
}


@dataclass(frozen=True, slots=True)
class Change:
    """A document after an operation, and before it: `None` if it had been done by then.

    `markers` were written ahead of it.
    """

    before: Document | None
    after: Document
    markers: tuple[str, ...] = ()


class DocumentWriter:
    """Runs operations on documents through the commit strategy of their zone.

    Args:
        client: Where the documents are.
        zone_id: The zone that they are in.
        choice: Knows how they are committed.
        clock: The current time, aware.
        observers: Told of its operations, as are those of the client.
    """

    def __init__(
        self,
        client: NexusClient,
        zone_id: str,
        choice: StrategyChoice,
        clock: Callable[[], datetime] = utc_now,
        observers: Observers = (),
    ) -> None:
        self._client = client
        self._place = Place(client.server, zone_id)
        self._observers = (*client.observers, *observers)
        self._choice = choice
        self.clock = clock
        self.promptly = True
        self._signer = Signer.of(client.settings)
        self._attempts = BoundedSet()  # what has happened, or may have, or may yet
        self._locks = KeyedLocks()
        self._ahead = DoneAhead(client.round_trips)

    def leaving_files(self, *, later: bool) -> Self:
        """The same writer, which lets files follow their commits `later`, or at once.

        Where a file is all there is to a document, there is nothing to follow.
        """
        other = copy(self)
        other.promptly = not later or self._client.settings.follow_at_once
        return other

    @asynccontextmanager
    async def operation(
        self,
        name: str,
        kind: str,
        record_id: str,
        parameters: Mapping[str, Any],
        key: str | None,
    ) -> AsyncIterator[Operation]:
        """An operation, from its beginning to its end; a fresh key is made when none is given.

        Calls with one key wait for each other: what refuses the one says nothing about another
        that is under way.

        Raises:
            InvalidInputError: The key is not usable (pre-commit).
            PreCommitError: The client belongs to another event loop; nothing was done.
            CommitUnknownError: It does, and an earlier attempt may have landed.
        """
        identity = record_id, self.key(key)
        with tracked("store", name, *identity, self._observers, place=self._place):
            self._check_home(name, kind, record_id, parameters, identity[1])
            async with self._locks.of(identity):
                yield self.planned(name, kind, record_id, parameters, identity[1])

    def key(self, given: str | None) -> str:
        """The key of a call: `given`, checked, or a new one.

        Raises:
            InvalidInputError: It is not usable (pre-commit).
        """
        if given is None:
            return new_key(self._client.random)
        check_key(given)
        return given

    def _check_home(
        self, name: str, kind: str, record_id: str, parameters: Mapping[str, Any], key: str
    ) -> None:
        """Refuse to wait for another call with the key in two event loops."""
        try:
            self._client.check_home(name, record_id)
        except NexusError as error:
            refused = self.planned(name, kind, record_id, parameters, key)
            raise refused.stopped_by(error, "begin") from error

    def planned(
        self,
        name: str,
        kind: str,
        record_id: str,
        parameters: Mapping[str, Any],
        key: str | None = None,
    ) -> Operation:
        """An operation that has not begun; with a fresh key if none is given."""
        if key is None:
            key = self.key(None)
        return Operation(
            name=name,
            kind=kind,
            record_id=record_id,
            key=key,
            fingerprint=fingerprint(kind, {"id": record_id, **parameters}),
            deadline=self._client.deadline(),
            in_doubt=(record_id, key) in self._attempts,
        )

    async def work_ahead(
        self, operation: Operation, intent: Intent, *, keyless: bool = False
    ) -> None:
        """Do ahead what `operation` will begin with, should it begin soon.

        What is in the way of that, the operation itself will say. One that will be called
        `keyless` asks for `key_ahead`.
        """
        with suppress(NexusError, UnsupportedServerError):
            strategy = await self._choice.for_writing(operation.deadline)
            prepared = await self.prepare(strategy, operation, intent.announced())
            self._ahead.keep(prepared, keyless=keyless)

    def key_ahead(self, path: str, kind: str) -> str | None:
        """The key of what was done ahead for an operation that is called without one; once."""
        return self._ahead.key_of(path, kind)

    async def prepare(
        self, strategy: CommitStrategy, operation: Operation, intent: Intent
    ) -> Intent:
        """`intent`, with done ahead what can be; where that fails, its commit tries again."""
        try:
            return await strategy.prepare(intent, operation.deadline)
        except NexusError:
            return intent

    async def ready(self, operation: Operation) -> CommitStrategy:
        """What commits safely on this server, asked for before anything is written.

        The time that it takes is not the operation's: to probe a server, or to take a zone for
        one process, has bounds of its own.

        Raises:
            UnsupportedServerError: They are not (pre-commit).
            CommitUnknownError: They are not, and an earlier attempt may be under way.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            strategy = await self._choice.for_writing(operation.deadline)
        except UnsupportedServerError as error:
            if operation.in_doubt:
                raise operation.unknown(error.message) from error
            raise error.about(operation.name, operation.record_id, operation.key) from None
        except NexusError as error:
            raise operation.stopped_by(error, "find out how to commit on this server") from error
        operation.deadline = operation.deadline.put_off(clock() - began)
        return strategy

    async def read(self, operation: Operation, path: str) -> Document | None:
        """The document that `operation` is about.

        Raises:
            PreCommitError: It could not be read, so that nothing was sent.
            CommitUnknownError: The same, but an earlier attempt may be under way.
        """
        try:
            strategy = await self._choice.for_reading(operation.deadline)
            return await strategy.reads.read(path, operation.deadline)
        except (NexusError, UnreadableDocumentError) as error:
            raise operation.stopped_by(error, "read the document") from error

    async def seen_first(self, operation: Operation, path: str) -> Document | None:
        """What is in the place of what `operation` creates, looked for before it writes anything.

        `None` if nothing is, which its commit need not look for again, or if that cannot be read:
        its commit meets it, too, and knows what it means. So it does what says nothing of an
        earlier attempt that may have landed.
        """
        try:
            reads = (await self._choice.for_reading(operation.deadline)).reads
            if await reads.is_absent(path, operation.deadline):
                operation.base_is_fresh = not operation.in_doubt
                return None
            found = await reads.read(path, operation.deadline)
        except (NexusError, UnreadableDocumentError):
            return None
        says_nothing = found is None or found.history.find(operation.key) is None
        return None if operation.in_doubt and says_nothing else found

    def recall(self, operation: Operation, history: History) -> bool:
        """Whether `history` says that `operation` was committed before.

        Raises:
            IdempotencyMismatchError: Its key stands for another operation.
            PreCommitError: It was aborted before; its key is used up.
        """
        record = history.find(operation.key)
        if record is None:
            return False
        if record.aborted:  # whatever it was fenced off as: `resolve_operation` cannot know
            raise operation.error(
                PreCommitError, Proof.FENCED, "this key's operation was aborted earlier"
            )
        if record.fingerprint != operation.fingerprint:
            raise operation.error(
                IdempotencyMismatchError,
                Proof.IN_HISTORY,
                f"the key stands for an earlier {record.kind!r} with other parameters",
                other=OtherOperation(
                    kind=record.kind,
                    idempotency_key=record.key,
                    record_id=operation.record_id,
                    at=record.at,
                    outcome=Outcome.COMMITTED,
                ),
            )
        self._attempts.add(operation.identity)
        operation.in_doubt = True  # whatever cannot be read from here on, it has happened
        proved(Proof.IN_HISTORY)
        return True

    def view(
        self, operation: Operation, document: Document, kind: Callable[[Document], RecordT]
    ) -> RecordT:
        """What `document` is a record of.

        Raises:
            PreCommitError: It cannot be understood, so that nothing was sent.
            CommitUnknownError: The same, but an earlier attempt may be under way.
        """
        try:
            return kind(document)
        except UnreadableDocumentError as error:
            raise operation.stopped_by(error, "understand the document") from error

    def intend(
        self,
        operation: Operation,
        path: str,
        base: Document | None,
        value: Mapping[str, Any],
        *,
        tombstone: Mapping[str, Any] | None = None,
        marker_seq: int | None = None,
        gave_back: str | None = None,
        markers: tuple[str, ...] = (),
        announcing: Callable[[Intent], tuple[str, ...]] | None = None,
        expected: Callable[[Document], Intent | None] | None = None,
        buries: bool = False,
    ) -> Intent:
        """The intent to write `value` over `base`, with the fence to put in its place.

        One for which something was done ahead, a moment ago, is taken up.

        `tombstone` is what fences a document that does not exist yet, `gave_back` the claim or
        reservation that is given back, `markers` what has to be there before, or `announcing` what
        names it, `expected` what makes the intent of the next step. One that `buries` leaves a
        tombstone behind.

        Raises:
            InvalidInputError: The document would be too large (pre-commit).
            PreCommitError: Its history is full of recent operations, or it is not to be trusted.
            CommitUnknownError: It is not, and an earlier attempt may have landed.
        """
        self._check_room(operation, base)
        if (untrusted := self._untrusted(operation, base)) is not None:
            raise operation.unknown(untrusted.message) if operation.in_doubt else untrusted
        if not operation.in_doubt:
            ahead = self._ahead.take(path, operation.key, operation.fingerprint, base)
            if ahead is not None:
                return replace(
                    ahead,
                    base=base,
                    markers=markers,
                    announcing=announcing,
                    promptly=self.promptly,
                    base_is_fresh=operation.base_is_fresh,
                )
        before = base.history if base else History()
        seq, now = before.seq + 1, self.clock()
        stays = base.value if base else (tombstone or {})
        stays_gone = base is None or before.tombstone
        gone = buries or (operation.vouches and before.tombstone)
        sign = self._signer.signed
        record = operation.record(seq, now, gave_back=gave_back)
        record = sign(path, record, value, tombstone=gone)
        aborted = operation.record(seq, now, aborted=True)
        aborted = sign(path, aborted, stays, tombstone=stays_gone)
        encoding = base.encoding if base else self._client.settings.storage_encoding
        written = with_record(value, record, marker_seq=marker_seq, tombstone=gone)
        return Intent(
            path=path,
            base=base,
            value=written,
            history=before.after(record, marker_seq=marker_seq, tombstone=gone),
            content=self._encoded(operation, written, encoding),
            fence=with_record(stays, aborted, marker_seq=before.marker_seq, tombstone=stays_gone),
            record=record,
            encoding=encoding,
            markers=markers,
            announcing=announcing,
            promptly=self.promptly,
            base_is_fresh=operation.base_is_fresh,
            expected=expected,
        )

    def fence(
        self,
        operation: Operation,
        path: str,
        base: Document | None,
        tombstone: Mapping[str, Any] | None = None,
    ) -> Intent:
        """The intent that is only there to be aborted: it keeps `operation` out for good."""
        value = base.value if base else (tombstone or {})
        marker_seq = base.history.marker_seq if base else None
        return self.intend(operation, path, base, value, tombstone=tombstone, marker_seq=marker_seq)

    async def change(
        self,
        operation: Operation,
        path: str,
        memory: DocumentMemory,
        missing: type[PreCommitError],
        prepare: Callable[[Document], Intent | None],
    ) -> Change:
        """Take the document at `path` through one change, however others change it meanwhile.

        `prepare` makes the intent for the document as it stands, `None` if nothing is to be
        changed, or refuses. What it says of a remembered document is checked against a fresh one.

        Raises:
            PreCommitError: `missing` or what `prepare` raises, or it can no longer happen.
            CommitUnknownError: Neither could be proven.
        """
        remembered = memory.recall(path)
        document = remembered or _there(operation, await self.read(operation, path), missing)
        while True:
            moment = self._client.round_trips.moment
            operation.base_is_fresh = document is not remembered or memory.age(path) <= moment
            try:
                done = self.recall(operation, document.history)
                intent = None if done else self._prepared(operation, document, prepare)
            except PreCommitError as refusal:
                if document is not remembered:
                    return await self._ruled_out(operation, document, refusal)
                intent = None
            if intent is not None:
                try:
                    async with self._attempt(operation) as commit:
                        intent = intent.announced()
                        result = self._concluded(operation, await commit(intent))
                except CommitUnknownError:
                    memory.forget(path)  # a repeat that went by it would learn nothing new
                    raise
                memory.remember(result.document)
                if isinstance(result, Committed):
                    return Change(document, result.document, intent.markers)
                document = _there(operation, result.document, missing)
            elif document is remembered:
                document = _there(operation, await self.read(operation, path), missing)
            else:
                memory.remember(document)
                return Change(None, document)

    def _prepared(
        self, operation: Operation, document: Document, prepare: Callable[[Document], Intent | None]
    ) -> Intent | None:
        if (untrusted := self._untrusted(operation, document)) is not None:
            raise untrusted
        return prepare(document)

    def _untrusted(self, operation: Operation, document: Document | None) -> PreCommitError | None:
        """Why nothing may be done on the word of `document`, if nothing may.

        To write over it would sign what it says.
        """
        if document is None or document.untrusted is None or operation.vouches:
            return None
        message = f"{operation.record_id!r} is not to be trusted: {document.untrusted}"
        return operation.error(UntrustedDocumentError, Proof.NEVER_SENT, message)

    async def _ruled_out(
        self, operation: Operation, document: Document, refusal: PreCommitError
    ) -> Change:
        """Refuse, once an earlier attempt that may be under way is fenced off or found to be done.

        The clock alone may cause this refusal, so the earlier attempt can still match.
        """
        if not operation.in_doubt:
            raise refusal
        result = await self.abort(operation, self.fence(operation, document.path, document))
        if isinstance(result, Committed):
            return Change(None, result.document)
        raise refusal

    async def commit(self, operation: Operation, intent: Intent) -> Committed | Superseded:
        """Commit `intent`.

        Raises:
            IdempotencyMismatchError: The key stands for another operation.
            PreCommitError: It did not happen and can no longer happen.
            CommitUnknownError: Neither could be proven.
        """
        async with self._attempt(operation) as commit:
            return self._concluded(operation, await commit(intent.announced()))

    @asynccontextmanager
    async def _attempt(self, operation: Operation) -> AsyncIterator[Commit]:
        """How to commit what `operation` intends; it may land from now on."""
        strategy = await self.ready(operation)
        self._attempts.add(operation.identity)  # stays if this task is cancelled
        may_land()
        try:
            yield partial(
                strategy.commit,
                deadline=operation.deadline,
                trail=operation.trail,
                in_doubt=operation.in_doubt,
            )
        except NexusError as error:
            if not operation.in_doubt:
                self._attempts.discard(operation.identity)
            raise operation.stopped_by(error, "write its marker") from error

    async def abort(self, operation: Operation, intent: Intent) -> Committed | Aborted:
        """Find out what became of `operation`, and fence it off if it has not landed.

        Raises:
            CommitUnknownError: Neither could be proven.
        """
        operation.in_doubt = True
        may_land()
        strategy = await self.ready(operation)
        while True:
            result = await strategy.abort(intent, operation.deadline, operation.trail)
            if isinstance(result, Unknown):
                raise operation.unknown(result.why)
            if not isinstance(result, Superseded):
                break
            # whatever took the fence's place keeps out what was written over the same base, but
            # not a request that was based on an earlier or later state: fence that, too
            intent = self.fence(operation, intent.path, result.document)
        if isinstance(result, Committed):
            self._attempts.add(operation.identity)
            proved(result.proof)
        else:
            self._attempts.discard(operation.identity)
        return result

    def _concluded(
        self, operation: Operation, result: Committed | Superseded | Aborted | Unknown
    ) -> Committed | Superseded:
        if isinstance(result, Unknown):
            raise operation.unknown(result.why)
        operation.in_doubt = False
        if isinstance(result, Committed):
            proved(result.proof)
            self._ahead.keep(result.expected)
        elif isinstance(result, Superseded):
            superseded()
        if isinstance(result, Aborted):
            self._attempts.discard(operation.identity)
            raise operation.error(PreCommitError, result.proof, _WHY_ABORTED[result.proof])
        if not self.recall(operation, result.document.history):  # may stand for something else
            self._attempts.discard(operation.identity)
        return result

    def _check_room(self, operation: Operation, base: Document | None) -> None:
        if base and base.history.schema > 1:
            raise operation.error(
                PreCommitError, Proof.DOCUMENT, "a newer version of this library wrote the document"
            )
        if base and base.history.is_full(self.clock()):
            raise operation.error(
                PreCommitError,
                Proof.DOCUMENT,
                "the document has had too many operations in the last 24 hours; wait",
            )

    def _encoded(
        self, operation: Operation, value: Mapping[str, Any], encoding: StorageEncoding
    ) -> bytes:
        content = documents.encode(value, encoding)
        size, most = len(content), self._client.settings.max_document_bytes
        if size > most:
            raise InvalidInputError("document size", size, f"must be at most {most} bytes").about(
                operation.name, operation.record_id, operation.key
            )
        return content


def _there(
    operation: Operation, document: Document | None, missing: type[PreCommitError]
) -> Document:
    """The document, if there is one.

    Raises:
        PreCommitError: `missing`, if there is none.
    """
    if document is None or is_tombstone(document):
        raise operation.error(missing, Proof.DOCUMENT, f"there is no {operation.record_id!r}")
    return document
