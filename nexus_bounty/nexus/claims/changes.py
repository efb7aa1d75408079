"""Changes of a claim that exists: each is one commit of its document, and its marker follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from nexus_bounty.events.tracking import level_triggered
from nexus_bounty.leases import rules
from nexus_bounty.models import Claim, ClaimStatus
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.documents import Document
from nexus_bounty.nexus.documents.cache import DocumentMemory
from nexus_bounty.nexus.documents.claim_shapes import changed_claim
from nexus_bounty.nexus.documents.commits import Intent
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.records import to_claim
from nexus_bounty.nexus.documents.writer import DocumentWriter
from nexus_bounty.outcomes import ClaimNotFoundError, PostCommitError, PreCommitError, Proof

REMOVE_ACTIVE_MARKER: Final = "remove_active_marker"

Rule = Callable[[Claim, datetime], Claim]
"""What becomes of a claim at a time: the same one, if nothing is to be changed."""


@dataclass(frozen=True, slots=True)
class ClaimChanges:
    """Takes the claims of one zone through changes.

    Attributes:
        client: The server.
        zone: Where they are.
        writer: Commits them.
        memory: What was seen of them.
        clock: The current time, aware.
        cleans_up_later: Whether markers are left to `client.cleanup`, so that none is ever owed.
    """

    client: NexusClient
    zone: ZonePaths
    writer: DocumentWriter
    memory: DocumentMemory
    clock: Callable[[], datetime]
    cleans_up_later: bool = False

    async def change(self, operation: Operation, claim_id: str, rule: Rule) -> Claim:
        """Take a claim through `rule`, and remove its marker if that ends it.

        Raises:
            PreCommitError: There is no such claim, `rule` refuses, or it can no longer happen.
            PostCommitError: It happened; removing the marker is still owed.
            CommitUnknownError: Neither could be proven.
        """
        path = self.zone.claim(claim_id)
        prepare = partial(self.intent, operation, rule)
        change = await self.writer.change(operation, path, self.memory, ClaimNotFoundError, prepare)
        claim = self.writer.view(operation, change.after, to_claim)
        if change.before is not None and claim.status is not ClaimStatus.ACTIVE:
            await self._unmark(operation, claim)
        return claim

    def intent(self, operation: Operation, rule: Rule, document: Document) -> Intent | None:
        """The intent to take the claim in `document` through `rule`; `None` to leave it as it is.

        Raises:
            PreCommitError: `rule` refuses, or the claim cannot be understood.
        """
        before = self.writer.view(operation, document, to_claim)
        now = self.clock()
        try:
            after = rule(before, now)
        except PreCommitError as refusal:
            raise refusal.about(operation.name, operation.record_id, operation.key) from None
        if after == before:
            return None
        value = changed_claim(document.value, before, after, now)
        return self.writer.intend(operation, document.path, document, value)

    async def expire(
        self, claim: Claim, now: datetime | None = None, stalled_for: timedelta | None = None
    ) -> Claim | None:
        """End one claim if it is still over; `None` if it was renewed or ended.

        Raises:
            PreCommitError: It was not ended, and this request no longer can end it.
            CommitUnknownError: Neither could be proven.
        """

        def rule(standing: Claim, clock: datetime) -> Claim:
            over = rules.is_over(standing, now or clock, stalled_for)
            return rules.expired(standing) if over else standing

        try:
            with level_triggered():
                name, kind = "expire_stale", "expire"
                async with self.writer.operation(name, kind, claim.claim_id, {}, None) as step:
                    after = await self.change(step, claim.claim_id, rule)
        except PostCommitError as error:
            after = error.claim or claim
        ours = after.status is ClaimStatus.EXPIRED and after.revision == claim.revision + 1
        return after if ours else None

    async def _unmark(self, operation: Operation, claim: Claim) -> None:
        """Remove the active marker of a claim that has ended, and so is never active again."""
        marker = self.zone.active_claim(claim.target_ref, claim.claim_id)
        if self.cleans_up_later:
            self.client.cleanup.add([marker])
            return
        try:
            await self.client.delete(marker, deadline=operation.deadline)
        except NexusError as error:
            operation.trail.saw("delete", marker, error.answer)
            raise PostCommitError(
                f"claim {claim.claim_id!r} is {claim.status.value}, and its active marker is "
                "still to be removed",
                claim=claim,
                pending=[REMOVE_ACTIVE_MARKER],
                evidence=operation.evidence(Proof.ACKNOWLEDGED),
            ).about(operation.name, operation.record_id, operation.key) from error
