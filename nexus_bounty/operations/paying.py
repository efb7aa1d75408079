"""Past the pivot: capture → `settled`, reward, end of the lease.

Once the credits have moved, the last three wait for nothing else, nor for each other. There is only
forward, for a bounty whose credits an operator has freed, too (`rescue`): it is settled, the ledger
says who has them, and nobody gets a reward for a payment that was not made.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, TypeVar

from nexus_bounty.ledger.rescues import why_rescued
from nexus_bounty.models import Bounty, BountyStatus, RewardRecord, RewardType, reward_id
from nexus_bounty.operations.escrow import check_trusted, is_of, is_still_held, pay, reservation_of
from nexus_bounty.operations.lease_ends import has_lease_left
from nexus_bounty.operations.results import OperationResult
from nexus_bounty.operations.services import (
    Services,
    credits_with,
    known_bounty,
    owing,
    still_owed,
    taken_forward,
    target_of,
)
from nexus_bounty.outcomes import (
    BountyStateError,
    ClaimNotFoundError,
    ClaimStateError,
    PaymentError,
)
from nexus_bounty.ports import Reservation, ReservationStatus
from nexus_bounty.together import all_three

T = TypeVar("T")

CAPTURE: Final = "capture_payment"
SETTLED: Final = "commit_settled"
REWARD: Final = "record_reward"
END_CLAIM: Final = "complete_claim"


async def _is_unsettled(_services: Services, bounty: Bounty) -> bool:
    """Whether a bounty past the pivot does not say yet that it is paid."""
    return bounty.status is not BountyStatus.SETTLED


async def _lacks_its_reward(services: Services, bounty: Bounty) -> bool:
    """Whether a reward that a bounty calls for is not recorded."""
    reward = payout_of(bounty)
    return reward is not None and not await services.store.has_reward(reward.reward_id)


OWED_PAST_THE_PIVOT: Final = {
    CAPTURE: is_still_held,
    SETTLED: _is_unsettled,
    REWARD: _lacks_its_reward,
    END_CLAIM: has_lease_left,
}


async def finish(
    services: Services, bounty: Bounty, key: str, owed: list[str] | None = None
) -> OperationResult:
    """Take a bounty that is past the pivot to its end; from any process, as often as needed.

    Raises:
        PostCommitError: A step is still owed.
    """
    owed = [] if owed is None else owed
    try:
        reservation = await _paid(services, bounty)
    except Exception as error:
        raise still_owed(bounty, [*OWED_PAST_THE_PIVOT, *owed], error) from error
    has_paid = reservation is not None and has_claimer(reservation, bounty)
    bounty, reward = await _said_so(services, bounty, key, owed, rewarded=has_paid)
    paid = (CAPTURE, SETTLED, REWARD) if has_paid else (SETTLED,)
    steps = ("commit_pending_settlement", *paid, END_CLAIM)
    return OperationResult(
        operation="settle",
        idempotency_key=key,
        bounty=bounty,
        done=tuple(step for step in steps if step not in owed),
        owed=owed,
        credits_with=_with_whom(bounty, reservation),
        reservation=reservation,
        reward=reward,
    )


async def _paid(services: Services, bounty: Bounty) -> Reservation | None:
    """The credits of a bounty, paid to its claimer, unless an operator has freed them otherwise.

    Raises:
        PaymentError: They were not paid, and no operator has decided that they are not to be.
    """
    try:
        return await pay(services, bounty)
    except PaymentError:
        found = await reservation_of(services, bounty)
        if found is None or await why_not_paid(services, bounty, found) is None:
            raise
        return found


async def why_not_paid(services: Services, bounty: Bounty, found: Reservation) -> str | None:
    """Why an operator has decided who gets the credits of a bounty; `None` if none has.

    What a document says of the credits of another bounty is nobody's decision about this one.
    """
    return await why_rescued(services.credits, found) if is_of(services, found, bounty) else None


def has_claimer(found: Reservation, bounty: Bounty) -> bool:
    """Whether the ledger has paid a bounty's credits to its claimer, and for no other work."""
    if found.status is not ReservationStatus.CAPTURED or bounty.claimed_by is None:
        return False
    work = None if found.assignment is None else found.assignment.work
    to_claimer = found.captured_to == bounty.claimed_by.agent_id
    return to_claimer and work in (None, bounty.fulfilled_by_cid)


def _with_whom(bounty: Bounty, found: Reservation | None) -> str | None:
    """The account that has the credits, as the ledger says, whatever the bounty has become."""
    return credits_with(bounty) if found is None else found.captured_to or found.account


async def _said_so(
    services: Services, bounty: Bounty, key: str, owed: list[str], *, rewarded: bool
) -> tuple[Bounty, RewardRecord | None]:
    """The bounty, settled, and its reward, once the credits have moved.

    Document, reward and lease say so at the same time: none of them waits for another.

    Raises:
        PostCommitError: One of them is still owed.
    """
    failed: dict[str, Exception] = {}
    settled, reward, _ = await all_three(
        _tried(SETTLED, _settled(services, bounty, key, owed), failed),
        _tried(REWARD, record_payout(services, bounty, paid=rewarded), failed),
        _without_claim(services, bounty, owed),
    )
    if settled is None or failed:
        step, error = next((step, failed[step]) for step in (SETTLED, REWARD) if step in failed)
        pending = [step, *(each for each in failed if each != step), *owed]
        raise still_owed(settled or bounty, pending, error) from error
    return settled, reward


async def _tried(step: str, work: Awaitable[T], failed: dict[str, Exception]) -> T | None:
    """What `work` ends in; an error is kept as that of `step`, and stops nothing beside it."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - raised when all have ended
        failed[step] = error
        return None


async def _without_claim(services: Services, bounty: Bounty, owed: list[str]) -> None:
    """End the lease, or owe it."""
    async with owing(services, END_CLAIM, owed):
        await _end_claim(services, bounty)


async def _settled(services: Services, bounty: Bounty, key: str, owed: list[str]) -> Bounty:
    if bounty.status is BountyStatus.SETTLED:
        return bounty

    def step(step_key: str) -> Awaitable[Bounty]:
        return services.store.settle_bounty(bounty.bounty_id, idempotency_key=step_key)

    try:
        return await taken_forward(services, step, key, "settle", owed)
    except BountyStateError:
        standing = await known_bounty(services, bounty.bounty_id)
        if standing.status is BountyStatus.SETTLED:  # a reconciler was faster
            return standing
        raise


async def record_payout(services: Services, bounty: Bounty, *, paid: bool) -> RewardRecord | None:
    """Record the reward of a bounty that was `paid`; one and the same however often.

    Raises:
        UntrustedDocumentError: No key of the zone has signed the document; nothing was recorded.
    """
    check_trusted(bounty)
    reward = payout_of(bounty)
    if reward is None or not paid:
        return None
    return await services.store.record_reward(reward)


def payout_of(bounty: Bounty) -> RewardRecord | None:
    """The reward that a paid bounty calls for; `None` if nothing was paid."""
    cid, payee = bounty.fulfilled_by_cid, bounty.claimed_by
    if cid is None or payee is None or bounty.reservation_id is None:
        return None
    return RewardRecord(
        reward_id=reward_id(RewardType.BOUNTY_PAYOUT, bounty.bounty_id, cid),
        reward_type=RewardType.BOUNTY_PAYOUT,
        recipient=payee,
        amount=bounty.amount,
        contribution_cid=cid,
        bounty_id=bounty.bounty_id,
        transfer_id=bounty.reservation_id,
        created_at=bounty.updated_at,
    )


async def _end_claim(services: Services, bounty: Bounty) -> None:
    if bounty.claim_id is None:
        return
    try:
        on = target_of(bounty.bounty_id)
        await services.claims.complete(bounty.claim_id, target_ref=on)
    except (ClaimNotFoundError, ClaimStateError):
        return  # its lease has ended already, is on something else, or was never kept here
