"""How a claim takes its lease, which the claim's key names, and gives it back.

The lease is given back only when the commit provably did not happen *and* the document says that
the agent does not hold the bounty.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from nexus_bounty.idempotency import derived_id, derived_key
from nexus_bounty.models import AgentIdentity, Bounty, Claim
from nexus_bounty.operations.lease_ends import RELEASE_LEASE, give_up_lease
from nexus_bounty.operations.services import Services, accepted_until, before_commit, target_of
from nexus_bounty.outcomes import IdempotencyMismatchError, InvalidInputError, OutcomeError, shown
from nexus_bounty.validation import check_duration


def checked_lease(services: Services, lease: timedelta | None) -> timedelta:
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


def cut_at_deadline(services: Services, bounty: Bounty, lease: timedelta) -> timedelta:
    """The lease, cut at the end of the time in which the bounty can be worked on."""
    now = services.clock()
    left = accepted_until(services, bounty) - now
    past = left <= timedelta(0)  # then the claim is refused
    return left if is_cut(services, bounty, lease, now) and not past else lease


def is_cut(services: Services, bounty: Bounty, lease: timedelta, since: datetime) -> bool:
    """Whether a lease that began `since` then would have lasted too long."""
    return not services.lease_beyond_deadline and lease > accepted_until(services, bounty) - since


def lease_id(key: str) -> str:
    """The id of the lease that a claim with `key` takes, unless its agent has one already."""
    return derived_id("claim", key)


def keeps_others_off(services: Services, bounty: Bounty, held: Claim) -> bool:
    """Whether a lease is one on the bounty: another program may have moved it to something else."""
    return _is_on(bounty, held) and held.holds(services.clock())


def _is_on(bounty: Bounty, held: Claim) -> bool:
    return held.target_ref == target_of(bounty.bounty_id)


async def take_lease(
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
            claim_id=lease_id(key),
            lease=cut_at_deadline(services, bounty, lease),
            intent_summary=f"Claiming bounty: {bounty.title}"[:200],
            idempotency_key=derived_key(key, step),
        )
    except IdempotencyMismatchError:
        held = await _lease_of_key(services, bounty, agent, key)
        cut = is_cut(services, bounty, lease, services.clock())
        if held is None or (_is_on(bounty, held) and not cut):
            raise
        return held


async def _lease_of_key(
    services: Services, bounty: Bounty, agent: AgentIdentity, key: str
) -> Claim | None:
    """The lease of `agent` that the key took or renewed, wherever it is by now."""
    found = await before_commit(services.claims.get(lease_id(key)), "the claim")
    if found is None:
        reading = services.claims.active_claims(target_of(bounty.bounty_id))
        found = next(iter(await before_commit(reading, "the claim")), None)
    return found if found is not None and found.agent.agent_id == agent.agent_id else None


async def give_lease_back(services: Services, held: Claim, key: str, refusal: OutcomeError) -> None:
    """Give the lease back that was taken with this key, unless its agent holds the bounty."""
    if held.claim_id != lease_id(key):
        return  # another call's, which may be about to claim with it
    try:
        await give_up_lease(services, held)
    except Exception as failure:  # noqa: BLE001 - the lease ends by itself
        refusal.add_note(f"still owed: {RELEASE_LEASE} of {held.claim_id} ({failure})")
