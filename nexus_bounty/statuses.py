"""What each status of a bounty means, one row for each; others ask the table.

Other modules name a status only where they are about that one.

    draft ──► open ◄──► claimed ──► pending_settlement ──► completed ──► settled
      │        │           │  └────────────────────────────────▲
      ▼        ▼           ▼                  └──────────────────────────►
    cancelled / expired ◄──┘

`pending_settlement` is the pivot: from there the only ways are forward, so that escrow can
never be given back once paying has begun. `claimed → claimed` renews a claim,
`claimed → open` releases it.

A new status takes its member in `models`, its row here, and its name in the rows that lead to it; a
transition of ours that leads there is another change: `docs/carrying-on/module-map.md`. Whoever
needs to know something of a status that no column says adds the column. What follows from the rows,
such as which statuses nothing leaves, is in `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nexus_bounty.models import BountyStatus

_S = BountyStatus


class Credits(StrEnum):
    """Where the credits are that a bounty's reservation stands for."""

    PROMISED = "promised"
    """To be set aside; until the bounty is open, another reservation may take their place."""
    ESCROW = "escrow"
    """There is exactly one live reservation of the bounty's amount."""
    IN_PAYMENT = "in payment"
    """Due to the claimer; whoever completed the bounty may have paid them already."""
    CLAIMER = "claimer"
    CREATOR = "creator"
    """No longer needed: what is still held goes back."""


class Claimer(StrEnum):
    """What a bounty's claimer has to do with it."""

    NONE = "none"
    """Nobody has claimed it."""
    AT_WORK = "at work"
    """Holds it by a lease, and alone may renew, release or deliver."""
    BEING_PAID = "being paid"
    """The lease is still owed its end."""
    PAID = "paid"
    GONE = "gone"
    """Whoever had claimed it has nothing to expect any more."""


class Repair(StrEnum):
    """What the reconciler does with bounties that are stranded in a status."""

    FINISH_CREATING = "open it if its credits are held, cancel it otherwise"
    REOPEN = "release it once its claimer's lease has ended"
    EXPIRE = "expire it once its deadline has passed"
    FINISH_PAYING = "pay the claimer and settle it"
    SETTLE_COMPLETED = "settle what another program completed"
    RECORD_REWARD = "record the reward if it is missing"
    END_ESCROW = "pay or give back credits that are still held"
    CHECK_ESCROW = "report it if its credits are not held"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One status.

    Attributes:
        means: What it means to people, to follow "the bounty".
        colour: In which colour a terminal shows it.
        then: The statuses that a bounty may go to from here.
        expects: Which of them nearly every bounty enters next, so that its marker is written
            ahead, in the same request.
        dated: Whether the newest in it are found by names alone: its markers have dated twins.
        credits: Where its credits are.
        claimer: What its claimer has to do with it.
        repairs: What the reconciler does with it.
    """

    means: str
    colour: str
    then: frozenset[BountyStatus] = frozenset()
    expects: BountyStatus | None = None
    dated: bool = False
    credits: Credits
    claimer: Claimer
    repairs: frozenset[Repair]


FOREIGN: Final = StatusRow(
    means="is in a status of another program, and is left as it is",
    colour="magenta",
    credits=Credits.ESCROW,
    claimer=Claimer.NONE,
    repairs=frozenset(),
)
"""What any other status means: nobody here moves the bounty, or the credits that it may have."""


class _Table(dict[BountyStatus, StatusRow]):
    """A row for each status of ours; any other one has the row of foreign ones."""

    def __missing__(self, status: BountyStatus) -> StatusRow:
        return FOREIGN


_ROWS: Final[Mapping[BountyStatus, StatusRow]] = {
    _S.DRAFT: StatusRow(
        means="is being created",
        colour="dim",
        then=frozenset({_S.OPEN, _S.CANCELLED}),
        expects=_S.OPEN,
        credits=Credits.PROMISED,
        claimer=Claimer.NONE,
        repairs=frozenset({Repair.FINISH_CREATING}),
    ),
    _S.OPEN: StatusRow(
        means="can be claimed",
        colour="green",
        then=frozenset({_S.CLAIMED, _S.EXPIRED, _S.CANCELLED}),
        dated=True,
        credits=Credits.ESCROW,
        claimer=Claimer.NONE,
        repairs=frozenset({Repair.EXPIRE, Repair.CHECK_ESCROW}),
    ),
    _S.CLAIMED: StatusRow(
        means="is being worked on",
        colour="cyan",
        then=frozenset(
            {_S.CLAIMED, _S.OPEN, _S.PENDING_SETTLEMENT, _S.COMPLETED, _S.EXPIRED, _S.CANCELLED}
        ),
        credits=Credits.ESCROW,
        claimer=Claimer.AT_WORK,
        repairs=frozenset({Repair.REOPEN, Repair.EXPIRE, Repair.CHECK_ESCROW}),
    ),
    _S.PENDING_SETTLEMENT: StatusRow(
        means="is being paid",
        colour="yellow",
        then=frozenset({_S.COMPLETED, _S.SETTLED}),
        expects=_S.SETTLED,
        credits=Credits.ESCROW,
        claimer=Claimer.BEING_PAID,
        repairs=frozenset({Repair.FINISH_PAYING}),
    ),
    _S.COMPLETED: StatusRow(
        means="is done, and to be paid",
        colour="yellow",
        then=frozenset({_S.SETTLED}),
        credits=Credits.IN_PAYMENT,
        claimer=Claimer.BEING_PAID,
        repairs=frozenset({Repair.SETTLE_COMPLETED}),
    ),
    _S.SETTLED: StatusRow(
        means="is paid",
        colour="bold green",
        credits=Credits.CLAIMER,
        claimer=Claimer.PAID,
        repairs=frozenset({Repair.RECORD_REWARD, Repair.END_ESCROW}),
    ),
    _S.EXPIRED: StatusRow(
        means="ended at its deadline",
        colour="dim",
        credits=Credits.CREATOR,
        claimer=Claimer.GONE,
        repairs=frozenset({Repair.END_ESCROW}),
    ),
    _S.CANCELLED: StatusRow(
        means="was withdrawn",
        colour="dim",
        credits=Credits.CREATOR,
        claimer=Claimer.GONE,
        repairs=frozenset({Repair.END_ESCROW}),
    ),
}
STATUSES: Final[Mapping[BountyStatus, StatusRow]] = _Table(_ROWS)
"""In the order of a bounty's life; only a release goes against it."""

TOMBSTONE: Final = _S.CANCELLED
"""What other programs, which know no tombstones, read where a creation was fenced off."""
