"""Create: draft naming its reservation → reserve → open.

    draft     committed under `<key>:draft`, naming the reservation
    reserve   the amount, under an id that derives from the key
    open      committed under `<key>:open`

A crash anywhere leaves a draft that says what to look for. Giving up is a commit, too: credits go
back only once the draft is cancelled, and so can no longer be opened by anybody.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from nexus_bounty.idempotency import content_key, derived_id, derived_key
from nexus_bounty.models import FROM_IDEMPOTENCY_KEY, Bounty, BountyStatus
from nexus_bounty.operations.escrow import (
    check_same_ledger,
    check_trusted,
    give_back,
    ledger_at_hand,
    terms_of,
)
from nexus_bounty.operations.policy import check_actor
from nexus_bounty.operations.results import OperationResult
from nexus_bounty.operations.services import (
    Plan,
    Services,
    asked_until_told,
    before_commit,
    check_payee,
    committed,
    credits_with,
    has_landed,
    logger,
    operation,
    taken_forward,
)
from nexus_bounty.operations.without_credits import WithoutCredits
from nexus_bounty.outcomes import (
    CommitUnknownError,
    InvalidInputError,
    OutcomeError,
    PaymentError,
    PreCommitError,
)
from nexus_bounty.ports import Reservation, ReservationStatus
from nexus_bounty.validation import check_bounty

CREATE: Final = Plan("create", decided_by="open", owed_then=("remove_stale_marker",))


async def create(
    services: Services,
    bounty: Bounty,
    idempotency_key: str | None,
    *,
    relative_deadline: bool = False,
    actor: str | None = None,
) -> OperationResult:
    """Post a bounty with its credits in escrow; see `BountyOperations.create`."""
    check_bounty(bounty)
    if bounty.status is not BountyStatus.OPEN:
        raise InvalidInputError("status", bounty.status, "must be open: that is what create makes")
    check_payee("creator", bounty.creator)
    check_actor(actor, "create", bounty.creator.agent_id, bounty.bounty_id)
    if idempotency_key is None and services.same_content_once:
        idempotency_key, relative_deadline = _content_key(bounty), True
    key = services.key(idempotency_key)
    draft = _draft(bounty, key)
    first_step = derived_key(key, "open" if _has_no_credits(services) else "draft")
    asked_for = _asked_for(bounty, relative_deadline=relative_deadline)
    async with operation(services, CREATE, draft.bounty_id, key, asked_for) as tried_before:
        if bounty.deadline <= services.clock() and not await has_landed(
            services, draft.bounty_id, first_step
        ):
            raise InvalidInputError("deadline", bounty.deadline, "must be in the future")
        if _has_no_credits(services):
            return await _post(services, draft, key, relative_deadline=relative_deadline)
        draft = msgspec.structs.replace(draft, ledger_id=await ledger_at_hand(services))
        if idempotency_key is not None and not tried_before:
            await _check_not_elsewhere(services, draft)
        return await _create(services, draft, key, relative_deadline=relative_deadline)


async def _check_not_elsewhere(services: Services, draft: Bounty) -> None:
    """See that a key which this ledger has never seen was not used with another one.

    It costs a read, before the first marker is written; a key made for this call needs none.

    Raises:
        WrongLedgerError: It was (pre-commit).
        PreCommitError: The bounty could not be read.
    """
    standing = await before_commit(services.store.get_bounty(draft.bounty_id), "the bounty")
    if standing is not None and standing.reservation_id == draft.reservation_id:
        check_same_ledger(standing, draft.ledger_id)


def _has_no_credits(services: Services) -> bool:
    return isinstance(services.credits, WithoutCredits)


def _content_key(bounty: Bounty) -> str:
    """A key that equal offers of one creator have in common, whenever they are due."""
    content = msgspec.to_builtins(bounty)
    for moving in ("deadline", "createdAt", "updatedAt"):
        content.pop(moving, None)
    return content_key("create", content | {"creator": bounty.creator.agent_id})


async def _post(
    services: Services, draft: Bounty, key: str, *, relative_deadline: bool
) -> OperationResult:
    """Store the bounty as an open one, in one step: no credits are set aside for it."""
    owed: list[str] = []
    offer = msgspec.structs.replace(draft, status=BountyStatus.OPEN, reservation_id=None)
    step = services.store.create_bounty(
        offer, relative_deadline=relative_deadline, idempotency_key=derived_key(key, "open")
    )
    bounty = await committed(step, owed)
    return OperationResult(
        operation="create",
        idempotency_key=key,
        bounty=bounty,
        done=("open_bounty",),
        owed=owed,
        credits_with=credits_with(bounty),
    )


def _asked_for(bounty: Bounty, *, relative_deadline: bool) -> dict[str, Any]:
    """What makes two creates the same: nothing that depends on the moment of the call."""
    asked: dict[str, Any] = msgspec.to_builtins(bounty)
    for moving in ("createdAt", "updatedAt", *(["deadline"] if relative_deadline else ())):
        asked.pop(moving, None)
    return asked


def _draft(bounty: Bounty, key: str) -> Bounty:
    """The draft, naming a reservation that no other bounty can have, whatever key is reused."""
    given = bounty.bounty_id
    bounty_id = derived_id("bounty", key) if given == FROM_IDEMPOTENCY_KEY else given
    return msgspec.structs.replace(
        bounty,
        bounty_id=bounty_id,
        status=BountyStatus.DRAFT,
        reservation_id=derived_id("reservation", derived_key(key, bounty_id)),
    )


async def _create(
    services: Services, draft: Bounty, key: str, *, relative_deadline: bool
) -> OperationResult:
    owed: list[str] = []
    step = services.store.create_bounty(
        draft, relative_deadline=relative_deadline, idempotency_key=derived_key(key, "draft")
    )
    bounty = await committed(step, owed)
    check_same_ledger(bounty, draft.ledger_id)  # a repeat may come with another
    reservation = None
    try:
        if bounty.status is BountyStatus.DRAFT:
            reservation = await _reserve(services, bounty)
        opening = services.store.fund_bounty(
            bounty.bounty_id,
            draft.reservation_id or "",
            idempotency_key=derived_key(key, "open"),
        )
        bounty = await committed(opening, owed)
    except PreCommitError as refusal:
        if bounty.status in (BountyStatus.DRAFT, BountyStatus.CANCELLED):
            await _give_up(services, bounty, key, refusal)
        raise  # what was posted by an earlier call stays so
    return OperationResult(
        operation="create",
        idempotency_key=key,
        bounty=bounty,
        done=("write_draft", "reserve_credits", "open_bounty"),
        owed=owed,
        credits_with=credits_with(bounty),
        reservation=reservation or await _reservation(services, bounty),
    )


async def _reserve(services: Services, draft: Bounty) -> Reservation:
    """Set the credits aside.

    Raises:
        PaymentError: The service refused, or the reservation was given back (pre-commit).
        CommitUnknownError: The answer was lost every time.
        UntrustedDocumentError: No key of the zone has signed the draft (pre-commit).
    """
    check_trusted(draft)
    terms = terms_of(services, draft)
    reference = draft.bounty_id if draft.ledger_id is None else terms.reference  # of old
    reservation = await asked_until_told(
        services,
        lambda: services.credits.reserve(
            draft.reservation_id or "",
            account=terms.account,
            amount=terms.amount,
            reference=reference,
        ),
    )
    if reservation.status is not ReservationStatus.HELD:
        raise PaymentError(
            f"the reservation {reservation.reservation_id!r} is {reservation.status.value}"
        )
    return reservation


async def _reservation(services: Services, bounty: Bounty) -> Reservation | None:
    """The reservation of a bounty that was opened before, as it stands; `None` if not readable."""
    try:
        return await services.credits.get_reservation(bounty.reservation_id or "")
    except Exception:  # noqa: BLE001 - the bounty is posted, whatever this says
        logger.warning("could not look up the reservation of %s", bounty.bounty_id, exc_info=True)
        return None


async def _give_up(services: Services, draft: Bounty, key: str, refusal: PreCommitError) -> None:
    """Cancel the draft, then give its credits back.

    Raises:
        CommitUnknownError: The draft could not be cancelled, so that it may yet be opened.
    """
    try:
        bounty = await _cancelled(services, draft, key)
    except OutcomeError as failure:
        raise CommitUnknownError(
            f"{refusal.message}; and the draft could not be cancelled: {failure.message}",
            evidence=failure.evidence,
        ) from refusal
    try:
        await give_back(services, bounty)
    except OutcomeError as failure:  # the reconciler finds it by the cancelled document
        refusal.add_note(f"still owed: void the reservation ({failure.message})")


async def _cancelled(services: Services, draft: Bounty, key: str) -> Bounty:
    """The bounty, cancelled by this call or by anybody else."""
    try:
        return await taken_forward(
            services,
            lambda step: services.store.cancel_bounty(draft.bounty_id, idempotency_key=step),
            key,
            "give-up",
            [],
        )
    except OutcomeError:
        bounty = await _seen_cancelled(services, draft)
        if bounty is None:
            raise
        return bounty


async def _seen_cancelled(services: Services, draft: Bounty) -> Bounty | None:
    """The bounty, if a fresh look says that somebody else has cancelled the draft."""
    try:
        bounty = await services.store.get_bounty(draft.bounty_id)
    except Exception:  # noqa: BLE001 - nothing was learnt
        return None
    if bounty is None or bounty.untrusted is not None:
        return None
    return bounty if bounty.status is BountyStatus.CANCELLED else None
