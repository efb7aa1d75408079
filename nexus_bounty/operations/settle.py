"""Settle: commit `pending_settlement` (the pivot), and pay, see `paying`.

Criteria are checked before the pivot. After it there is only forward: whatever fails is owed, and
the reconciler finishes it from the document alone.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from nexus_bounty import criteria
from nexus_bounty.idempotency import derived_key
from nexus_bounty.models import (
    Bounty,
    BountyStatus,
    Contribution,
    composed,
)
from nexus_bounty.operations.ahead import begun_ahead
from nexus_bounty.operations.escrow import (
    check_ledger,
    check_trusted,
    record_payee,
    reservation_of,
)
from nexus_bounty.operations.paying import OWED_PAST_THE_PIVOT, finish, payout_of
from nexus_bounty.operations.policy import check_actor
from nexus_bounty.operations.results import OperationResult
from nexus_bounty.operations.services import (
    Plan,
    Services,
    before_commit,
    check_payee,
    committed,
    ends_at,
    known_bounty,
    operation,
    remembered_bounty,
    target_of,
)
from nexus_bounty.outcomes import (
    BountyStateError,
    CriteriaNotMetError,
    Evidence,
    Observation,
    OutcomeError,
    PaymentError,
    Proof,
)
from nexus_bounty.ports import (
    Assignment,
    CompletesAhead,
    RecordsAhead,
    ReservationStatus,
    SettlesAhead,
    expecting,
)
from nexus_bounty.statuses import STATUSES, Claimer, Credits
from nexus_bounty.together import all_three, both
from nexus_bounty.validation import check_id

T = TypeVar("T")

SETTLE: Final = Plan("settle", decided_by="begin", owed_then=OWED_PAST_THE_PIVOT)


async def settle(
    services: Services,
    bounty_id: str,
    contribution_cid: str,
    idempotency_key: str | None,
    actor: str | None = None,
) -> OperationResult:
    """Pay the claimer of a bounty; see `BountyOperations.settle`."""
    check_id("bounty_id", bounty_id)
    check_id("contribution_cid", contribution_cid)
    key = services.key(idempotency_key)
    asked_for = {"cid": contribution_cid}
    async with operation(services, SETTLE, bounty_id, key, asked_for, actor=actor):
        owed: list[str] = []
        remembered = await remembered_bounty(services, bounty_id)
        bounty, ahead = await both(
            _examined(services, remembered, bounty_id, contribution_cid),
            _pivot_ahead(services, remembered, contribution_cid, key, actor),
        )
        # not of what is remembered: that may be a draft, and another's bounty in its place by now
        check_actor(actor, "settle", bounty.creator.agent_id, bounty_id)
        bounty = await _decided(services, bounty, contribution_cid, key, owed, ahead=ahead)
        return await finish(services, bounty, key, owed)


async def _examined(
    services: Services, remembered: Bounty | None, bounty_id: str, cid: str
) -> Bounty:
    """The bounty, whose claimer's work was looked at, as it is remembered if that is enough.

    Raises:
        PreCommitError: It is not to be settled with that work.
    """
    try:
        return await _fulfilled(services, remembered, bounty_id, cid)
    except (CriteriaNotMetError, BountyStateError):
        standing = await known_bounty(services, bounty_id)
        if remembered is None or standing.claim_id == remembered.claim_id:
            raise
        return await _fulfilled(services, standing, bounty_id, cid)  # another holds it by now


async def _pivot_ahead(
    services: Services, bounty: Bounty | None, cid: str, key: str, actor: str | None
) -> bool:
    """Have the pivot, and what follows at once, begun while the work is looked at; whether it was.

    Only if nothing but the work can be in its way. Nothing is committed, nor is the ledger told of
    anything: all that is checked before the pivot is checked before that. If the work is refused,
    a stale marker is left, and staged files.
    """
    store = services.store
    if bounty is None or bounty.status is not BountyStatus.CLAIMED:
        return False
    if not isinstance(store, SettlesAhead):
        return False
    try:
        check_actor(actor, "settle", bounty.creator.agent_id, bounty.bounty_id)
        check_trusted(bounty)
        await check_ledger(services, bounty)
        _check_time(services, bounty)
    except OutcomeError:
        return False  # the settlement itself says it, after what it says of the work
    preparing = expecting(store, derived_key(key, "settle")).prepare_settlement(
        bounty.bounty_id,
        cid,
        claim_id=bounty.claim_id,
        idempotency_key=derived_key(key, "begin"),
    )
    await all_three(
        begun_ahead(preparing),
        _reward_ahead(services, bounty, cid),
        _end_of_claim_ahead(services, bounty),
    )
    return True


async def _decided(
    services: Services, bounty: Bounty, cid: str, key: str, owed: list[str], *, ahead: bool
) -> Bounty:
    """The bounty past the pivot, its payee and the work written down in the ledger before that.

    Raises:
        PreCommitError: It is not to be settled so, or has been claimed anew since it was examined.
    """
    check_trusted(bounty)
    _check_contribution(bounty, cid)
    await check_ledger(services, bounty)
    pivot_key = derived_key(key, "begin")
    if _is_begun(bounty, cid):
        return await _resumed(services, bounty, cid, pivot_key)
    try:
        _check_time(services, bounty)
        return await _begun(services, bounty, cid, key, owed, ahead=ahead)
    except (BountyStateError, PaymentError):  # by the bounty or the ledger as another call left it
        standing = await known_bounty(services, bounty.bounty_id)
        if not (_is_begun(standing, cid) or await _is_unpaid(services, standing, cid, pivot_key)):
            raise
        return await _resumed(services, standing, cid, pivot_key)  # another call was faster


async def _begun(
    services: Services, bounty: Bounty, cid: str, key: str, owed: list[str], *, ahead: bool
) -> Bounty:
    """The bounty past the pivot, taken there by this call unless another program completed it."""
    pivot_key = derived_key(key, "begin")
    if bounty.status in (BountyStatus.CLAIMED, BountyStatus.COMPLETED):
        await record_payee(services, bounty, cid, pivot_key)
    if _is_decided_elsewhere(bounty):
        return bounty
    pivot = expecting(services.store, derived_key(key, "settle")).begin_settlement(
        bounty.bounty_id, cid, claim_id=bounty.claim_id, idempotency_key=pivot_key
    )
    if ahead:
        return await committed(pivot, owed)
    begun, _, _ = await all_three(
        committed(pivot, owed),
        _reward_ahead(services, bounty, cid),
        _end_of_claim_ahead(services, bounty),
    )
    return begun


async def _reward_ahead(services: Services, bounty: Bounty, cid: str) -> None:
    """Have the reward begun while the pivot is: it follows at once."""
    now = max(services.clock(), bounty.updated_at)
    reward = payout_of(msgspec.structs.replace(bounty, fulfilled_by_cid=cid, updated_at=now))
    if reward is not None and isinstance(services.store, RecordsAhead):
        await begun_ahead(services.store.prepare_reward(reward))


async def _end_of_claim_ahead(services: Services, bounty: Bounty) -> None:
    """Likewise the end of the lease."""
    if bounty.claim_id is not None and isinstance(services.claims, CompletesAhead):
        on = target_of(bounty.bounty_id)
        await begun_ahead(services.claims.prepare_completion(bounty.claim_id, target_ref=on))


async def _is_unpaid(services: Services, bounty: Bounty, cid: str, pivot_key: str) -> bool:
    """Whether another program settled the bounty for that work, and left the paying to this call.

    Its document says that it is settled, and our ledger still holds the credits, or has paid them
    at this very call's word.
    """
    if bounty.status is not BountyStatus.SETTLED or bounty.fulfilled_by_cid != cid:
        return False
    found = await before_commit(reservation_of(services, bounty), "the reservation")
    if found is None or found.status is ReservationStatus.HELD:
        return found is not None
    return found.assignment is not None and found.assignment.key == pivot_key


async def _resumed(services: Services, bounty: Bounty, cid: str, pivot_key: str) -> Bounty:
    """A bounty whose settlement with this very work another call has begun, whatever its key.

    A program that keeps no ledger leaves nobody on record to be paid, or whom a settlement of ours
    was to pay that never came to its pivot: then the work is looked at.

    Raises:
        CriteriaNotMetError: It does not fulfil the bounty (pre-commit, for the one that asks).
    """
    reservation = await before_commit(reservation_of(services, bounty), "the reservation")
    held = reservation is not None and reservation.status is ReservationStatus.HELD
    if held and reservation is not None and not _is_for(reservation.assignment, bounty, cid):
        await _check_work(services, bounty, cid)
        await record_payee(services, bounty, cid, pivot_key)
    return bounty


def _is_for(assignment: Assignment | None, bounty: Bounty, cid: str) -> bool:
    """Whether it says that the claimer is to be paid for that work."""
    claimer = bounty.claimed_by.agent_id if bounty.claimed_by else None
    return assignment is not None and (assignment.payee, assignment.work) == (claimer, cid)


async def _fulfilled(services: Services, bounty: Bounty | None, bounty_id: str, cid: str) -> Bounty:
    """The bounty, with its claimer's work that meets its criteria, or past the pivot already.

    Raises:
        CriteriaNotMetError: It does not (pre-commit).
        BountyStateError: Nobody has claimed it (pre-commit).
    """
    if bounty is None or STATUSES[bounty.status].claimer is not Claimer.AT_WORK:
        bounty = await known_bounty(services, bounty_id)
    claimer = STATUSES[bounty.status].claimer
    if claimer is Claimer.NONE:
        # not left to the store: by then it may be claimed, and nobody has looked at the work
        raise BountyStateError(
            f"bounty {bounty_id!r} is {bounty.status.value}: nobody has claimed it",
            current_status=bounty.status.value,
            evidence=Evidence(proof=Proof.DOCUMENT),
        )
    if claimer is not Claimer.AT_WORK and not _is_decided_elsewhere(bounty):
        return bounty  # past the pivot, or the store refuses it
    await _check_work(services, bounty, cid)
    return bounty


async def _check_work(services: Services, bounty: Bounty, cid: str) -> None:
    """Refuse to settle with what does not fulfil the bounty.

    Raises:
        CriteriaNotMetError: It does not (pre-commit).
    """
    if bounty.claimed_by is not None:
        check_payee("claimed_by", bounty.claimed_by)
    contribution = await before_commit(services.contributions.get(cid), "the contribution")
    if lacking := _lacking(bounty, cid, contribution):
        seen = Observation(action="read", target=cid, answer=lacking)
        raise CriteriaNotMetError(
            f"contribution {cid!r} does not fulfil bounty {bounty.bounty_id!r}: {lacking}",
            evidence=Evidence(proof=Proof.LOCAL_CHECK, observations=(seen,)),
        )


def _lacking(bounty: Bounty, cid: str, contribution: Contribution | None) -> str | None:
    """Why a contribution cannot be paid by this bounty, if it cannot."""
    if contribution is None:
        return "there is no such contribution"
    if contribution.cid != cid:
        return f"what was found is another one, {contribution.cid!r}"
    claimer, author = bounty.claimed_by, contribution.agent
    if claimer and author and composed(author.agent_id) != composed(claimer.agent_id):
        return f"it is by {author.agent_id!r}, not by its claimer {claimer.agent_id!r}"
    unmet = criteria.unmet(bounty.criteria, contribution)
    return f"it lacks {', '.join(unmet)}" if unmet else None


def _check_time(services: Services, bounty: Bounty) -> None:
    """Refuse to accept work after the time for it, whether or not a sweep has ended the bounty."""
    until = ends_at(services, bounty)
    if STATUSES[bounty.status].claimer is Claimer.AT_WORK and services.clock() >= until:
        raise BountyStateError(
            f"bounty {bounty.bounty_id!r} could be settled until {until.isoformat()}",
            current_status=bounty.status.value,
            evidence=Evidence(proof=Proof.DOCUMENT),
        )


def _is_decided_elsewhere(bounty: Bounty) -> bool:
    """Whether another program has taken the bounty past the pivot, to be paid by whoever can."""
    return STATUSES[bounty.status].credits is Credits.IN_PAYMENT


def _is_begun(bounty: Bounty, cid: str) -> bool:
    """Whether the bounty is being settled with that work, and not yet at its end."""
    begun = bounty.status is BountyStatus.PENDING_SETTLEMENT
    return begun and bounty.fulfilled_by_cid == cid


def _check_contribution(bounty: Bounty, cid: str) -> None:
    """Refuse to settle what was completed with another contribution, or with nobody knows which."""
    if _is_decided_elsewhere(bounty) and bounty.fulfilled_by_cid != cid:
        named = bounty.fulfilled_by_cid
        work = f"with {named!r}" if named is not None else "and does not say with which work"
        raise BountyStateError(
            f"bounty {bounty.bounty_id!r} was completed {work}",
            current_status=bounty.status.value,
            evidence=Evidence(proof=Proof.DOCUMENT),
        )
