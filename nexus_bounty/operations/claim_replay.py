"""The replay of a claim: what a call leads to whose key has already claimed, or never will."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import dropwhile
from typing import Final

from nexus_bounty.idempotency import OperationRecord, derived_key
from nexus_bounty.models import AgentIdentity, Bounty, Claim, ClaimStatus
from nexus_bounty.operations.escrow import check_ledger
from nexus_bounty.operations.lease_taking import give_lease_back, is_cut, lease_id
from nexus_bounty.operations.results import OperationResult
from nexus_bounty.operations.services import (
    Plan,
    Services,
    before_commit,
    committed,
    credits_with,
    still_owed,
)
from nexus_bounty.outcomes import Evidence, IdempotencyMismatchError, PreCommitError, Proof, shown
from nexus_bounty.statuses import STATUSES, Claimer

RENEW_LEASE: Final = "renew_lease"


async def _has_lapsed(services: Services, bounty: Bounty) -> bool:
    """Whether a bounty is claimed with a lease that has run out."""
    if STATUSES[bounty.status].claimer is not Claimer.AT_WORK or bounty.claim_id is None:
        return False
    held = await services.claims.get(bounty.claim_id)
    return held is None or not held.holds(services.clock())


CLAIM: Final = Plan("claim", decided_by="claim", owed_then={RENEW_LEASE: _has_lapsed})
_ROUNDING: Final = timedelta(seconds=1)
"""What the times of a lease may lose where another program writes it again."""


async def replayed(
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
        refusal = PreCommitError(
            "an earlier call with this key was fenced off for good; claim with a new key",
            evidence=Evidence(proof=Proof.FENCED),
        )
        await _give_back_lease_of_key(services, key, refusal)
        raise refusal
    return await _replayed_with_its_lease(services, bounty, agent, lease, key, since)


async def _replayed_with_its_lease(
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
    leases = (lease_id(key), bounty.claim_id, *(each.gave_back for each in since))
    for claim_id in dict.fromkeys(filter(None, leases)):
        standing = await _commit_repeated(services, bounty.bounty_id, agent, claim_id, key, owed)
        if standing is None:
            continue
        try:
            held = await services.claims.get(claim_id)
        except Exception as error:  # whatever it is, the commit stands
            raise still_owed(standing, [RENEW_LEASE], error) from error
        if held is not None and claim_id == lease_id(key):
            _check_length(services, standing, held, lease)
        return claim_result(standing, held, key, owed)
    raise IdempotencyMismatchError(
        "the key stands for a claim by another agent, or with a lease that nothing tells of by now",
        evidence=Evidence(proof=Proof.IN_HISTORY),
    )


async def _commit_repeated(
    services: Services,
    bounty_id: str,
    agent: AgentIdentity,
    claim_id: str,
    key: str,
    owed: list[str],
) -> Bounty | None:
    """Repeat the commit of the key as one with that lease; `None` if it was made with another.

    The commit landed then: a repeat moves nothing any more, and returns the bounty as it stands.
    """
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
    if not never_renewed or is_cut(services, bounty, lease, held.created_at):
        return
    lasts = held.lease_expires_at - held.heartbeat_at
    if abs(lasts - lease) > _ROUNDING:
        raise IdempotencyMismatchError(
            f"the key stands for a claim with a lease of {shown(lasts)}",
            evidence=Evidence(proof=Proof.DOCUMENT),
        )


async def _give_back_lease_of_key(services: Services, key: str, refusal: PreCommitError) -> None:
    """Give back the lease that was taken with a key which is refused now."""
    held = await before_commit(services.claims.get(lease_id(key)), "the claim")
    if held is not None and held.holds(services.clock()):
        await give_lease_back(services, held, key, refusal)


def claim_result(bounty: Bounty, held: Claim | None, key: str, owed: list[str]) -> OperationResult:
    """What a claim that is committed has led to, with the lease as it was taken, or stands."""
    return OperationResult(
        operation="claim",
        idempotency_key=key,
        bounty=bounty,
        done=("take_lease", "commit_claim"),
        owed=owed,
        claim=held,
        credits_with=credits_with(bounty),
    )
