"""What every `BountyStore` must do."""

from __future__ import annotations

from nexus_bounty.testing.bounties_suite.concurrency import Concurrency
from nexus_bounty.testing.bounties_suite.creating import Creating
from nexus_bounty.testing.bounties_suite.discarding import Discarding
from nexus_bounty.testing.bounties_suite.index import Index
from nexus_bounty.testing.bounties_suite.listings import Listings
from nexus_bounty.testing.bounties_suite.moves import LIFE, MOVES, Move
from nexus_bounty.testing.bounties_suite.repeats import Repeats
from nexus_bounty.testing.bounties_suite.rewards import Rewards
from nexus_bounty.testing.bounties_suite.times import Times
from nexus_bounty.testing.bounties_suite.transitions import Transitions
from nexus_bounty.testing.bounties_suite.wrong_input import WrongInput
from nexus_bounty.testing.bounties_suite.wrong_values import (
    BAD_AGENTS,
    BAD_AMOUNTS,
    BAD_BOUNTIES,
    BAD_CALLS,
    BAD_CONTEXTS,
    BAD_COUNTS,
    BAD_CRITERIA,
    BAD_IDS,
    BAD_QUERIES,
    BAD_REWARD_IDS,
    BAD_REWARDS,
    BAD_STATUSES,
    BAD_TEXTS,
    BAD_TIMES,
    HALF_A_PAIR,
    WRONG,
)


class BountyStoreContract(
    Creating,
    Transitions,
    Discarding,
    Repeats,
    WrongInput,
    Listings,
    Times,
    Rewards,
    Index,
    Concurrency,
):
    """Override the fixture `store`; it may go by `clock`, and need not.

    Set `single_writer` to a reason where the store is for one writer at a time: what tests
    several writers at once is then skipped, with that reason.
    """


__all__ = [
    "BAD_AGENTS",
    "BAD_AMOUNTS",
    "BAD_BOUNTIES",
    "BAD_CALLS",
    "BAD_CONTEXTS",
    "BAD_COUNTS",
    "BAD_CRITERIA",
    "BAD_IDS",
    "BAD_QUERIES",
    "BAD_REWARDS",
    "BAD_REWARD_IDS",
    "BAD_STATUSES",
    "BAD_TEXTS",
    "BAD_TIMES",
    "HALF_A_PAIR",
    "LIFE",
    "MOVES",
    "WRONG",
    "BountyStoreContract",
    "Move",
]
