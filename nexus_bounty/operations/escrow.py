"""The credits of a bounty: which ledger holds them, for what, and who is to have them.

Nothing here believes a document alone. A reservation is touched only with the terms that the
ledger has on record, is paid only to whom it was assigned before the pivot, and is given back only
if no settlement that it was assigned to can commit any more.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, TypeVar

from nexus_bounty.lifecycle import PAST_THE_PIVOT
from nexus_bounty.models import Bounty
from nexus_bounty.operations.services import Services, asked_until_told, before_commit
from nexus_bounty.outcomes import (
    AssignedError,
    BountyStateError,
    CommitUnknownError,
    Evidence,
    InvalidInputError,
    Observation,
    Outcome,
    PaymentError,
    PreCommitError,
    Proof,
    UntrustedDocumentError,
    WrongLedgerError,
)
from nexus_bounty.ports import (
    Assignment,
    EscrowTerms,
    Reservation,
    ReservationStatus,
    reference_of,
    referred_to,
)
from nexus_bounty.statuses import STATUSES, Credits

T = TypeVar("T")

TIMES_TO_DISPLACE: Final = 3
"""How often a settlement looks for what became of another that is in its way."""


def terms_of(services: Services, bounty: Bounty) -> EscrowTerms:
    """What the credits of a bounty of this zone are held for."""
    return EscrowTerms(
        account=bounty.creator.agent_id,
        amount=bounty.amount,
        reference=reference_of(services.store.zone_id, bounty.bounty_id),
    )


def check_trusted(bounty: Bounty) -> None:
    """See that a holder of the zone's key has written what a bounty says, where it is signed.

    Raises:
        UntrustedDocumentError: Nobody has: no credits move on its word (pre-commit).
    """
    if bounty.untrusted is not None:
        seen = Observation(action="read", target=bounty.bounty_id, answer=bounty.untrusted)
        raise UntrustedDocumentError(
            f"bounty {bounty.bounty_id!r} is not to be trusted: {bounty.untrusted}",
            evidence=Evidence(proof=Proof.DOCUMENT, observations=(seen,)),
        )


async def check_ledger(services: Services, bounty: Bounty) -> None:
    """See that the bounty's credits are in the ledger at hand, before anything is written.

    Raises:
        WrongLedgerError: They are in another (pre-commit).
        PaymentError: It does not say which they are, although it says where (pre-commit).
        PreCommitError: The ledger does not say which one it is.
    """
    _check_names_credits(bounty)
    if bounty.reservation_id is None:
        return
    here = await ledger_at_hand(services)
    check_same_ledger(bounty, here)
    if bounty.ledger_id is not None or STATUSES[bounty.status].credits is not Credits.ESCROW:
        return
    if await _looked_up(reservation_of(services, bounty), "the reservation") is None:
        raise _elsewhere(bounty, here, "in a ledger that it does not name")


def _check_names_credits(bounty: Bounty) -> None:
    """See that a bounty that names a ledger names its credits there, too: a draft has both.

    Raises:
        PaymentError: It does not; to go by it would end it without them.
    """
    if bounty.ledger_id is not None and bounty.reservation_id is None:
        raise PaymentError(
            f"bounty {bounty.bounty_id!r} names the ledger of its credits, and no reservation: "
            "somebody has changed it",
            evidence=Evidence(proof=Proof.LOCAL_CHECK),
        )


def check_same_ledger(bounty: Bounty, here: str | None) -> None:
    """See that a bounty does not name another ledger than the one at hand.

    Raises:
        WrongLedgerError: It does (pre-commit).
    """
    if bounty.ledger_id is not None and here is not None and bounty.ledger_id != here:
        raise _elsewhere(bounty, here, f"in the ledger {bounty.ledger_id!r}")


async def ledger_at_hand(services: Services) -> str:
    """The identity of the ledger, asked for before anything is written.

    Raises:
        PreCommitError: It does not say.
    """
    return await _looked_up(services.credits.identity(), "the ledger's identity")


async def _looked_up(reading: Awaitable[T], what: str) -> T:
    """What is read of the ledger before this call has done anything.

    Raises:
        PreCommitError: It could not be read. Of an earlier call with the key that says nothing;
            `operation` sees to that.
    """
    try:
        return await before_commit(reading, what)
    except CommitUnknownError as error:
        raise PreCommitError(
            f"could not read {what}: {error.message}",
            evidence=Evidence(proof=Proof.NEVER_SENT, observations=error.evidence.observations),
        ) from error


def _elsewhere(bounty: Bounty, here: str, where: str) -> WrongLedgerError:
    seen = Observation(action="read", target=bounty.bounty_id, answer=f"its credits are {where}")
    return WrongLedgerError(
        f"the credits of bounty {bounty.bounty_id!r} are {where}, not in {here!r}",
        ledger_id=here,
        right_ledger_id=bounty.ledger_id,
        evidence=Evidence(proof=Proof.LOCAL_CHECK, observations=(seen,)),
    )


async def reservation_of(services: Services, bounty: Bounty) -> Reservation | None:
    """The reservation that a bounty names, whatever it is for; `None` if there is none such.

    Raises:
        CommitUnknownError: The ledger cannot be read.
    """
    if bounty.reservation_id is None:
        return None
    try:
        return await services.credits.get_reservation(bounty.reservation_id)
    except InvalidInputError:
        return None  # what a document names need not be the name of anything


async def record_payee(services: Services, bounty: Bounty, work: str, pivot: str) -> None:
    """Write down in the ledger whom the settlement with the key `pivot` is to pay, and for what.

    Another settlement that was begun and has not committed is made never to commit.

    Raises:
        BountyStateError: Another settlement has committed (pre-commit).
        PaymentError: The reservation is not held for this bounty, or the work is paid already.
        PreCommitError: The ledger, or the store, did not say; the pivot was not even tried.
    """
    check_trusted(bounty)
    if bounty.reservation_id is None or bounty.claimed_by is None:
        return
    wanted = Assignment(payee=bounty.claimed_by.agent_id, work=work, key=pivot)
    try:
        await before_commit(_recorded(services, bounty, wanted), "whom to pay")
    except CommitUnknownError as error:  # what is on record without its pivot is displaced later
        raise PreCommitError(
            "it was not settled, since the ledger did not confirm whom to pay. It may have "
            f"{wanted.payee} on record for that by now, and the credits stay in escrow: settle "
            f"again, with the same key or another ({error.message})",
            evidence=Evidence(proof=Proof.NEVER_SENT, observations=error.evidence.observations),
        ) from error


async def _recorded(services: Services, bounty: Bounty, wanted: Assignment) -> None:
    replacing: str | None = None
    for _ in range(TIMES_TO_DISPLACE):
        try:
            await _assign(services, bounty, wanted, replacing)
        except AssignedError as other:
            await _rule_out(services, bounty, other)
            replacing = other.key
        else:
            return
    await _assign(services, bounty, wanted, replacing)


async def _assign(
    services: Services, bounty: Bounty, wanted: Assignment, replacing: str | None
) -> Reservation:
    terms = await _terms_on_record(services, bounty)
    return await asked_until_told(
        services,
        lambda: services.credits.assign(
            bounty.reservation_id or "",
            wanted,
            held_for=terms,
            replacing=replacing,
            shared_work=services.allow_shared_work,
        ),
    )


async def _terms_on_record(services: Services, bounty: Bounty) -> EscrowTerms:
    """The terms of the bounty's reservation; those of releases that named no zone are accepted."""
    terms = terms_of(services, bounty)
    if bounty.ledger_id is not None:
        return terms
    found = await reservation_of(services, bounty)
    if found is not None and referred_to(found.reference) == (None, bounty.bounty_id):
        return EscrowTerms(account=terms.account, amount=terms.amount, reference=found.reference)
    return terms


async def _rule_out(services: Services, bounty: Bounty, other: AssignedError) -> None:
    """Make sure that the settlement which is on record never will commit.

    Raises:
        BountyStateError: It has committed (pre-commit, for the one that asks).
    """
    became = await services.store.resolve_operation(bounty.bounty_id, other.key)
    if became.outcome is Outcome.COMMITTED:
        standing = became.bounty or bounty
        raise BountyStateError(
            f"bounty {bounty.bounty_id!r} is being settled with {other.work!r}",
            current_status=standing.status.value,
            evidence=became.evidence,
        ) from other


async def forget_payee(services: Services, bounty: Bounty) -> None:
    """Take back what a settlement wrote down of a claim that has been given back since.

    By the time it is seen another settlement may have been begun, for whoever claimed next: one
    that has committed stays on record, and one that has not is made never to commit.
    """
    check_trusted(bounty)
    found = await reservation_of(services, bounty)
    if found is None or found.assignment is None:
        return
    begun = found.assignment.key
    became = await services.store.resolve_operation(bounty.bounty_id, begun)
    if became.outcome is not Outcome.COMMITTED:
        await services.credits.unassign(found.reservation_id, begun)


async def pay(services: Services, bounty: Bounty) -> Reservation | None:
    """Pay the claimer whom the ledger has on record; `None` for a bounty without escrow.

    Raises:
        PaymentError: The ledger has somebody else on record, or nobody; nothing was paid.
        UntrustedDocumentError: No key of the zone has signed the document; nothing was paid.
    """
    check_trusted(bounty)
    _check_names_credits(bounty)
    reservation_id, payee = bounty.reservation_id, bounty.claimed_by
    if reservation_id is None:
        return None
    if bounty.status not in PAST_THE_PIVOT:
        raise AssertionError(f"a bounty that is {bounty.status} is not to be paid yet")
    if payee is None or bounty.fulfilled_by_cid is None:
        raise PaymentError(f"bounty {bounty.bounty_id!r} does not say who is to be paid for what")
    terms = await _terms_on_record(services, bounty)
    reservation = await asked_until_told(
        services,
        lambda: services.credits.capture(
            reservation_id,
            to_account=payee.agent_id,
            work=bounty.fulfilled_by_cid,
            held_for=terms,
        ),
    )
    if reservation.status is not ReservationStatus.CAPTURED:
        raise PaymentError(f"the reservation {reservation_id!r} is {reservation.status.value}")
    return reservation


async def give_back(services: Services, bounty: Bounty) -> Reservation | None:
    """Void the reservation of a bounty whose document rules out that it is ever needed again.

    Returns `None` if there is none, here or at all: then nothing was given back.

    Raises:
        PaymentError: A settlement has committed, whatever the document says now.
        UntrustedDocumentError: No key of the zone has signed the document; nothing was given back.
    """
    check_trusted(bounty)
    if STATUSES[bounty.status].credits is not Credits.CREATOR:
        raise AssertionError(f"a bounty that is {bounty.status} may need its credits")
    if bounty.reservation_id is None:
        return None
    try:
        return await _give_back(services, bounty)
    except AssignedError:  # a settlement was put on record after the look, and is judged now
        return await _give_back(services, bounty)


async def _give_back(services: Services, bounty: Bounty) -> Reservation | None:
    held = await reservation_of(services, bounty)
    if held is None or not is_of(services, held, bounty):
        return None  # it is another bounty's, whatever this document says
    if held.status is not ReservationStatus.HELD:
        return held
    return await _void(services, bounty, held)


async def give_back_unopened(services: Services, held: Reservation) -> Reservation:
    """Void a reservation whose draft was discarded, so that no bounty can be opened with it."""
    return await asked_until_told(
        services, lambda: services.credits.void(held.reservation_id, held_for=held.terms)
    )


def is_of(services: Services, held: Reservation, bounty: Bounty) -> bool:
    """Whether a reservation is held for this bounty of this zone."""
    zone, bounty_id = referred_to(held.reference)
    asked = (bounty.bounty_id, bounty.creator.agent_id, bounty.amount)
    if (bounty_id, held.account, held.amount) != asked:
        return False
    return zone == services.store.zone_id or (zone is None and bounty.ledger_id is None)


async def is_still_held(services: Services, bounty: Bounty) -> bool:
    """Whether the credits of a bounty that has ended, or is to be paid, are still held for it."""
    found = await reservation_of(services, bounty)
    if found is None or found.status is not ReservationStatus.HELD:
        return False
    return is_of(services, found, bounty)


async def _void(services: Services, bounty: Bounty, held: Reservation) -> Reservation:
    begun = held.assignment
    if begun is not None:
        became = await services.store.resolve_operation(bounty.bounty_id, begun.key)
        if became.outcome is Outcome.COMMITTED:
            raise PaymentError(
                f"{begun.payee} is to be paid for {begun.work} from {held.reservation_id}, as the "
                f"ledger has it, although the bounty is {bounty.status.value}",
                evidence=became.evidence,
            )
    return await asked_until_told(
        services,
        lambda: services.credits.void(
            held.reservation_id, held_for=held.terms, despite=begun.key if begun else None
        ),
    )
