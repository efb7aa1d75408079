"""Orphan reservations: credits held for a bounty that has ended, given back or paid as it says.

Once a bounty is seen to need the credits that are held for it, its document is not read again
until the bounty may have ended. That shows in the status markers, because the marker of a status
is written before the commit that it announces, and the one before is removed after it.

A whole run goes through the markers of all that has ended, since the one before where they are laid
out by days. One that looks at a part of the history goes by those of what has not: a bounty that
has none of them is looked at again. If whoever ended it died before the marker was removed, the
marker speaks for it still; so each run also looks at a page of those again that were looked at
longest ago.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final

from nexus_bounty.idempotency import History, new_key
from nexus_bounty.lifecycle import swept_for
from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.operations.escrow import give_back, give_back_unopened, terms_of
from nexus_bounty.operations.paying import finish
from nexus_bounty.operations.services import Services
from nexus_bounty.ports import Reservation, referred_to
from nexus_bounty.reconcile.sweep import UNTRUSTED, Problem, Scope, in_pages
from nexus_bounty.reconcile.sweep_state import ClosedDays
from nexus_bounty.statuses import STATUSES, Credits, Repair

_IN_NEED: Final = tuple(
    status
    for status, row in STATUSES.items()
    if Repair.END_ESCROW not in row.repairs and row.credits is not Credits.PROMISED
)
"""The statuses in which a bounty needs its credits, in the order of a life."""


class OrphanReservations:
    """Held reservations whose bounty does not need them any more.

    Those of other zones are none of ours. One whose bounty cannot be found is left to people,
    unless a draft that named it was taken back: no other crash of ours leaves such a one, because a
    draft names its reservation before it is made.
    """

    name = "orphan reservations"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every held reservation that its document rules out."""
        await _forget_ended(scope)
        async for page in in_pages(_in_doubt(scope), scope.page):
            bounties = await scope.services.store.get_bounties([_bounty_of(each) for each in page])
            for reservation in page:
                bounty = bounties.get(_bounty_of(reservation))
                if problem := await _problem_with(scope, reservation, bounty):
                    yield problem


async def problem_with(scope: Scope, held: Reservation) -> Problem | None:
    """What is wrong with one held reservation of this zone; `None` if its bounty needs it.

    Raises:
        NexusError: Its bounty could not be read.
    """
    if not _is_ours(scope, held):
        return None
    bounties = await scope.services.store.get_bounties([_bounty_of(held)])
    return await _problem_with(scope, held, bounties.get(_bounty_of(held)))


async def _problem_with(
    scope: Scope, reservation: Reservation, bounty: Bounty | None
) -> Problem | None:
    if await _was_given_back(scope, reservation, bounty):
        return _discarded(scope.services, reservation)
    return _wrong(scope, reservation, bounty)


async def _forget_ended(scope: Scope) -> None:
    """Drop what is known of bounties that may have ended since."""
    known = scope.state.known
    if scope.room is None:
        await _forget_ended_since(scope, scope.state.days)
        return
    if not len(known):
        return
    alive = _marked(scope, _IN_NEED)
    known.keep_only({each async for each in alive if known.get(each) is not None})
    known.drop_oldest(scope.page)


async def _forget_ended_since(scope: Scope, days: ClosedDays) -> None:
    """The same by the markers of what has ended: none that is known had before the last run."""
    store = scope.services.store
    days.begin(store.first_open_day(scope.now))
    for status in swept_for(Repair.END_ESCROW) if len(scope.state.known) else ():
        async for page in store.walk_marked(status, since=days.since, partition=scope.partition):
            scope.state.known.drop(*page.ids)
    days.close()


async def _marked(scope: Scope, statuses: Iterable[BountyStatus]) -> AsyncIterator[str]:
    for status in statuses:
        async for bounty_id in scope.services.store.walk_ids(status, partition=scope.partition):
            yield bounty_id


async def _in_doubt(scope: Scope) -> AsyncIterator[Reservation]:
    """The held reservations that are not known to be needed."""
    async for each in scope.held():
        if (
            each.reference
            and _is_ours(scope, each)
            and scope.state.known.get(_bounty_of(each)) != each.reservation_id
        ):
            yield each


def _bounty_of(reservation: Reservation) -> str:
    return referred_to(reservation.reference)[1]


def _is_ours(scope: Scope, reservation: Reservation) -> bool:
    """Whether it may be for a bounty of this zone; those of earlier releases name none."""
    zone, _ = referred_to(reservation.reference)
    return zone in (None, scope.services.store.zone_id)


async def _was_given_back(scope: Scope, reservation: Reservation, bounty: Bounty | None) -> bool:
    """Whether a draft was discarded that named it, so that no bounty can be opened with it."""
    if bounty is not None and bounty.reservation_id == reservation.reservation_id:
        return False
    try:
        history = await scope.services.store.get_history(_bounty_of(reservation))
    except ValueError:  # its document cannot be understood, and says nothing
        return False
    return History(ops=history).has_given_back(reservation.reservation_id)


def _discarded(services: Services, held: Reservation) -> Problem:
    async def end() -> str:
        await give_back_unopened(services, held)
        return f"{held.amount} given back to {held.account}"

    what = f"is held for a draft of bounty {_bounty_of(held)!r} that was taken back"
    return Problem(held.reservation_id, what, end, touched=held.created_at)


def _wrong(scope: Scope, reservation: Reservation, bounty: Bounty | None) -> Problem | None:
    """What is wrong with a held reservation that names `bounty`."""
    if bounty is None:
        return Problem(
            reservation.reservation_id,
            f"is held for bounty {_bounty_of(reservation)!r}, which is not found in this zone",
            reason="its document is gone or cannot be read" + _or_elsewhere(reservation),
            touched=reservation.created_at,
        )
    if bounty.untrusted is not None:
        return Problem(
            reservation.reservation_id,
            f"is held for bounty {bounty.bounty_id!r}, whose document is not to be trusted",
            reason=UNTRUSTED.format(bounty.untrusted),
        )
    if bounty.ledger_id is not None and reservation.terms != terms_of(scope.services, bounty):
        return Problem(
            reservation.reservation_id,
            f"is {reservation.amount} of {reservation.account} for bounty {bounty.bounty_id!r}, "
            f"which promises {bounty.amount} of {bounty.creator.agent_id}",
            reason="a person has to decide",
            touched=max(reservation.created_at, bounty.updated_at),
        )
    if bounty.reservation_id != reservation.reservation_id:
        return Problem(
            reservation.reservation_id,
            f"is held for bounty {bounty.bounty_id!r}, which names another reservation",
            reason="a person has to decide",
            touched=max(reservation.created_at, bounty.updated_at),
        )
    row = STATUSES[bounty.status]
    if Repair.END_ESCROW in row.repairs:
        return _problem(scope.services, bounty, reservation)
    if row.credits is not Credits.PROMISED:  # it may yet be opened on other credits
        scope.state.known.add(bounty.bounty_id, reservation.reservation_id)
    return None


def _or_elsewhere(reservation: Reservation) -> str:
    zone, _ = referred_to(reservation.reference)
    return ", or it belongs to another zone" if zone is None else ""


def _problem(services: Services, bounty: Bounty, reservation: Reservation) -> Problem:
    async def end() -> str:
        if STATUSES[bounty.status].credits is Credits.CLAIMER:
            await finish(services, bounty, new_key(services.random))
            return "paid to the claimer"
        await give_back(services, bounty)
        return f"{reservation.amount} given back to {reservation.account}"

    what = f"is held for bounty {bounty.bounty_id!r}, which is {bounty.status.value}"
    touched = max(reservation.created_at, bounty.updated_at)
    return Problem(reservation.reservation_id, what, end, touched=touched, about=bounty)
