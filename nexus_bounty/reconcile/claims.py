"""Orphan claims: leases without their bounty, and claimed bounties without their lease."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from nexus_bounty.idempotency import derived_id, new_key
from nexus_bounty.lifecycle import swept_for
from nexus_bounty.models import AgentIdentity, Bounty, BountyQuery, Claim
from nexus_bounty.nexus.documents import UnreadableDocumentError
from nexus_bounty.operations.lease_ends import give_up_lease
from nexus_bounty.operations.services import Services, committed, target_of
from nexus_bounty.outcomes import BountyStateError
from nexus_bounty.ports import InZone
from nexus_bounty.reconcile.sweep import LEFT_AS_IT_IS, Problem, Scope, in_pages
from nexus_bounty.statuses import STATUSES, Claimer, Repair

_PREFIX = target_of("")
_RECONCILER: Final = AgentIdentity(agent_id="nexus-bounty")
_WHILE_REOPENING: Final = timedelta(minutes=5)
_CHANGED = "nothing: somebody has seen to it meanwhile"


class OrphanClaims:
    """Active leases on bounties whose document does not give them to their holder.

    Those that cannot be understood are named, and left alone: they may be alive.
    """

    name = "orphan claims"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every active lease that its bounty's document rules out."""
        unreadable: dict[str, str] = {}
        async for page in in_pages(_leases(scope, unreadable), scope.page):
            bounties = await scope.services.store.get_bounties([_about(claim) for claim in page])
            for claim in page:
                bounty = bounties.get(_about(claim))
                if bounty and not _belongs(claim, bounty):
                    yield _problem(scope.services, claim, bounty)
        for claim_id, why in unreadable.items():
            yield Problem(claim_id, f"cannot be understood: {why}", reason=LEFT_AS_IT_IS)


class AbandonedBounties:
    """Claimed bounties whose claimer let the lease run out, or whose lease is gone: others may.

    That no record of a lease is found proves nothing where claimers may keep theirs elsewhere. It
    is believed of claims that lie in the zone for all to see, and of what our own operations
    claimed; and only while the reconciler itself holds the lease, which nobody else then does.
    A record that cannot be understood is one: its claimer may be at work.
    """

    name = "abandoned bounties"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every claimed bounty whose lease has ended."""
        services = scope.services
        claimed = BountyQuery(status=swept_for(Repair.REOPEN))
        async for page in in_pages(
            services.store.walk_bounties(claimed, partition=scope.partition), scope.page
        ):
            unreadable: dict[str, str] = {}
            claims = await services.claims.get_many(
                [each.claim_id for each in page if each.claim_id], unreadable=unreadable
            )
            for bounty in page:
                claim = claims.get(bounty.claim_id or "")
                if bounty.deadline <= scope.now:
                    continue
                if why := unreadable.get(bounty.claim_id or ""):
                    why = f"{bounty.claim_id}: {why}"
                    yield _with_a_lease_that_cannot_be_understood(bounty, why)
                    continue
                if claim is None or claim.target_ref != target_of(bounty.bounty_id):
                    if problem := await _without_lease(services, bounty):
                        yield problem
                    continue
                if claim.holds(scope.now):
                    continue
                lapsed_just_now = claim.holds(scope.now - scope.grace)
                touched = claim.lease_expires_at if lapsed_just_now else bounty.updated_at
                yield _abandoned(services, bounty, claim, touched)


async def _without_lease(services: Services, bounty: Bounty) -> Problem | None:
    """What is wrong with a claimed bounty of whose lease there is no record, if that is so."""
    if not await _would_be_recorded(services, bounty):
        return None
    try:
        if await services.claims.active_claims(target_of(bounty.bounty_id)):
            return None  # its claimer renews another one, or somebody else is about to claim it
    except UnreadableDocumentError as error:
        return _with_a_lease_that_cannot_be_understood(bounty, str(error))
    what = f"is claimed by {_holder_of(bounty)}, of whose lease there is no record"
    return Problem(
        bounty.bounty_id,
        what,
        partial(_reopen, services, bounty),
        touched=bounty.updated_at,
        about=bounty,
    )


def _with_a_lease_that_cannot_be_understood(bounty: Bounty, why: str) -> Problem:
    what = f"is claimed by {_holder_of(bounty)}, whose lease cannot be understood: {why}"
    return Problem(bounty.bounty_id, what, reason=LEFT_AS_IT_IS)


def _holder_of(bounty: Bounty) -> str:
    return repr(bounty.claimed_by.agent_id if bounty.claimed_by else None)


async def _would_be_recorded(services: Services, bounty: Bounty) -> bool:
    """Whether the lease of a claimed bounty was kept where these services look for it."""
    if isinstance(services.claims, InZone):
        return True
    history = await services.store.get_history(bounty.bounty_id)
    return bounty.claim_id is not None and any(
        record.key.endswith(":claim")
        and derived_id("claim", record.key[: -len(":claim")]) == bounty.claim_id
        for record in history
        if not record.aborted
    )


async def _reopen(services: Services, bounty: Bounty) -> str:
    """Release a bounty while its lease is held here: only so nobody else can be at work on it."""
    if await services.store.get_bounty(bounty.bounty_id) != bounty or bounty.claimed_by is None:
        return _CHANGED
    held = await services.claims.create_claim(
        target_of(bounty.bounty_id),
        _RECONCILER,
        claim_id=derived_id("claim", new_key(services.random)),
        lease=_WHILE_REOPENING,
        intent_summary="reopening it: there is no record of its lease",
    )
    try:
        return await _released(services, bounty, bounty.claimed_by)
    finally:
        await services.claims.release(held.claim_id)


async def _released(services: Services, bounty: Bounty, holder: AgentIdentity) -> str:
    """Open a bounty for others, unless its holder has claimed it anew since it was looked at."""
    step = services.store.release_bounty(bounty.bounty_id, holder, claim_id=bounty.claim_id)
    try:
        await committed(step, [])
    except BountyStateError:
        return _CHANGED
    return "released for others to claim"


async def _leases(scope: Scope, unreadable: dict[str, str]) -> AsyncIterator[Claim]:
    """The active leases on bounties; `unreadable` gets what is wrong with others."""
    async for claim in scope.services.claims.walk_active_claims(
        targets=scope.targets, unreadable=unreadable
    ):
        if claim.target_ref.startswith(_PREFIX):
            yield claim


def _about(claim: Claim) -> str:
    """The id of the bounty that a lease is on."""
    return claim.target_ref.removeprefix(_PREFIX)


def _belongs(claim: Claim, bounty: Bounty) -> bool:
    if not bounty.status.is_known:
        return True  # whoever gave it that status knows what it needs
    holder = bounty.claimed_by.agent_id if bounty.claimed_by else None
    needed = STATUSES[bounty.status].claimer in (Claimer.AT_WORK, Claimer.BEING_PAID)
    return needed and holder == claim.agent.agent_id


async def _has_changed(services: Services, bounty: Bounty, claim: Claim) -> bool:
    """Whether somebody has seen to them since their page was read, perhaps by claiming anew."""
    if await services.claims.get(claim.claim_id) != claim:
        return True
    return await services.store.get_bounty(bounty.bounty_id) != bounty


def _problem(services: Services, claim: Claim, bounty: Bounty) -> Problem:
    async def end() -> str:
        if await _has_changed(services, bounty, claim):
            return _CHANGED
        is_paid = STATUSES[bounty.status].claimer is Claimer.PAID
        if is_paid and claim.claim_id == bounty.claim_id:
            await services.claims.complete(claim.claim_id, target_ref=claim.target_ref)
            return "completed"
        return "released" if await give_up_lease(services, claim) else _CHANGED

    holder = f" by {bounty.claimed_by.agent_id!r}" if bounty.claimed_by else ""
    what = f"holds bounty {bounty.bounty_id!r}, which is {bounty.status.value}{holder}"
    touched = max(claim.heartbeat_at, bounty.updated_at)
    return Problem(claim.claim_id, what, end, touched=touched, about=bounty)


def _abandoned(services: Services, bounty: Bounty, claim: Claim, touched: datetime) -> Problem:
    async def reopen() -> str:
        if bounty.claimed_by is None or await _has_changed(services, bounty, claim):
            return _CHANGED
        return await _released(services, bounty, bounty.claimed_by)

    until = claim.lease_expires_at.isoformat()
    what = f"is claimed by {claim.agent.agent_id!r}, whose lease ended at {until}"
    return Problem(bounty.bounty_id, what, reopen, touched=touched, about=bounty)
