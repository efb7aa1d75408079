"""Every transition of a bounty as a call, and the longest life that they make."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import pytest

from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.builders import make_agent

_S = BountyStatus
ALICE: Final = make_agent("alice")
BOB: Final = make_agent("bob")
HOUR: Final = timedelta(hours=1)
LONG_AGO: Final = datetime(2001, 1, 1, tzinfo=UTC)


class Move(NamedTuple):
    """One transition as a call: which method with what, from where to where.

    `owns` are the fields that it may change besides `status` and `updated_at`; `otherwise` are
    arguments that make it another request, where it takes any.
    """

    method: str
    arguments: tuple[Any, ...]
    sources: frozenset[BountyStatus]
    target: BountyStatus
    owns: frozenset[str] = frozenset()
    otherwise: tuple[Any, ...] | None = None

    async def make(self, store: BountyStore, bounty_id: str = "b-1", **options: Any) -> Bounty:
        """Call the method."""
        moved: Bounty = await getattr(store, self.method)(bounty_id, *self.arguments, **options)
        return moved

    def differently(self) -> Move:
        """The same move as another request."""
        return self._replace(arguments=self.otherwise or ())


MOVES: Final[Sequence[Move]] = (
    Move(
        "fund_bounty",
        ("r-1",),
        frozenset({_S.DRAFT}),
        _S.OPEN,
        frozenset({"reservation_id"}),
        ("r-2",),
    ),
    Move(
        "claim_bounty",
        (ALICE, "c-1"),
        frozenset({_S.OPEN, _S.CLAIMED}),
        _S.CLAIMED,
        frozenset({"claimed_by", "claim_id"}),
        (ALICE, "c-2"),
    ),
    Move(
        "release_bounty",
        (ALICE,),
        frozenset({_S.CLAIMED}),
        _S.OPEN,
        frozenset({"claimed_by", "claim_id"}),
        (BOB,),
    ),
    Move(
        "begin_settlement",
        ("cid-1",),
        frozenset({_S.CLAIMED}),
        _S.PENDING_SETTLEMENT,
        frozenset({"fulfilled_by_cid"}),
        ("cid-2",),
    ),
    Move(
        "complete_bounty",
        ("cid-1",),
        frozenset({_S.CLAIMED, _S.PENDING_SETTLEMENT}),
        _S.COMPLETED,
        frozenset({"fulfilled_by_cid"}),
        ("cid-2",),
    ),
    Move("settle_bounty", (), frozenset({_S.PENDING_SETTLEMENT, _S.COMPLETED}), _S.SETTLED),
    Move("expire_bounty", (), frozenset({_S.OPEN, _S.CLAIMED}), _S.EXPIRED),
    Move("cancel_bounty", (), frozenset({_S.DRAFT, _S.OPEN, _S.CLAIMED}), _S.CANCELLED),
)
"""Every transition that the port offers; together they are the whole lifecycle table."""

BY_METHOD: Final = {move.method: move for move in MOVES}
CHOOSABLE: Final = tuple(move for move in MOVES if move.otherwise is not None)

LEGAL: Final = [
    pytest.param(move, source, id=f"{source.value}-{move.method}")
    for move in MOVES
    for source in BountyStatus
    if source in move.sources
]
LIFE: Final = (
    "fund_bounty",
    "claim_bounty",
    "release_bounty",
    "claim_bounty",
    "begin_settlement",
    "complete_bounty",
    "settle_bounty",
)
"""The longest life of a bounty, from its draft."""
