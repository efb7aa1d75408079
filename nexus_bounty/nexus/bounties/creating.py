"""How a bounty comes to be, over a tombstone if need be, and how a draft is taken back to one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.nexus.bounties.intents import BountyIntents
from nexus_bounty.nexus.bounties.marker_removal import MarkerRemoval
from nexus_bounty.nexus.bounties.marker_watch import MarkerWatch
from nexus_bounty.nexus.bounties.status_index import StatusIndex
from nexus_bounty.nexus.documents import Document, is_tombstone
from nexus_bounty.nexus.documents.cache import DocumentMemory
from nexus_bounty.nexus.documents.commits import Intent
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.records import changed, to_bounty
from nexus_bounty.nexus.documents.writer import DocumentWriter
from nexus_bounty.outcomes import (
    DISCARDED,
    BountyExistsError,
    BountyNotFoundError,
    BountyStateError,
    CommitUnknownError,
    PreCommitError,
    Proof,
)
from nexus_bounty.statuses import TOMBSTONE


@dataclass(frozen=True, slots=True)
class BountyCreation:
    """Creates the bounties of one zone, and takes drafts back.

    Attributes:
        writer: Commits them.
        zone: Where they are.
        memory: What was seen of them.
        index: Where their markers are.
        intents: What is to be written.
        removal: Removes the markers of what is not there.
        watch: Looks again at what nobody may have heard of.
        looks_first: Whether nothing is written, not even a marker, where a bounty has the id.
    """

    writer: DocumentWriter
    zone: ZonePaths
    memory: DocumentMemory
    index: StatusIndex
    intents: BountyIntents
    removal: MarkerRemoval
    watch: MarkerWatch
    looks_first: bool = False

    async def create(self, operation: Operation, bounty: Bounty) -> Bounty:
        """The bounty that `operation` has created, now or before, as it stands.

        Raises:
            BountyExistsError: The id is taken (pre-commit).
            BountyStateError: This operation created a draft, which was taken back (pre-commit).
            IdempotencyMismatchError: Its key was used with other parameters.
            PreCommitError: It was not stored and can no longer be.
            CommitUnknownError: Neither could be proven.
        """
        base: Document | None = None
        markers: Sequence[str] = ()
        if self.looks_first:
            base = await self.writer.seen_first(operation, self.zone.bounty(bounty.bounty_id))
        while True:
            if base is not None and not is_tombstone(base):
                self.memory.remember(base)
                self.index.announced(bounty, markers)
                return await self._existing(operation, bounty, base, announced=bool(markers))
            if base is not None and self.writer.recall(operation, base.history):
                await self.removal.of_nothing(operation, markers)
                raise _discarded(operation)
            intent, over = self.intents.creation(operation, bounty, base), base
            try:
                base = (await self.writer.commit(operation, intent)).document
            except PreCommitError as refusal:
                if refusal.evidence.proof is Proof.FENCED:
                    await self._withdraw(
                        operation, bounty, self.intents.markers_of_creation(bounty, over)
                    )
                raise
            markers = self.intents.markers_of_creation(bounty, over)
            if over is not None:  # to others a cancelled bounty, which no other marker fits
                self.watch.look_again(base)

    async def take_back(self, operation: Operation, reservation_id: str) -> None:
        """Put a tombstone in the place of the draft that names this reservation.

        Raises:
            BountyNotFoundError: There is no such bounty, and there was no such draft (pre-commit).
            BountyStateError: It is no draft, or names another reservation (pre-commit).
            IdempotencyMismatchError: The operation's key was used with other parameters.
            PreCommitError: It did not happen and can no longer happen.
            CommitUnknownError: Neither could be proven.
        """
        path = self.zone.bounty(operation.record_id)
        prepare = partial(_burial, self.writer, operation, reservation_id)
        try:
            change = await self.writer.change(
                operation, path, self.memory, BountyNotFoundError, prepare
            )
        except BountyNotFoundError as missing:
            stone = await self.writer.read(operation, path)
            if stone is None or not stone.history.has_given_back(reservation_id):
                raise missing from None
            return
        self.memory.forget(path)
        self.watch.look_again(change.after)  # which is done no more
        if change.before is not None:
            draft, generation = to_bounty(change.before), change.before.history.marker_seq
            markers = self.index.of(draft, BountyStatus.DRAFT, generation, draft.updated_at)
            await self.removal.of_nothing(operation, markers)

    async def _existing(
        self, operation: Operation, bounty: Bounty, document: Document, *, announced: bool
    ) -> Bounty:
        """The bounty that is there now, if this operation created it, just now or before.

        If it has moved on since, or is another's, the marker that `announced` it is removed again.

        Raises:
            BountyExistsError: It did not (pre-commit).
            BountyStateError: It created a draft that was taken back, and this one is another's.
        """
        existing = self.writer.view(operation, document, to_bounty)
        if announced:
            await self.removal.after_repeat(operation, bounty, existing, document)
        if self.writer.recall(operation, document.history):
            if document.history.has_given_back(bounty.reservation_id or ""):
                raise _discarded(operation)
            return existing
        raise operation.error(
            BountyExistsError, Proof.DOCUMENT, f"bounty {bounty.bounty_id!r} exists already"
        )

    async def _withdraw(self, operation: Operation, bounty: Bounty, markers: Sequence[str]) -> None:
        """Remove the markers of a `bounty` that was fenced off, if a tombstone stands there.

        The key may have been fenced off before, and a bounty stand there that needs them.
        """
        with suppress(PreCommitError, CommitUnknownError):
            stone = await self.writer.read(operation, self.zone.bounty(bounty.bounty_id))
            if stone is not None and is_tombstone(stone):
                await self.removal.of_nothing(operation, markers)


def _burial(
    writer: DocumentWriter, operation: Operation, reservation_id: str, document: Document
) -> Intent | None:
    """The intent to put a tombstone in the draft's place; `None` if that was done before.

    Raises:
        BountyStateError: It is no draft, or names another reservation (pre-commit).
    """
    if document.history.has_given_back(reservation_id):
        return None
    bounty = writer.view(operation, document, to_bounty)
    if bounty.status is not BountyStatus.DRAFT or bounty.reservation_id != reservation_id:
        raise operation.error(
            BountyStateError,
            Proof.DOCUMENT,
            f"bounty {bounty.bounty_id!r} is {bounty.status.value} with the reservation "
            f"{bounty.reservation_id!r}: it is no draft with {reservation_id!r}",
            current_status=bounty.status.value,
        )
    return writer.intend(
        operation,
        document.path,
        document,
        changed(document.value, {"status": TOMBSTONE.value}),
        gave_back=reservation_id,
        buries=True,
    )


def _discarded(operation: Operation) -> PreCommitError:
    """The refusal to create anew, with its key, what was created with it and taken back."""
    return operation.error(
        BountyStateError,
        Proof.DOCUMENT,
        f"the draft of {operation.record_id!r} that was made with this key was taken back",
        current_status=DISCARDED,
    )
