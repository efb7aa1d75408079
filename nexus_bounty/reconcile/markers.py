"""Status markers that disagree with the documents, or lie where the zone's layout has them not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from nexus_bounty.models import BountyStatus, IndexFault, IndexPage
from nexus_bounty.operations.services import Services
from nexus_bounty.reconcile.sweep import LEFT_AS_IT_IS, UNTRUSTED, Problem, Scope
from nexus_bounty.reconcile.sweep_state import SweepState

DOCUMENTS_READ_EVERY: Final = timedelta(days=1)
_CLOCKS_DIFFER: Final = timedelta(minutes=-5)
"""Whoever has read them later than that from now had a clock that was ahead."""


class IndexMarkers:
    """Missing and stale status markers, and documents that nobody can read, or has signed.

    Where markers are laid out by days, they were there before their bounties needed them, and no
    other program removes them. So a closed day is looked at once, and the documents, which tell
    what is missing, once a day; a new reconciler looks at everything.
    """

    name = "index markers"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every bounty whose markers disagree with its document."""
        store, state = scope.services.store, scope.state
        if not state.after:
            _begin(state, store.first_open_day(scope.now), scope.now)
        pages = store.audit_index(
            state.after,
            since=state.days.since,
            documents=state.reads_documents,
            partition=scope.partition,
        )
        async for page in pages:
            async for problem in _wrong(scope.services, page):
                state.days.found(None)
                yield problem
            if not scope.has_room_after(page.checked, page.after):
                return
        scope.has_seen_all()
        if state.reads_documents:
            state.read_documents_at = scope.now


def _begin(state: SweepState, first_open: date | None, now: datetime) -> None:
    """Begin an audit; it reads the documents if that was long ago, or is not enough."""
    read, is_well = state.read_documents_at, state.days.left is None
    state.days.begin(first_open)
    is_due = read is None or not _CLOCKS_DIFFER < now - read < DOCUMENTS_READ_EVERY or not is_well
    state.reads_documents = is_due or state.days.since is None


async def _wrong(services: Services, page: IndexPage) -> AsyncIterator[Problem]:
    """What is wrong with the files of a page."""
    moved = [each for each in page.faults if each.listed_elsewhere]
    if moved:
        yield _move(services, moved)
    faults = [each for each in page.faults if not each.listed_elsewhere]
    async for problem in _disagreeing(services, faults):
        yield problem
    for name, why in page.unreadable.items():
        yield Problem(name, f"cannot be understood: {why}", reason=LEFT_AS_IT_IS)
    for name, why in page.untrusted.items():
        yield Problem(name, "is not to be trusted", reason=UNTRUSTED.format(why))


def _move(services: Services, faults: Sequence[IndexFault]) -> Problem:
    """Bounties that have ended, and are listed, but not where the zone is laid out to have them."""
    gone = not any(each.missing for each in faults)  # only once the other one is seen

    async def repair() -> str:
        await services.store.repair_markers(faults)
        return "moved" if gone else "marked as it is laid out now"

    number = len({each.bounty_id for each in faults})
    return Problem(f"{number} bounties", "have markers of the layout that the zone had", repair)


async def _disagreeing(services: Services, faults: Sequence[IndexFault]) -> AsyncIterator[Problem]:
    """`faults` by bounty and status; whoever just moved or buried one is about to see to them."""
    bounties = await services.store.get_bounties([each.bounty_id for each in faults])
    found: dict[tuple[str, BountyStatus], list[IndexFault]] = defaultdict(list)
    for fault in faults:
        found[fault.bounty_id, fault.status].append(fault)
    for (bounty_id, _), together in found.items():
        bounty = bounties.get(bounty_id)
        touched = bounty.updated_at if bounty else together[0].touched_at
        yield _problem(services, together, touched)


def _problem(services: Services, faults: Sequence[IndexFault], touched: datetime | None) -> Problem:
    async def repair() -> str:
        if left := await services.store.repair_markers(faults):
            raise RuntimeError(f"{left[0].marker} is still there")
        return "markers written and removed as the document says"

    what = f"has a missing or stale {faults[0].status.value} marker"
    return Problem(faults[0].bounty_id, what, repair, touched=touched)
