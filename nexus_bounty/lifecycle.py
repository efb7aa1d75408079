"""What follows from the table of statuses: the legal transitions, and who has what when.

The table itself, with the picture of a bounty's life, is in `nexus_bounty.statuses`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from nexus_bounty.models import Bounty, BountyStatus, utc_now
from nexus_bounty.statuses import STATUSES, Claimer, Credits, Repair

TRANSITIONS: Final[Mapping[BountyStatus, frozenset[BountyStatus]]] = {
    status: row.then for status, row in STATUSES.items()
}

TERMINAL: Final = frozenset(status for status, after in TRANSITIONS.items() if not after)
"""Nothing leaves these."""

PAST_THE_PIVOT: Final = frozenset(
    status for status, row in STATUSES.items() if row.claimer in (Claimer.BEING_PAID, Claimer.PAID)
)
"""The claimer is being paid or has been: from here credits never return to the creator."""

HOLDS_ESCROW: Final = frozenset(
    status for status, row in STATUSES.items() if row.credits is Credits.ESCROW
)
"""A bounty in one of these has exactly one live reservation of its amount."""

_LIFE: Final = tuple(STATUSES)


def is_legal(current: BountyStatus, target: BountyStatus) -> bool:
    """Whether a bounty in `current` may go to `target`."""
    return target in TRANSITIONS.get(current, ())


def sources_of(target: BountyStatus) -> tuple[BountyStatus, ...]:
    """The statuses from which `target` can be reached, in the order of a bounty's life."""
    return tuple(status for status, after in TRANSITIONS.items() if target in after)


def goes_back(current: BountyStatus, target: BountyStatus) -> bool:
    """Whether the transition leads against the order of a bounty's life, as a release does."""
    return is_legal(current, target) and _LIFE.index(target) < _LIFE.index(current)


def ahead_of(status: BountyStatus) -> frozenset[BountyStatus]:
    """The statuses that a bounty may enter from `status` on without ever going back."""
    found: set[BountyStatus] = set()
    frontier = {status}
    while frontier:
        steps = {(each, to) for each in frontier for to in STATUSES[each].then}
        frontier = {to for each, to in steps if not goes_back(each, to)} - found
        found |= frontier
    return frozenset(found)


def swept_for(repair: Repair) -> tuple[BountyStatus, ...]:
    """The statuses whose bounties the reconciler looks at for `repair`, in the order of a life."""
    return tuple(status for status, row in STATUSES.items() if repair in row.repairs)


def is_bounty_expired(bounty: Bounty, now: datetime | None = None) -> bool:
    """Whether a bounty is past its deadline at `now`, whatever its status."""
    return (now or utc_now()) > bounty.deadline


def is_bounty_terminal(status: BountyStatus) -> bool:
    """Whether nothing leaves this status."""
    return status in TERMINAL


def holder_of(bounty: Bounty) -> str | None:
    """The id of the agent who holds a bounty and works on it; `None` if nobody does."""
    at_work = STATUSES[bounty.status].claimer is Claimer.AT_WORK
    return bounty.claimed_by.agent_id if at_work and bounty.claimed_by else None
