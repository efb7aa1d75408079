"""Claim: take the lease → commit `claimed`. Renew: extend the lease.

The lease is given back only when the commit provably did not happen *and* the document says that
the agent does not hold the bounty.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import dropwhile
from typing import Final

import msgspec

from nexus_bounty.events.tracking import level_triggered
from nexus_bounty.idempotency import OperationRecord, derived_id, derived_key
from nexus_bounty.lifecycle import holder_of
from nexus_bounty.models import AgentIdentity, Bounty, BountyStatus, Claim, ClaimStatus
from nexus_bounty.operations.escrow import check_ledger
from nexus_bounty.operations.lease_ends import RELEASE_LEASE, end_lease, give_up_lease, is_held_by
from nexus_bounty.operations.policy import check_actor
from nexus_bounty.operations.results import OperationResult
from nexus_bounty.operations.services import (
    Plan,
    Services,
    accepted_until,
    before_commit,
    check_payee,
    committed,
    credits_with,
    has_landed,
    known_bounty,
    operation,
    remembered_bounty,
    still_owed,
    target_of,
)
from nexus_bounty.outcomes import (
    BountyStateError,
    ClaimStateError,
    Evidence,
    IdempotencyMismatchError,
    InvalidInputError,
    Outcome,
    OutcomeError,
    PreCommitError,
    Proof,
    shown,
)
from nexus_bounty.ports import WorksAhead
from nexus_bounty.statuses import STATUSES, Claimer
from nexus_bounty.together import both
from nexus_bounty.validation import check_agent, check_duration, check_id

CLAIM: Final = Plan("claim", decided_by="claim", owed_then=("renew_lease",))
RENEW: Final = Plan("renew", decided_by="renew", owed_then=())
_ROUNDING: Final = timedelta(seconds=1)
"""What the times of a lease may lose where another program writes it again."""


async def claim(
    services: Services,
    bounty_id: str,
    agent: AgentIdentity,
    lease: timedelta | None,
    idempotency_key: str | None,
    actor: str | None = None,
) -> OperationResult:
    """Claim a bounty, or renew one's claim; see `BountyOperations.claim`."""
    check_id("bounty_id", bounty_id)
    check_agent("agent", agent)
    check_payee("agent", agent)
    check_actor(actor, "claim", agent.agent_id, bounty_id)
    lease = _checked_lease(services, lease)
    key = services.key(idempotency_key)
    async with operation(services, CLAIM, bounty_id, key, {"agentId": agent.agent_id}):
        bounty = await _looked_at(services, bounty_id, agent, key)
        if landed := await _landed(services, bounty, agent, lease, key):
            return landed
        await _check_claimable(services, bounty, agent, key)
        await check_ledger(services, bounty)
        return await _claim(services, bounty, agent, lease, key)


def _checked_lease(services: Services, lease: timedelta | None) -> timedelta:
    """How long a lease is to last, as asked for or as usual.

    Raises:
        InvalidInputError: It is no length of time, or too long (pre-commit).
    """
    lease = min(services.lease, services.longest_lease) if lease is None else lease
    check_duration("lease", lease)
    if lease > services.longest_lease:
        longest = shown(services.longest_lease)
        raise InvalidInputError("lease", lease, f"must be at most {longest}")
    return lease


def _within_deadline(services: Services, bounty: Bounty, lease: timedelta) -> timedelta:
    """The lease, cut at the end of the time in which the bounty can be worked on."""
    now = services.clock()
    left = accepted_until(services, bounty) - now
    past = left <= timedelta(0)  # then the claim is refused
    return left if _is_cut(services, bounty, lease, now) and not past else lease


def _is_cut(services: Services, bounty: Bounty, lease: timedelta, since: datetime) -> bool:
    """Whether a lease that began `since` then would have lasted too long."""
    return not services.lease_beyond_deadline and lease > accepted_until(services, bounty) - since


async def _claim(
    services: Services, bounty: Bounty, agent: AgentIdentity, lease: timedelta, key: str
) -> OperationResult:
    owed: list[str] = []
    commit_key = derived_key(key, "claim")
    held = await _leased(services, bounty, agent, lease, key)
    if not is_held_by(bounty, agent) and _keeps_others_off(services, bounty, held):
        await _free(services, bounty, key)
    if held.claim_id != _id_of(key):  # the agent had a lease before
        if await has_landed(services, bounty.bounty_id, commit_key):
            return _claimed(await known_bounty(services, bounty.bounty_id), held, key, owed)
        held = await _without_one_to_be_ended(services, bounty, agent, lease, key, held)
    if not _keeps_others_off(services, bounty, held):
        await _was_committed(services, bounty.bounty_id, commit_key, held)
    try:
        step = services.store.claim_bounty(
            bounty.bounty_id, agent, held.claim_id, once=True, idempotency_key=commit_key
        )
        bounty = await committed(step, owed)
    except PreCommitError as refusal:
        await _let_go(services, held, key, refusal)
        raise
    except IdempotencyMismatchError as mismatch:  # made since the bounty was last looked at
        await _let_go(services, held, key, mismatch)
        bounty = await known_bounty(services, bounty.bounty_id)
        landed = await _landed(services, bounty, agent, lease, key)
        if landed is None:
            raise
        return landed
    return _claimed(bounty, held, key, owed)


async def _landed(
    services: Services, bounty: Bounty, agent: AgentIdentity, lease: timedelta, key: str
) -> OperationResult | None:
    """What an earlier call with the key has led to, if it claimed the bounty: no lease is taken.

    The bounty is shown as it stands, whatever came after, and the lease that it was claimed with,
    which may have ended or been moved since. `None` if the bounty, as it was looked at, does not
    say what became of such a call.

    Raises:
        PreCommitError: Such a call was fenced off: the key is used up.
        IdempotencyMismatchError: The key is another agent's.
        PostCommitError: It claimed the bounty, and how its lease stands could not be read.
    """
    commit_key = derived_key(key, "claim")
    reading = services.store.get_history(bounty.bounty_id, fresh=False)
    history = await before_commit(reading, "the history")
    since = list(dropwhile(lambda each: each.key != commit_key, history))
    if not since:
        return None
    await check_ledger(services, bounty)
    if since[0].aborted:
        raise await _used_up(services, key)
    return await _as_it_stands(services, bounty, agent, lease, key, since)


async def _as_it_stands(
    services: Services,
    bounty: Bounty,
    agent: AgentIdentity,
    lease: timedelta,
    key: str,
    since: Sequence[OperationRecord],
) -> OperationResult:
    """The claim that landed as the first of the operations `since` then.

    It names its lease by a hash only. That is the one the key stands for, the one that the bounty
    still names, or one that was given back later.
    """
    owed: list[str] = []
    leases = (_id_of(key), bounty.claim_id, *(each.gave_back for each in since))
    for claim_id in dict.fromkeys(filter(None, leases)):
        standing = await _claimed_with(services, bounty.bounty_id, agent, claim_id, key, owed)
        if standing is None:
            continue
        try:
            held = await services.claims.get(claim_id)
        except Exception as error:  # whatever it is, the commit stands
            raise still_owed(standing, CLAIM.owed_then, error) from error
        if held is not None and claim_id == _id_of(key):
            _check_length(services, standing, held, lease)
        return _claimed(standing, held, key, owed)
    raise IdempotencyMismatchError(
        "the key stands for a claim by another agent, or with a lease that nothing tells of by now",
        evidence=Evidence(proof=Proof.IN_HISTORY),
    )


async def _claimed_with(
    services: Services,
    bounty_id: str,
    agent: AgentIdentity,
    claim_id: str,
    key: str,
    owed: list[str],
) -> Bounty | None:
    """The bounty as it stands, if the key claimed it with that lease; `None` if with another."""
    step = services.store.claim_bounty(
        bounty_id, agent, claim_id, once=True, idempotency_key=derived_key(key, "claim")
    )
    try:
        return await committed(step, owed)
    except IdempotencyMismatchError:
        return None


def _check_length(services: Services, bounty: Bounty, held: Claim, lease: timedelta) -> None:
    """See that a lease was asked for as long as it is now, where it still tells.

    Raises:
        IdempotencyMismatchError: It was not.
    """
    never_renewed = held.revision == (1 if held.status is ClaimStatus.ACTIVE else 2)
    if not never_renewed or _is_cut(services, bounty, lease, held.created_at):
        return
    lasts = held.lease_expires_at - held.heartbeat_at
    if abs(lasts - lease) > _ROUNDING:
        raise IdempotencyMismatchError(
            f"the key stands for a claim with a lease of {shown(lasts)}",
            evidence=Evidence(proof=Proof.DOCUMENT),
        )


async def _used_up(services: Services, key: str) -> PreCommitError:
    """What refuses a key that was fenced off; the lease that was taken with it is given up."""
    refusal = PreCommitError(
        "an earlier call with this key was fenced off for good; claim with a new key",
        evidence=Evidence(proof=Proof.FENCED),
    )
    held = await before_commit(services.claims.get(_id_of(key)), "the claim")
    if held is not None and held.holds(services.clock()):
        await _let_go(services, held, key, refusal)
    return refusal


def _claimed(bounty: Bounty, held: Claim | None, key: str, owed: list[str]) -> OperationResult:
    return OperationResult(
        operation="claim",
        idempotency_key=key,
        bounty=bounty,
        done=("take_lease", "commit_claim"),
        owed=owed,
        claim=held,
        credits_with=credits_with(bounty),
    )


async def _leased(
    services: Services, bounty: Bounty, agent: AgentIdentity, lease: timedelta, key: str
) -> Claim:
    """The lease, taken while the store begins what follows if the bounty is free."""
    taking = _take_lease(services, bounty, agent, lease, key, "lease")
    store = services.store
    if bounty.status is not BountyStatus.OPEN or not isinstance(store, WorksAhead):
        return await taking
    claim_id, commit_key = _id_of(key), derived_key(key, "claim")
    preparing = store.prepare_claim(
        bounty.bounty_id, agent, claim_id, once=True, idempotency_key=commit_key
    )
    held, _ = await both(taking, preparing)
    return held


async def _without_one_to_be_ended(
    services: Services,
    bounty: Bounty,
    agent: AgentIdentity,
    lease: timedelta,
    key: str,
    renewed: Claim,
) -> Claim:
    """The lease that the agent had, renewed, or a new one if the bounty was released with it.

    Whoever released it has yet to end that lease, and would end it with ours.
    """
    if not await _was_given_back(services, renewed):
        return renewed
    standing = await known_bounty(services, bounty.bounty_id)
    if standing.claim_id == renewed.claim_id:
        return renewed  # it was to be given back, and its agent was faster
    await end_lease(services, bounty.bounty_id, renewed.claim_id)
    return await _take_lease(services, bounty, agent, lease, key, "lease-anew")


async def _was_given_back(services: Services, claim: Claim) -> bool:
    """Whether the bounty was released with this very lease."""
    bounty_id = claim.target_ref.removeprefix(target_of(""))
    history = await before_commit(services.store.get_history(bounty_id), "the history")
    return any(each.gave_back == claim.claim_id for each in history)


def _id_of(key: str) -> str:
    """The id of the lease that a claim with `key` takes, unless its agent has one already."""
    return derived_id("claim", key)


def _keeps_others_off(services: Services, bounty: Bounty, held: Claim) -> bool:
    """Whether a lease is one on the bounty: another program may have moved it to something else."""
    return _is_on(bounty, held) and held.holds(services.clock())


def _is_on(bounty: Bounty, held: Claim) -> bool:
    return held.target_ref == target_of(bounty.bounty_id)


async def _free(services: Services, bounty: Bounty, key: str) -> None:
    """Release a bounty whose holder let the lease run out; it is ours now, so that stays so."""
    if bounty.claimed_by is None or STATUSES[bounty.status].claimer is not Claimer.AT_WORK:
        return
    step = services.store.release_bounty(
        bounty.bounty_id,
        bounty.claimed_by,
        claim_id=bounty.claim_id,
        idempotency_key=derived_key(key, "free"),
    )
    with suppress(BountyStateError):  # somebody was faster: the claim itself says how it stands
        await committed(step, [])


async def _is_abandoned(services: Services, bounty: Bounty) -> bool:
    """Whether whoever holds the bounty has let the lease run out, or moved it to something else."""
    if STATUSES[bounty.status].claimer is not Claimer.AT_WORK or bounty.claim_id is None:
        return False
    held = await before_commit(services.claims.get(bounty.claim_id), "the claim")
    if held is None:
        return False
    return not _keeps_others_off(services, bounty, held)


async def _take_lease(
    services: Services, bounty: Bounty, agent: AgentIdentity, lease: timedelta, key: str, step: str
) -> Claim:
    """The lease on a bounty: a new one, or the one that `agent` has already, renewed.

    One that was taken with the key before may have been moved by another program since; and one
    that is cut was asked for with more time left.
    """
    try:
        return await services.claims.claim_or_renew(
            target_of(bounty.bounty_id),
            agent,
            claim_id=_id_of(key),
            lease=_within_deadline(services, bounty, lease),
            intent_summary=f"Claiming bounty: {bounty.title}"[:200],
            idempotency_key=derived_key(key, step),
        )
    except IdempotencyMismatchError:
        held = await _taken_before(services, bounty, agent, key)
        cut = _is_cut(services, bounty, lease, services.clock())
        if held is None or (_is_on(bounty, held) and not cut):
            raise
        return held


async def _taken_before(
    services: Services, bounty: Bounty, agent: AgentIdentity, key: str
) -> Claim | None:
    """The lease of `agent` that the key took or renewed, wherever it is by now."""
    found = await before_commit(services.claims.get(_id_of(key)), "the claim")
    if found is None:
        reading = services.claims.active_claims(target_of(bounty.bounty_id))
        found = next(iter(await before_commit(reading, "the claim")), None)
    return found if found is not None and found.agent.agent_id == agent.agent_id else None


async def _looked_at(services: Services, bounty_id: str, agent: AgentIdentity, key: str) -> Bounty:
    """The bounty: as it was seen before will do, unless that would refuse `agent`."""
    remembered = await remembered_bounty(services, bounty_id)
    if remembered is not None and not _objection(services, remembered, agent, _id_of(key)):
        return remembered
    return await known_bounty(services, bounty_id)


async def _check_claimable(
    services: Services, bounty: Bounty, agent: AgentIdentity, key: str
) -> None:
    """See that `agent` may claim the bounty.

    Raises:
        BountyStateError: It may not (pre-commit).
    """
    objection = _objection(services, bounty, agent, _id_of(key))
    if objection and await _is_abandoned(services, bounty):
        objection = _objection(services, _as_if_open(bounty), agent, _id_of(key))
    if objection:
        raise _refusal(bounty, objection)


def _as_if_open(bounty: Bounty) -> Bounty:
    return msgspec.structs.replace(bounty, status=BountyStatus.OPEN, claimed_by=None, claim_id=None)


def _objection(
    services: Services, bounty: Bounty, agent: AgentIdentity, claim_id: str
) -> str | None:
    if bounty.claim_id == claim_id:
        return None  # it is this very operation that claimed it
    if bounty.status is not BountyStatus.OPEN and not is_held_by(bounty, agent):
        holder = holder_of(bounty)
        return f"is {bounty.status.value}{f' by {holder!r}' if holder else ''}"
    if bounty.deadline <= services.clock():
        return f"is past its deadline {bounty.deadline.isoformat()}"
    if bounty.creator.agent_id == agent.agent_id and not services.allow_self_claims:
        return f"was created by {agent.agent_id!r}, who cannot be paid from it"
    return None


async def _was_committed(services: Services, bounty_id: str, commit_key: str, held: Claim) -> None:
    """Go on with a lease that is over, or was moved, only if the claim was committed before.

    Raises:
        ClaimStateError: It was not, and is fenced off now (pre-commit).
    """
    resolution = await services.store.resolve_operation(bounty_id, commit_key)
    if resolution.outcome is not Outcome.COMMITTED:
        moved = held.target_ref != target_of(bounty_id)
        became = f"is on {held.target_ref!r} by now" if moved else f"is {held.status.value}"
        raise ClaimStateError(
            f"the lease taken with this key {became}; claim with a new key",
            evidence=resolution.evidence,
        )


async def _let_go(services: Services, held: Claim, key: str, refusal: OutcomeError) -> None:
    """Give the lease back that was taken with this key, unless its agent holds the bounty."""
    if held.claim_id != _id_of(key):
        return  # another call's, which may be about to claim with it
    try:
        await give_up_lease(services, held)
    except Exception as failure:  # noqa: BLE001 - the lease ends by itself
        refusal.add_note(f"still owed: {RELEASE_LEASE} of {held.claim_id} ({failure})")


async def renew(
    services: Services,
    bounty_id: str,
    agent: AgentIdentity,
    lease: timedelta | None,
    actor: str | None = None,
) -> OperationResult:
    """Extend the lease on a claimed bounty; see `BountyOperations.renew`."""
    check_id("bounty_id", bounty_id)
    check_agent("agent", agent)
    check_actor(actor, "renew", agent.agent_id, bounty_id)
    lease = _checked_lease(services, lease)
    key = services.key(None)
    with level_triggered():  # whoever does not know renews it again
        async with operation(services, RENEW, bounty_id, key):
            bounty = await known_bounty(services, bounty_id)
            _check_holder(bounty, agent)
            await check_ledger(services, bounty)
            held = await _extended(services, bounty, _within_deadline(services, bounty, lease))
    return OperationResult(
        operation="renew",
        idempotency_key=key,
        bounty=bounty,
        done=("extend_lease",),
        claim=held,
        credits_with=credits_with(bounty),
    )


async def _extended(services: Services, bounty: Bounty, lease: timedelta) -> Claim:
    """The lease that the bounty names, extended.

    Raises:
        BountyStateError: Another program has moved it to something else (pre-commit).
        ClaimStateError: It has ended (pre-commit).
    """
    claim_id, on = bounty.claim_id or "", target_of(bounty.bounty_id)
    try:
        return await services.claims.heartbeat(claim_id, lease=lease, target_ref=on)
    except ClaimStateError:
        held = await before_commit(services.claims.get(claim_id), "the claim")
        if held is None or held.target_ref == on:
            raise
        raise _refusal(bounty, f"names a lease that is on {held.target_ref!r} by now") from None


def _check_holder(bounty: Bounty, agent: AgentIdentity) -> None:
    if not is_held_by(bounty, agent):
        raise _refusal(bounty, f"is not claimed by {agent.agent_id!r}")


def _refusal(bounty: Bounty, why: str) -> BountyStateError:
    """What refuses an operation because of what the bounty's document says."""
    return BountyStateError(
        f"bounty {bounty.bounty_id!r} {why}",
        current_status=bounty.status.value,
        evidence=Evidence(proof=Proof.DOCUMENT),
    )
