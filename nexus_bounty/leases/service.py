"""`ClaimStore` over any `ClaimBook`; the book may be kept anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from nexus_bounty.idempotency import RETENTION, fingerprint
from nexus_bounty.leases import rules
from nexus_bounty.leases.book import ClaimBook, ClaimScope, KeyUse
from nexus_bounty.leases.copying import PAGE, CopyableClaims
from nexus_bounty.models import AgentIdentity, Claim, ClaimQuery, ClaimStatus
from nexus_bounty.outcomes import IdempotencyMismatchError, OtherOperation, OutcomeError
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.transactions import Announced, Clock
from nexus_bounty.validation import (
    MOST_NAME_BYTES,
    check_claim_query,
    check_duration,
    check_id,
    check_key,
    check_retention,
    check_segment,
    check_time,
    is_name,
)

Rule = Callable[[ClaimBook, datetime], Claim]


class LeasedClaims(CopyableClaims):
    """Keeps leases by the rules of `nexus_bounty.leases`; see `ClaimStore` for the promises.

    Idempotency keys are remembered for `RETENTION`. A repeat returns the claim as it stands.
    """

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
            ClaimConflictError: Another agent holds it (pre-commit).
            ClaimStateError: `claim_id` belongs to a claim that has ended (pre-commit).
            IdempotencyMismatchError: The key or the id was used for something else.
            CommitUnknownError: The store did not say; ask again with the same key.
        """
        request = rules.wished(target_ref, agent, claim_id, lease, intent_summary, context)
        return await self._claim_as("claim_or_renew", request, idempotency_key)

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
        return await self._claim_as("create_claim", request, idempotency_key)

    async def _claim_as(self, name: str, request: rules.LeaseRequest, key: str | None) -> Claim:
        asked: tuple[Any, ...] = (
            request.target_ref,
            request.agent.agent_id,
            request.claim_id,
            request.lease,
        )
        asked += (request.intent_summary, *(() if request.context is None else (request.context,)))
        scope = ClaimScope(targets=(request.target_ref,), claims=(request.claim_id,))
        return await self._change(name, asked, key, partial(_take, request), scope)

    async def get(self, claim_id: str) -> Claim | None:
        """The claim as it stands, or `None`.

        Raises:
            InvalidInputError: The id cannot be; nothing was sent.
            CommitUnknownError: The claims could not be read.
        """
        check_id("claim_id", claim_id)
        scope = ClaimScope(claims=(claim_id,))
        return await self._read("get", Announced(scope, partial(_claim, claim_id=claim_id)))

    async def get_many(
        self,
        claim_ids: Sequence[str],
        *,
        unreadable: dict[str, str] | None = None,  # noqa: ARG002 - the protocol's
    ) -> dict[str, Claim]:
        """Those of the claims that exist, by their ids; a document may name what cannot be one.

        There is nothing here that cannot be understood: `unreadable` stays as it is.

        Raises:
            CommitUnknownError: The claims could not be read.
        """
        possible = tuple(each for each in claim_ids if is_name(each, MOST_NAME_BYTES))
        scope = ClaimScope(claims=possible)
        return await self._read("get_many", Announced(scope, partial(_known, claim_ids=possible)))

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
        """
        check_duration("lease", lease)
        return await self._change_one(
            "heartbeat",
            claim_id,
            _given(lease, target_ref),
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
        """
        return await self._change_one(
            "release",
            claim_id,
            _given(revision, target_ref),
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
        """
        rule = partial(rules.completed, target_ref=target_ref)
        return await self._change_one(
            "complete", claim_id, _given(target_ref), idempotency_key, rule
        )

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
            CommitUnknownError: The store did not say; ask again.
        """
        if stalled_for is not None:
            check_duration("stalled_for", stalled_for)
        work = partial(_expire, now=self._moment(now), stalled_for=stalled_for, targets=targets)
        return await self._write("expire_stale", None, work)

    async def detect_stalled(
        self, stalled_for: timedelta, now: datetime | None = None
    ) -> list[Claim]:
        """The claims that hold their target, but whose agents were not heard of for so long.

        Raises:
            CommitUnknownError: The claims could not be read.
        """
        check_duration("stalled_for", stalled_for)
        moment = self._moment(now)
        claims = await self._read("detect_stalled", lambda book: book.active())
        return [claim for claim in claims if rules.is_stalled(claim, moment, stalled_for)]

    async def list_claims(self, query: ClaimQuery | None = None) -> list[Claim]:
        """The claims that match, ended ones included, newest first.

        Raises:
            InvalidInputError: The query cannot be; nothing was sent.
            CommitUnknownError: The claims could not be read.
        """
        query = ClaimQuery() if query is None else query
        check_claim_query(query)
        found = [each async for each in self._walk_all() if query.matches(each)]
        found.sort(key=lambda claim: (claim.created_at, claim.claim_id), reverse=True)
        return found[: query.limit]

    async def clean_completed(self, retention: timedelta) -> int:
        """Delete the claims that have ended, `retention` after their last heartbeat; how many.

        Nothing remembers them then: their ids can be used again, and so can the keys.

        Raises:
            InvalidInputError: `retention` is too short for repeats to be known (pre-commit).
        """
        check_retention("retention", retention)
        work = partial(_drop_ended, kept_from=self._clock() - retention)
        return await self._write("clean_completed", None, work)

    async def active_claims(
        self, target_ref: str | None = None, now: datetime | None = None
    ) -> list[Claim]:
        """The claims that hold their target at `now`, oldest first.

        Raises:
            InvalidInputError: The target cannot be; nothing was sent.
            CommitUnknownError: The claims could not be read.
        """
        moment = self._moment(now)
        if target_ref is not None:
            check_segment("target_ref", target_ref)
        work = partial(_active, target_ref=target_ref)
        scope = None if target_ref is None else ClaimScope(targets=(target_ref,))
        claims = await self._read(
            "active_claims", work if scope is None else Announced(scope, work)
        )
        return [claim for claim in claims if claim.holds(moment)]

    async def walk_active_claims(
        self,
        now: datetime | None = None,
        *,
        targets: Partition = EVERYTHING,
        unreadable: dict[str, str] | None = None,  # noqa: ARG002 - the protocol's
    ) -> AsyncIterator[Claim]:
        """Every claim that holds one of the `targets` at `now`, by its id, a page at a time.

        `unreadable` stays as it is, as in `get_many`.

        Raises:
            CommitUnknownError: The claims could not be read.
        """
        moment = self._moment(now)
        after = ""
        while page := await self._read("walk_active_claims", partial(_page, after=after)):
            for claim in page:
                if claim.holds(moment) and claim.target_ref in targets:
                    yield claim
            after = page[-1].claim_id

    async def _walk_all(self) -> AsyncIterator[Claim]:
        after = ""
        while page := await self._read("list_claims", partial(_any_page, after=after)):
            for claim in page:
                yield claim
            after = page[-1].claim_id

    def _moment(self, now: datetime | None) -> datetime:
        if now is None:
            return self._clock()
        check_time("now", now)
        return now

    async def _change_one(
        self,
        operation: str,
        claim_id: str,
        asked: tuple[Any, ...],
        key: str | None,
        rule: Callable[[Claim, datetime], Claim],
    ) -> Claim:
        check_id("claim_id", claim_id)
        change = partial(_change_claim, claim_id=claim_id, rule=rule)
        scope = ClaimScope(claims=(claim_id,))
        return await self._change(operation, (claim_id, *asked), key, change, scope)

    async def _change(
        self,
        operation: str,
        asked: tuple[Any, ...],
        key: str | None,
        rule: Rule,
        scope: ClaimScope,
    ) -> Claim:
        call_id: Hashable = key
        if key is None:
            call_id = scope.claims
            work = partial(_apply, clock=self._clock, rule=rule)
        else:
            check_key(key)
            scope = msgspec.structs.replace(scope, keys=(key,))
            asks = fingerprint(operation, {"asked": asked})
            work = partial(_apply_once, clock=self._clock, rule=rule, key=key, asks=asks)
        try:
            return await self._write(operation, key, Announced(scope, work), call_id=call_id)
        except OutcomeError as refusal:
            refusal.about(operation, None, key)
            raise


def _given(*limits: object) -> tuple[object, ...]:
    """What a call was told to look for, as far as it was."""
    return tuple(each for each in limits if each is not None)


def _apply(book: ClaimBook, clock: Clock, rule: Rule) -> Claim:
    # The time counts at which the transaction has its turn, however long it waited.
    return rule(book, clock())


def _apply_once(book: ClaimBook, clock: Clock, rule: Rule, key: str, asks: str) -> Claim:
    """Apply `rule`, or find the claim that it was applied to under the same key."""
    seen = book.key_use(key)
    if seen is not None and seen.fingerprint != asks:
        raise IdempotencyMismatchError(
            f"{key} was used before for something else",
            other=OtherOperation(
                kind="claim", idempotency_key=key, record_id=seen.claim_id, at=seen.at
            ),
        )
    if seen is not None:
        return rules.known(book.claim(seen.claim_id), seen.claim_id)
    now = clock()
    claim = rule(book, now)
    use = KeyUse(key=key, fingerprint=asks, claim_id=claim.claim_id, at=now)
    book.remember(use, forget_before=now - RETENTION)
    return claim


def _take(request: rules.LeaseRequest, book: ClaimBook, now: datetime) -> Claim:
    found = next(iter(book.active(request.target_ref)), None)
    lapsed = found is not None and not found.holds(now)
    holder = None if lapsed else found
    claim = rules.taken(request, holder, book.claim(request.claim_id), now)
    if found is not None and lapsed:
        book.save(rules.expired(found))
    book.save(claim)
    return claim


def _change_claim(
    book: ClaimBook, now: datetime, claim_id: str, rule: Callable[[Claim, datetime], Claim]
) -> Claim:
    before = rules.known(book.claim(claim_id), claim_id)
    after = rule(before, now)
    if after is not before:
        book.save(after)
    return after


def _claim(book: ClaimBook, claim_id: str) -> Claim | None:
    return book.claim(claim_id)


def _active(book: ClaimBook, target_ref: str | None) -> list[Claim]:
    return book.active(target_ref)


def _known(book: ClaimBook, claim_ids: Sequence[str]) -> dict[str, Claim]:
    found = ((claim_id, book.claim(claim_id)) for claim_id in claim_ids)
    return {claim_id: claim for claim_id, claim in found if claim is not None}


def _page(book: ClaimBook, after: str) -> list[Claim]:
    return book.active_after(after, PAGE)


def _any_page(book: ClaimBook, after: str) -> list[Claim]:
    return book.claims_after(after, PAGE)


def _expire(
    book: ClaimBook, now: datetime, stalled_for: timedelta | None, targets: Partition
) -> list[Claim]:
    over = [
        claim
        for claim in book.active()
        if claim.target_ref in targets and rules.is_over(claim, now, stalled_for)
    ]
    ended = [rules.expired(claim) for claim in over]
    for claim in ended:
        book.save(claim)
    return ended


def _drop_ended(book: ClaimBook, kept_from: datetime) -> int:
    dropped, after = 0, ""
    while page := book.claims_after(after, PAGE):
        after = page[-1].claim_id
        for claim in page:
            if claim.status is not ClaimStatus.ACTIVE and claim.heartbeat_at < kept_from:
                book.drop(claim.claim_id)
                dropped += 1
    return dropped
