"""Create: draft naming its reservation → reserve → open.

    draft     committed under `<key>:draft`, naming the reservation
    reserve   the amount, under an id that derives from the key
    open      committed under `<key>:open`

A crash anywhere leaves a draft that says what to look for. Giving up is a commit, too: credits go
back only once the draft is discarded, and so can no longer be opened by anybody. Then its id can be
used again, with whatever key, see `drafts`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec

from nexus_bounty.idempotency import History, content_key, derived_id, derived_key
from nexus_bounty.lifecycle import is_bounty_terminal
from nexus_bounty.models import FROM_IDEMPOTENCY_KEY, Bounty, BountyStatus
from nexus_bounty.operations.drafts import Try, as_cancelled, discard
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
)
from nexus_bounty.operations.steps import DRAFT
from nexus_bounty.operations.without_credits import WithoutCredits
from nexus_bounty.outcomes import (
    DISCARDED,
    BountyStateError,
    CommitUnknownError,
    IdempotencyMismatchError,
    InvalidInputError,
    OtherOperation,
    Outcome,
    OutcomeError,
    PaymentError,
    PreCommitError,
)
from nexus_bounty.ports import Reservation, ReservationStatus, expecting, looking_first
from nexus_bounty.validation import check_bounty

CREATE: Final = Plan("create", decided_by="open", owed_then={})


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
    if idempotency_key is not None or not services.same_content_once:
        return await _keyed(
            services, bounty, idempotency_key, relative_deadline=relative_deadline, actor=actor
        )
    began = services.clock()
    result = await _keyed(
        services, bounty, _content_key(bounty), relative_deadline=True, actor=actor
    )
    if is_bounty_terminal(result.bounty.status):
        await _check_posted_since(services, result, began)
    return result


async def _keyed(
    services: Services,
    bounty: Bounty,
    idempotency_key: str | None,
    *,
    relative_deadline: bool,
    actor: str | None,
) -> OperationResult:
    if bounty.status is not BountyStatus.OPEN:
        raise InvalidInputError("status", bounty.status, "must be open: that is what create makes")
    check_payee("creator", bounty.creator)
    check_actor(actor, "create", bounty.creator.agent_id, bounty.bounty_id)
    key = services.key(idempotency_key)
    offer = _with_id(bounty, key)
    asked_for = _asked_for(bounty, relative_deadline=relative_deadline)
    async with operation(services, CREATE, offer.bounty_id, key, asked_for, actor=actor) as earlier:
        if _has_no_credits(services):
            await _check_deadline(services, offer, derived_key(key, "open"))
            return await _post(services, offer, key, relative_deadline=relative_deadline)
        await _check_deadline(services, offer, derived_key(key, DRAFT))
        first = Try(key, offer.bounty_id, zone_id=services.store.zone_id)
        offer = msgspec.structs.replace(offer, ledger_id=await ledger_at_hand(services))
        # a key that this ledger has never seen may have been used with another one
        may_be_elsewhere = not (earlier.ruled_out or earlier.known)
        store = looking_first(services.store) if may_be_elsewhere else services.store
        try:
            return await _create(
                replace(services, store=store), offer, first, relative_deadline=relative_deadline
            )
        except BountyStateError as refusal:
            if refusal.current_status != DISCARDED:
                raise
            again = await _another_try(services, first, refusal, tried_before=earlier.known)
        await _check_deadline(services, offer, derived_key(key, again.step(DRAFT)))
        return await _create(services, offer, again, relative_deadline=relative_deadline)


async def _another_try(
    services: Services, first: Try, refusal: BountyStateError, *, tried_before: bool
) -> Try:
    """The try to go on with, or to begin after the earlier ones were refused.

    Raises:
        BountyStateError: It was not begun, and never will be, because the key was fenced off, or
            another call with it may be saying so right now (pre-commit).
        PreCommitError: The history could not be read.
    """
    history = await before_commit(services.store.get_history(first.bounty_id), "the history")
    again = first.after(history)
    begun = derived_key(again.key, again.step(DRAFT)) in {each.key for each in history}
    opened = History(ops=history).find(derived_key(again.key, "open"))
    fenced_off = opened is not None and opened.aborted
    if not begun and (tried_before or fenced_off):
        raise refusal
    return again


async def _check_deadline(services: Services, offer: Bounty, first_step: str) -> None:
    """Refuse what would be late from the start, unless it was begun in time.

    Raises:
        InvalidInputError: It would be (pre-commit).
        PreCommitError: Whether it was begun could not be read.
    """
    late = offer.deadline <= services.clock()
    if late and not await has_landed(services, offer.bounty_id, first_step):
        raise InvalidInputError("deadline", offer.deadline, "must be in the future")


def _has_no_credits(services: Services) -> bool:
    return isinstance(services.credits, WithoutCredits)


async def _check_posted_since(services: Services, result: OperationResult, began: datetime) -> None:
    """Refuse to pass off a bounty that has ended for one that was posted by this call.

    Whether the caller wants to hear of that one, whose answer was lost, or another one of its kind,
    the content does not say. So nothing is posted twice, and nobody waits for what is over.

    Raises:
        IdempotencyMismatchError: It was posted by an earlier call.
        CommitUnknownError: Which call has posted it could not be found out.
    """
    bounty, key = result.bounty, result.idempotency_key
    try:
        history = await before_commit(
            services.store.get_history(bounty.bounty_id), "which call has posted it"
        )
    except PreCommitError as failure:
        unknown = CommitUnknownError(failure.message, evidence=failure.evidence)
        raise unknown.about(CREATE.name, bounty.bounty_id, key) from failure
    opened = History(ops=history).find(derived_key(key, "open"))
    if opened is not None and opened.at >= began:
        return
    raise IdempotencyMismatchError(
        f"the same was posted before, as {bounty.bounty_id!r}, which is {bounty.status.value}; "
        "give a key to post it once more",
        other=OtherOperation(
            kind=CREATE.name,
            idempotency_key=key,
            record_id=bounty.bounty_id,
            at=opened.at if opened else None,
            outcome=Outcome.COMMITTED,
        ),
    ).about(CREATE.name, bounty.bounty_id, key)


def _content_key(bounty: Bounty) -> str:
    """A key that equal offers of one creator have in common, whenever they are due."""
    content = msgspec.to_builtins(bounty)
    for moving in ("deadline", "createdAt", "updatedAt"):
        content.pop(moving, None)
    return content_key("create", content | {"creator": bounty.creator.agent_id})


async def _post(
    services: Services, offer: Bounty, key: str, *, relative_deadline: bool
) -> OperationResult:
    """Store the bounty as an open one, in one step: no credits are set aside for it."""
    owed: list[str] = []
    step = services.store.create_bounty(
        msgspec.structs.replace(offer, reservation_id=None, ledger_id=None),
        relative_deadline=relative_deadline,
        idempotency_key=derived_key(key, "open"),
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


def _with_id(bounty: Bounty, key: str) -> Bounty:
    """The bounty with its id, which follows from the key where none is given."""
    if bounty.bounty_id != FROM_IDEMPOTENCY_KEY:
        return bounty
    return msgspec.structs.replace(bounty, bounty_id=derived_id("bounty", key))


async def _create(
    services: Services, offer: Bounty, attempt: Try, *, relative_deadline: bool
) -> OperationResult:
    owed: list[str] = []
    draft = attempt.draft_of(offer)
    open_key = derived_key(attempt.key, "open")
    step = expecting(services.store, open_key).create_bounty(
        draft,
        relative_deadline=relative_deadline,
        idempotency_key=derived_key(attempt.key, attempt.step(DRAFT)),
    )
    bounty = await committed(step, owed)
    check_same_ledger(bounty, draft.ledger_id)  # a repeat may come with another
    reservation = None
    try:
        if bounty.status is BountyStatus.DRAFT:
            reservation = await _reserve(services, bounty, draft)
            # the ledger may have become the copy of another since the draft was written
            check_same_ledger(bounty, await ledger_at_hand(services))
        opening = services.store.fund_bounty(
            bounty.bounty_id,
            attempt.reservation_id,
            idempotency_key=open_key,
        )
        bounty = await committed(opening, owed)
    except PreCommitError as refusal:
        if bounty.status in (BountyStatus.DRAFT, BountyStatus.CANCELLED):
            await _give_up(services, bounty, attempt, refusal)
        raise  # what was posted by an earlier call stays so
    return OperationResult(
        operation="create",
        idempotency_key=attempt.key,
        bounty=bounty,
        done=("write_draft", "reserve_credits", "open_bounty"),
        owed=owed,
        credits_with=credits_with(bounty),
        reservation=reservation or await _reservation(services, bounty),
    )


async def _reserve(services: Services, draft: Bounty, offer: Bounty) -> Reservation:
    """Set the credits aside that `offer` asked for, if the draft still says so.

    Raises:
        PaymentError: The service refused, or the reservation was given back, or somebody has
            changed the draft (pre-commit).
        CommitUnknownError: The answer was lost every time.
        UntrustedDocumentError: No key of the zone has signed the draft (pre-commit).
    """
    check_trusted(draft)
    terms = terms_of(services, draft)
    if terms != terms_of(services, offer):
        raise PaymentError(
            f"the draft promises {terms.amount} of {terms.account}, which was not asked for: "
            "somebody has changed it"
        )
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


async def _give_up(
    services: Services, draft: Bounty, attempt: Try, refusal: PreCommitError
) -> None:
    """Take the draft back, so that its id can be used again, or see that it is never opened.

    Raises:
        CommitUnknownError: Neither could be done, so that it may yet be opened.
    """
    try:
        await discard(services, draft, attempt)
    except OutcomeError as failure:
        if await _may_be_opened(services, draft, attempt):
            raise CommitUnknownError(
                f"{refusal.message}; and the draft could not be taken back: {failure.message}",
                evidence=failure.evidence,
            ) from refusal
        refusal.add_note(f"still owed: take the draft back ({failure.message})")
        return  # the reconciler finds it, and what it holds
    try:
        await give_back(services, as_cancelled(draft))
    except Exception as failure:  # noqa: BLE001 - the reconciler finds it by the history
        why = failure.message if isinstance(failure, OutcomeError) else str(failure)
        refusal.add_note(f"still owed: void the reservation ({why})")


async def _may_be_opened(services: Services, draft: Bounty, attempt: Try) -> bool:
    """Whether a draft may have been opened, or may yet be; if it was not, that is fenced off."""
    open_key = derived_key(attempt.key, "open")
    try:
        became = await services.store.resolve_operation(draft.bounty_id, open_key)
    except Exception:  # noqa: BLE001 - nothing was learnt, whatever it is
        return True
    return became.outcome is Outcome.COMMITTED
