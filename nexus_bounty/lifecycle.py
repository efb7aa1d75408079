"""The legal transitions of a bounty, as one pure table.

    draft ──► open ◄──► claimed ──► pending_settlement ──► completed ──► settled
      │        │           │  └────────────────────────────────▲
      ▼        ▼           ▼                  └──────────────────────────►
    cancelled / expired ◄──┘

`pending_settlement` is the pivot: from there the only ways are forward, so that escrow can
never be given back once paying has begun. `claimed → claimed` renews a claim,
`claimed → open` releases it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nexus_bounty.models import BountyStatus

_S = BountyStatus

TRANSITIONS: Final[Mapping[BountyStatus, frozenset[BountyStatus]]] = {
    _S.DRAFT: frozenset({_S.OPEN, _S.CANCELLED}),
    _S.OPEN: frozenset({_S.CLAIMED, _S.EXPIRED, _S.CANCELLED}),
    _S.CLAIMED: frozenset(
        {_S.CLAIMED, _S.OPEN, _S.PENDING_SETTLEMENT, _S.COMPLETED, _S.EXPIRED, _S.CANCELLED}
    ),
    _S.PENDING_SETTLEMENT: frozenset({_S.COMPLETED, _S.SETTLED}),
    _S.COMPLETED: frozenset({_S.SETTLED}),
    _S.SETTLED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELLED: frozenset(),
}

TERMINAL: Final = frozenset(status for status, after in TRANSITIONS.items() if not after)
"""Nothing leaves these."""

PAST_THE_PIVOT: Final = frozenset({_S.PENDING_SETTLEMENT, _S.COMPLETED, _S.SETTLED})
"""The claimer is being paid or has been: from here credits never return to the creator."""

HOLDS_ESCROW: Final = frozenset({_S.OPEN, _S.CLAIMED, _S.PENDING_SETTLEMENT})
"""A bounty in one of these has exactly one live reservation of its amount."""


def is_legal(current: BountyStatus, target: BountyStatus) -> bool:
    """Whether a bounty in `current` may go to `target`."""
    return target in TRANSITIONS[current]


def sources_of(target: BountyStatus) -> tuple[BountyStatus, ...]:
    """The statuses from which `target` can be reached, in the order of a bounty's life."""
    return tuple(status for status, after in TRANSITIONS.items() if target in after)
