"""NexusClaimStore: leases in the peer's files, with the commit rules of the bounty store.

A claim holds its target while the target's lock names it and its document is active. The lock is
won first; creating the document is the commit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events import Observer
from nexus_bounty.events.stream import given
from nexus_bounty.leases import rules
from nexus_bounty.models import AgentIdentity, Claim, ClaimQuery, ClaimStatus, utc_now
from nexus_bounty.nexus.claims.changes import ClaimChanges, Rule
from nexus_bounty.nexus.claims.listing import ClaimListing
from nexus_bounty.nexus.claims.taking import LeaseTaking
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.documents import is_tombstone
from nexus_bounty.nexus.documents.cache import DocumentMemory
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.records import to_claim
from nexus_bounty.nexus.documents.writer import DocumentWriter
from nexus_bounty.nexus.selection.auto_commit import CommitOption, strategy_choice
from nexus_bounty.outcomes import (
    OutcomeError,
    PreCommitError,
)
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.validation import (
    check_claim_query,
    check_duration,
    check_id,
    check_retention,
    check_text,
)

REMEMBERED_FOR: Final = timedelta(hours=1)
"""How long a store goes by what it saw of a claim: far less than claims are kept for."""


class NexusClaimStore:
    """A `ClaimStore` on one zone of a Nexus server.

    Args:
        client: The server; the caller closes it.
        zone_id: The zone; the client's setting if not given.
        commit: How documents are committed: "auto" for what a probe finds to be safe before the
            first write, "conditional" for `ConditionalCommit` unseen, or a strategy.
        clock: Says when leases run out; aware.
        observers: Told of every mutation and of all that happens inside, see
            `nexus_bounty.events`; those of the client are, too.
    """

    def __init__(
        self,
        client: NexusClient,
        zone_id: str | None = None,
        *,
        commit: CommitOption = "auto",
        clock: Callable[[], datetime] = utc_now,
        observers: Sequence[Observer] = (),
    ) -> None:
        zone_id = zone_id if zone_id is not None else client.settings.zone_id
        check_id("zone_id", zone_id)
        self._client = client
        self._clock = clock
        self._zone = ZonePaths(zone_id)
        self._choice = strategy_choice(commit, client, zone_id, clock)
        self._writer = DocumentWriter(client, zone_id, self._choice, clock, given(observers))
        self._listing = ClaimListing(client, self._zone, self._choice, clock)
        self._memory = DocumentMemory(
            client.settings.remembered_documents, lasts=REMEMBERED_FOR, clock=clock
        )
        self._changes = ClaimChanges(client, self._zone, self._writer, self._memory, clock)
        self._taking = LeaseTaking(
            client, self._zone, self._writer, self._memory, self._changes, clock
        )
        self._names_since: float | None = None

    def cleaning_up(self, *, later: bool) -> Self:
        """The same store, removing stale markers `later`, or before its mutations return.

        Later they are left to `client.cleanup`, off the critical path: nothing is owed then, so
        that no `PostCommitError` is raised. A new store does it before it returns.
        """
        other = copy(self)
        writer = self._writer.leaving_files(later=later)
        changes = replace(self._changes, writer=writer, cleans_up_later=later)
        other._writer, other._changes = writer, changes  # noqa: SLF001 - it is this very class
        other._taking = replace(self._taking, writer=writer, changes=changes)  # noqa: SLF001
        return other

    def sharing_names(self, since: float) -> Self:
        """The same store, which shares the names that it lists with others that do.

        A walk of it may go by names that were listed at `since`, a time of the event loop's clock,
        or later, where the server lists all names of a directory however few are wanted.
        """
        other = copy(self)
        other._names_since = since  # noqa: SLF001 - it is this very class
        return other

    @property
    def zone_id(self) -> str:
        """The zone whose claims these are."""
        return self._zone.zone_id

    def why_not_here(self) -> str | None:
        """Why it cannot be used in this event loop; `None` if it can, and belongs to it now."""
        return self._client.why_not_here()

    async def __aenter__(self) -> Self:
        """The store itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the store."""
        await self.close()

    async def close(self) -> None:
        """Forget what was remembered; the client stays open, whoever opened it closes it."""
        self._memory.clear()

    # Claiming

    async def claim_or_renew(
        self,
        target_ref: str,
        agent: AgentIdentity,
        *,
        claim_id: str,
        lease: timedelta,
        intent_summary: str = "",
        context: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Claim:
        """Take the target's lease, or extend it if `agent` already holds it.

        A renewal keeps the id and the context of the claim that it renews, whatever is given.

        Raises:
            InvalidInputError: An argument is wrong; nothing was sent (pre-commit).
            ClaimConflictError: Another agent holds the target (pre-commit).
            ClaimStateError: `claim_id` belongs to a claim that has ended (pre-commit).
            IdempotencyMismatchError: The key or the id was used for something else.
            PreCommitError: It did not happen and can no longer happen.
            CommitUnknownError: Neither could be proven; ask again with the same key.
        """
        request = rules.wished(target_ref, agent, claim_id, lease, intent_summary, context)
        async with self._claiming("claim_or_renew", request, idempotency_key) as operation:
            return await self._taking.take(operation, request)

    async def create_claim(
        self,
        target_ref: str,
        agent: AgentIdentity,
        *,
        claim_id: str,
        lease: timedelta,
        intent_summary: str = "",
        context: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Claim:
        """Take the lease of a free target; one that `agent` itself holds is not free.

        Raises: as `claim_or_renew`.
        """
        request = rules.wished(target_ref, agent, claim_id, lease, intent_summary, context)
        request = msgspec.structs.replace(request, renews=False)
        async with self._claiming("create_claim", request, idempotency_key) as operation:
            return await self._taking.take(operation, request)

    @asynccontextmanager
    async def _claiming(
        self, name: str, request: rules.LeaseRequest, key: str | None
    ) -> AsyncIterator[Operation]:
        parameters = {
            "agentId": request.agent.agent_id,
            "claimId": request.claim_id,
            "lease": request.lease.total_seconds(),
            "intentSummary": request.intent_summary,
            **({} if request.context is None else {"context": request.context}),
        }
        async with self._writer.operation(
            name, name, request.target_ref, parameters, key
        ) as operation:
            try:
                yield operation
            except OutcomeError as refusal:
                refusal.about(operation.name, operation.record_id, operation.key)
                raise

    # Keeping and ending

    async def get(self, claim_id: str) -> Claim | None:
        """The claim as it stands, or `None`.

        Raises:
            InvalidInputError: The id cannot be; nothing was sent.
            NexusError: It could not be read.
            UnreadableDocumentError: What is stored is not a claim.
        """
        check_id("claim_id", claim_id)
        return await self._read(claim_id, self._client.deadline())

    async def _read(self, claim_id: str, deadline: Deadline) -> Claim | None:
        strategy = await self._choice.for_reading(deadline)
        document = await strategy.reads.read(self._zone.claim(claim_id), deadline)
        return None if document is None or is_tombstone(document) else to_claim(document)

    async def get_many(
        self, claim_ids: Sequence[str], *, unreadable: dict[str, str] | None = None
    ) -> dict[str, Claim]:
        """Those of the claims that exist, by their ids; read in bulk.

        `unreadable` gets what is wrong with those that cannot be understood, by their ids: they
        may be alive.

        Raises:
            NexusError: They could not be read.
        """
        return await self._listing.by_ids(claim_ids, unreadable)

    async def list_claims(
        self, query: ClaimQuery | None = None, *, unreadable: dict[str, str] | None = None
    ) -> list[Claim]:
        """The claims that match, ended ones included, newest first.

        `unreadable` gets what is wrong with documents that cannot be understood, by their ids.

        Raises:
            NexusError: They could not be read.
        """
        query = ClaimQuery() if query is None else query
        check_claim_query(query)
        return await self._listing.select(query, unreadable)

    async def heartbeat(
        self,
        claim_id: str,
        *,
        lease: timedelta,
        target_ref: str | None = None,
        idempotency_key: str | None = None,
    ) -> Claim:
        """Extend an active, unexpired lease to `lease` from now.

        With a `target_ref`, only what is on that target.

        Raises:
            ClaimNotFoundError: There is no such claim (pre-commit).
            ClaimStateError: It is no longer active, or was moved (pre-commit).
            PreCommitError, CommitUnknownError: As every mutation.
        """
        check_duration("lease", lease)
        return await self._end_or_extend(
            "heartbeat",
            claim_id,
            _named(lease=lease.total_seconds(), targetRef=target_ref),
            idempotency_key,
            lambda claim, now: rules.renewed(claim, lease, now, target_ref=target_ref),
        )

    async def release(
        self,
        claim_id: str,
        *,
        revision: int | None = None,
        target_ref: str | None = None,
        idempotency_key: str | None = None,
    ) -> Claim:
        """Give the target back; a claim that has given it back already stays as it is.

        With a `revision`, only what has not been renewed since; with a `target_ref`, only what is
        on that target.

        Raises:
            ClaimNotFoundError: There is no such claim (pre-commit).
            ClaimStateError: It was completed, renewed meanwhile, or moved (pre-commit).
            PreCommitError, PostCommitError, CommitUnknownError: As every mutation.
        """
        return await self._end_or_extend(
            "release",
            claim_id,
            _named(revision=revision, targetRef=target_ref),
            idempotency_key,
            partial(rules.released, revision=revision, target_ref=target_ref),
        )

    async def complete(
        self,
        claim_id: str,
        *,
        target_ref: str | None = None,
        idempotency_key: str | None = None,
    ) -> Claim:
        """End the claim because its work is done; a claim already completed stays so.

        With a `target_ref`, only what is on that target.

        Raises:
            ClaimNotFoundError: There is no such claim (pre-commit).
            ClaimStateError: It was released or moved, or its lease has run out (pre-commit).
            PreCommitError, PostCommitError, CommitUnknownError: As every mutation.
        """
        check_id("claim_id", claim_id)
        key = idempotency_key
        if key is None:
            key = self._writer.key_ahead(self._zone.claim(claim_id), "complete")
        parameters = _named(targetRef=target_ref)
        rule = partial(rules.completed, target_ref=target_ref)
        return await self._end_or_extend("complete", claim_id, parameters, key, rule)

    async def prepare_completion(self, claim_id: str, *, target_ref: str | None = None) -> None:
        """Begin `complete` of the same claim, called without a key a moment later.

        What is to be renamed is staged; nothing is committed. Only for a claim that was seen
        before; what is in the way, `complete` will say.

        Raises:
            InvalidInputError: The id cannot be; nothing was sent.
        """
        check_id("claim_id", claim_id)
        document = self._memory.recall(self._zone.claim(claim_id))
        if document is None:
            return
        parameters = _named(targetRef=target_ref)
        step = self._writer.planned("complete", "complete", claim_id, parameters)
        step.base_is_fresh = self._memory.age(document.path) <= self._client.round_trips.moment
        with suppress(PreCommitError):
            rule = partial(rules.completed, target_ref=target_ref)
            intent = self._changes.intent(step, rule, document)
            if intent is not None:
                await self._writer.work_ahead(step, intent, keyless=True)

    async def _end_or_extend(
        self,
        name: str,
        claim_id: str,
        parameters: dict[str, Any],
        key: str | None,
        rule: Rule,
    ) -> Claim:
        check_id("claim_id", claim_id)
        async with self._writer.operation(name, name, claim_id, parameters, key) as operation:
            return await self._changes.change(operation, claim_id, rule)

    # Sweeping and listing

    async def expire_stale(
        self,
        now: datetime | None = None,
        *,
        stalled_for: timedelta | None = None,
        targets: Partition = EVERYTHING,
    ) -> list[Claim]:
        """End every active claim whose lease has run out; returns those it ended.

        With `stalled_for` those, too, whose agents have not been heard of for so long. Only
        claims on the `targets` are looked at.

        Raises:
            NexusError: They could not be read.
        """
        if stalled_for is not None:
            check_duration("stalled_for", stalled_for)
        moment = now or self._clock()
        ended, idle = [], []
        async for claim in self._listing.marked(targets, self._names_since):
            if claim.status is not ClaimStatus.ACTIVE:
                idle.append(self._zone.active_claim(claim.target_ref, claim.claim_id))
            elif rules.is_over(claim, moment, stalled_for) and (
                swept := await self._changes.expire(claim, moment, stalled_for)
            ):
                ended.append(swept)
        await self._client.delete_many(idle)
        return ended

    async def detect_stalled(
        self, stalled_for: timedelta, now: datetime | None = None
    ) -> list[Claim]:
        """The claims that hold their target, but whose agents were not heard of for so long.

        Raises:
            InvalidInputError: `stalled_for` is no duration; nothing was sent.
            NexusError: They could not be read.
        """
        check_duration("stalled_for", stalled_for)
        moment = now or self._clock()
        return [
            claim
            for claim in await self.active_claims(now=moment)
            if rules.is_stalled(claim, moment, stalled_for)
        ]

    async def clean_completed(self, retention: timedelta) -> int:
        """Delete the claims that have ended, `retention` after their last heartbeat; how many.

        Nothing remembers them then: their ids can be used again, and so can the keys.
        Their files go `tombstone_retention` after the last write of them, at the earliest; so none
        goes where listings tell no dates, as on 0.9.26.

        Raises:
            InvalidInputError: `retention` is too short for repeats to be known (pre-commit).
            NexusError: The claims could not be read, or not be deleted.
        """
        check_retention("retention", retention)
        now, settled = self._clock(), self._client.settings.tombstone_retention
        return await self._listing.remove_ended(now - retention, now - settled)

    async def active_claims(
        self, target_ref: str | None = None, now: datetime | None = None
    ) -> list[Claim]:
        """The claims that hold their target at `now`, oldest first.

        Those of all targets are listed without what cannot be understood: `walk_active_claims`
        tells of it.

        Raises:
            InvalidInputError: `target_ref` cannot be; nothing was sent.
            NexusError: They could not be read.
            UnreadableDocumentError: The lock of `target_ref`, or the claim that it names, cannot
                be understood: that target may be held.
        """
        moment = now or self._clock()
        if target_ref is not None:
            return [claim for claim in await self._named_by(target_ref) if claim.holds(moment)]
        held = [claim async for claim in self.walk_active_claims(moment)]
        return sorted(held, key=lambda claim: (claim.created_at, claim.claim_id))

    async def walk_active_claims(
        self,
        now: datetime | None = None,
        *,
        targets: Partition = EVERYTHING,
        unreadable: dict[str, str] | None = None,
    ) -> AsyncIterator[Claim]:
        """Every claim that holds one of the `targets` at `now`, in no order, a batch at a time.

        `unreadable` gets what is wrong with those that cannot be understood, by their ids: they
        may be alive.

        Raises:
            NexusError: They could not be read any further.
        """
        moment = now or self._clock()
        async for claim in self._listing.marked(targets, self._names_since, unreadable):
            if claim.holds(moment):
                yield claim

    async def _named_by(self, target_ref: str) -> list[Claim]:
        """The claims that the lock of `target_ref` may name, as far as they are on that target."""
        check_text("target_ref", target_ref)
        deadline = self._client.deadline()
        strategy = await self._choice.for_reading(deadline)
        lock = await self._taking.lock(strategy.locks, target_ref).state(deadline)
        ids = (lock.claim_id, lock.or_claim_id) if lock else ()
        claims = [await self._read(each, deadline) for each in ids if each is not None]
        return [each for each in claims if each and each.target_ref == target_ref]

    async def collect_leftovers(self) -> list[str]:
        """Remove what commits left behind and no request can need any more; returns the paths.

        Raises:
            NexusError: Not everything could be read or removed; another call does the rest.
        """
        before = self._clock() - self._client.settings.tombstone_retention
        strategy = await self._choice.for_reading(self._client.deadline())
        return [
            *await strategy.leftovers.collect(self._zone.claims, before),
            *await strategy.leftovers.collect(self._zone.target_locks, before),
            *await self._listing.remove_idle_markers(before),
        ]


def _named(**limits: Any) -> dict[str, Any]:
    """What an operation was told to look for, as far as it was."""
    return {name: value for name, value in limits.items() if value is not None}
