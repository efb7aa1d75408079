"""Taking the lease of a target: the target's lock is won, and the claim is committed after it.

Whoever takes a lock over first makes sure that the claim it named has ended, by a commit of its
document: a fence in its place if it was never written, `expired` if its lease has run out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from nexus_bounty.bounded_set import BoundedSet
from nexus_bounty.leases import rules
from nexus_bounty.models import Claim, ClaimStatus
from nexus_bounty.nexus.claims.changes import ClaimChanges
from nexus_bounty.nexus.claims.target_lock import LockState, TargetLock
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.documents import Document, is_tombstone
from nexus_bounty.nexus.documents.cache import DocumentMemory
from nexus_bounty.nexus.documents.claim_shapes import claim_tombstone, new_claim
from nexus_bounty.nexus.documents.commits import CommitStrategy, Committed, Intent, Locks
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.records import to_claim
from nexus_bounty.nexus.documents.writer import DocumentWriter
from nexus_bounty.outcomes import ClaimConflictError, PreCommitError, Proof
from nexus_bounty.together import both

LOOKS_AT_AN_UNWRITTEN_CLAIM: Final = 6
"""How often a claim that holds the lock is looked for before it is fenced off."""


@dataclass(frozen=True, slots=True)
class LeaseTaking:
    """Takes the leases of targets in one zone.

    Attributes:
        client: The server.
        zone: Where claims and locks are.
        writer: Commits claims.
        memory: What was seen of them.
        changes: Renews those that hold their target, and ends those that are over.
        clock: Says when leases run out; aware.
        seen: Targets that were claimed before, so that their locks are looked at first.
    """

    client: NexusClient
    zone: ZonePaths
    writer: DocumentWriter
    memory: DocumentMemory
    changes: ClaimChanges
    clock: Callable[[], datetime]
    seen: BoundedSet = field(default_factory=BoundedSet)

    async def take(self, operation: Operation, request: rules.LeaseRequest) -> Claim:
        """The claim that is asked for, made or renewed; or made by an earlier call with its key.

        Raises:
            ClaimConflictError: Another agent holds the target (pre-commit).
            ClaimStateError: The id belongs to a claim that has ended (pre-commit).
            IdempotencyMismatchError: The key or the id was used for something else.
            PreCommitError: It did not happen and can no longer happen.
            CommitUnknownError: Neither could be proven.
        """
        strategy = await self.writer.ready(operation)
        lock = self.lock(strategy.locks, request.target_ref)
        if claim := await self._claim_at_once(operation, request, strategy, lock):
            return claim
        named: LockState | None = None
        free, looks = False, 0
        while operation.deadline.remaining:
            if free and await lock.move(operation, named, request.claim_id):
                return await self._write_claim(operation, request)
            named = await lock.read(operation)
            if claim := await self._moved_away(operation, request, named):
                return claim
            documents, unwritten = await self._holders(operation, named)
            for each in documents:
                if claim := await self._renew(operation, request, each):
                    return claim
            over = all([await self._has_ended(operation, request, each) for each in documents])
            free = over and unwritten is None
            if unwritten is None or not over:
                continue
            if unwritten == request.claim_id:
                return await self._write_claim(operation, request)
            looks += 1
            if not await self._waited_for(operation, request.target_ref, unwritten, looks):
                break
        raise operation.stopped_by(TimeoutError("no time left"), "take the target lock")

    def lock(self, locks: Locks, target_ref: str) -> TargetLock:
        """The lock of a target."""
        encoding = self.client.settings.storage_encoding
        path = self.zone.target_lock(target_ref)
        return TargetLock(locks, path, encoding, promptly=self.writer.promptly)

    async def _claim_at_once(
        self,
        operation: Operation,
        request: rules.LeaseRequest,
        strategy: CommitStrategy,
        lock: TargetLock,
    ) -> Claim | None:
        """The claim on a target that nobody has had yet, prepared while the lock is being won."""
        if request.target_ref in self.seen:
            return None
        self.seen.add(request.target_ref)
        won, intent = await both(
            lock.move(operation, None, request.claim_id),
            self.writer.prepare(strategy, operation, self._intent(operation, request)),
        )
        return await self._write_claim(operation, request, intent) if won else None

    async def _holders(
        self, operation: Operation, lock: LockState | None
    ) -> tuple[list[Document], str | None]:
        """The documents of the claims that `lock` may name, and the id of one not written yet."""
        if lock is None:
            return [], None
        named = await both(
            self._claim_document(operation, lock.claim_id),
            self._claim_document(operation, lock.or_claim_id),
        )
        documents = [each for each in named if each is not None]
        return documents, lock.claim_id if named[0] is None else None

    async def _claim_document(self, operation: Operation, claim_id: str | None) -> Document | None:
        if claim_id is None:
            return None
        return await self.writer.read(operation, self.zone.claim(claim_id))

    async def _moved_away(
        self, operation: Operation, request: rules.LeaseRequest, lock: LockState | None
    ) -> Claim | None:
        """The claim that this operation made earlier, if it is on something else by now.

        A newer Grove empties the lock of a target when it moves the claim on it to another. Nothing
        is to be locked for that claim then.

        Raises:
            IdempotencyMismatchError: It is on something else, and does not say who made it.
        """
        if lock is None or lock.claim_id is not None:
            return None
        own = await self._claim_document(operation, request.claim_id)
        if own is None or is_tombstone(own):
            return None
        claim = self.writer.view(operation, own, to_claim)
        if claim.target_ref == request.target_ref:
            return None
        if self.writer.recall(operation, own.history):
            return claim
        return rules.taken(request, None, claim, self.clock())

    async def _renew(
        self, operation: Operation, request: rules.LeaseRequest, document: Document
    ) -> Claim | None:
        """The claim that the lock names, renewed if it is the agent's; `None` if it does not hold.

        Raises:
            ClaimConflictError: Another agent holds the target (pre-commit).
        """
        if self.writer.recall(operation, document.history):
            return self.writer.view(operation, document, to_claim)
        if is_tombstone(document):
            return None
        claim = self.writer.view(operation, document, to_claim)
        if not self._holds(request, claim):
            return None
        if not rules.may_renew(request, claim):
            return await self._taken_over(operation, request, claim)

        def rule(standing: Claim, now: datetime) -> Claim:
            return rules.taken(request, standing, None, now)

        return await self.changes.change(operation, claim.claim_id, rule)

    def _holds(self, request: rules.LeaseRequest, claim: Claim) -> bool:
        return claim.target_ref == request.target_ref and claim.holds(self.clock())

    async def _has_ended(
        self, operation: Operation, request: rules.LeaseRequest, document: Document
    ) -> bool:
        """Whether a claim that does not hold the target never will again.

        One that has merely run out is ended, so that it cannot be renewed meanwhile; if it just
        has been, this says no.

        Raises:
            ClaimConflictError: It is the one to be made, and was fenced off (pre-commit).
        """
        if is_tombstone(document):
            if document.path == self.zone.claim(request.claim_id):
                raise _fenced_off(operation)
            return True
        claim = self.writer.view(operation, document, to_claim)
        if claim.claim_id == request.claim_id:  # one that is kept has its id: refuse it
            rules.taken(request, None, claim, self.clock())
        if claim.status is ClaimStatus.ACTIVE and claim.target_ref == request.target_ref:
            return await self.changes.expire(claim) is not None
        return True

    async def _taken_over(
        self, operation: Operation, request: rules.LeaseRequest, holder: Claim
    ) -> Claim:
        """The claim that this operation made earlier, before `holder` took the target.

        Raises:
            ClaimConflictError: It made none (pre-commit).
        """
        own = await self.writer.read(operation, self.zone.claim(request.claim_id))
        namesake = None
        if own is not None and not is_tombstone(own):
            namesake = self.writer.view(operation, own, to_claim)
        if own is not None and namesake and self.writer.recall(operation, own.history):
            return namesake
        return rules.taken(request, holder, namesake, self.clock())

    def _intent(self, operation: Operation, request: rules.LeaseRequest) -> Intent:
        """The intent to make the claim that is asked for."""
        claim = rules.taken(request, None, None, self.clock())
        shape = self.client.settings.claim_shape
        value = new_claim(claim, shape)
        never_made = msgspec.structs.replace(claim, status=ClaimStatus.RELEASED)
        tombstone = new_claim(never_made, shape)
        path = self.zone.claim(claim.claim_id)
        marker = self.zone.active_claim(claim.target_ref, claim.claim_id)
        return self.writer.intend(
            operation, path, None, value, tombstone=tombstone, markers=(marker,)
        )

    async def _write_claim(
        self, operation: Operation, request: rules.LeaseRequest, intent: Intent | None = None
    ) -> Claim:
        """Commit the claim, the lock being won."""
        intent = intent or self._intent(operation, request)
        result = await self.writer.commit(operation, intent)
        document = result.document
        self.memory.remember(document)
        if isinstance(result, Committed) or self.writer.recall(operation, document.history):
            return self.writer.view(operation, document, to_claim)
        if is_tombstone(document):
            raise _fenced_off(operation)
        rules.taken(request, None, self.writer.view(operation, document, to_claim), self.clock())
        raise AssertionError("a namesake is always refused")  # pragma: no cover

    async def _waited_for(
        self, operation: Operation, target_ref: str, claim_id: str, looks: int
    ) -> bool:
        """Give a claim that won the lock time to be written, or, after so many `looks`, none more.

        False if the operation itself has no time for that.
        """
        if looks <= LOOKS_AT_AN_UNWRITTEN_CLAIM:  # its claimer is probably just writing it
            why = "not written yet"
            return await self.client.retries.rest(looks, operation.deadline, why=why)
        await self._fence_off(operation, target_ref, claim_id)
        return True

    async def _fence_off(self, operation: Operation, target_ref: str, claim_id: str) -> None:
        """Make sure that a claim which won the lock and was never written never will be."""
        shape = self.client.settings.claim_shape
        tombstone = claim_tombstone(claim_id, target_ref, self.clock(), shape)
        path = self.zone.claim(claim_id)
        operation.trail.saw("fence", path, "it holds the lock and was never written")
        async with self.writer.operation("claim_or_renew", "fence", claim_id, {}, None) as fence:
            await self.writer.abort(fence, self.writer.fence(fence, path, None, tombstone))


def _fenced_off(operation: Operation) -> PreCommitError:
    """The claim won the lock, and was not written before somebody else ran out of patience."""
    return operation.error(
        ClaimConflictError, Proof.FENCED, "another agent wanted the target meanwhile; use a new key"
    )
