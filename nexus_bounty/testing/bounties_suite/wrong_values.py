"""What no store may accept, argument by argument and field by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from nexus_bounty.models import BountyCriteria, BountyQuery, RewardQuery
from nexus_bounty.testing.bounties_suite.moves import ALICE
from nexus_bounty.testing.builders import CREATED, make_agent
from nexus_bounty.validation import MOST_ID_BYTES, MOST_REWARD_ID_BYTES

HALF_A_PAIR: Final = "\ud800"
"""Half of a surrogate pair: text that no encoding can carry."""

BAD_IDS: Final = (
    *("", "  ", " a", "a ", ".", ".."),
    *("a/b", "a%b", "a\0b", "a\nb", "a\x7fb", HALF_A_PAIR),
    *("x" * (MOST_ID_BYTES + 1), "ä" * (MOST_ID_BYTES // 2 + 1)),
    *(7, None),
)
BAD_REWARD_IDS: Final = (*BAD_IDS[:12], "x" * (MOST_REWARD_ID_BYTES + 1), 7, None)
BAD_TEXTS: Final = ("", "  ", "a\0b", HALF_A_PAIR, 7, None)
BAD_AMOUNTS: Final = (0, -1, True, 1.0, 1.5, "100", None, 2**53)
BAD_TIMES: Final = (datetime(2030, 1, 1), "2030-01-01T00:00:00Z", None, 0)
BAD_COUNTS: Final[Sequence[Any]] = (-1, 1.5, "1", True)
BAD_STATUSES: Final[Sequence[Any]] = ("gone", ["gone"], ["open", None])
BAD_CONTEXTS: Final = (
    {"when": CREATED},
    {"bytes": b"x"},
    {"tuple": (1, 2)},
    {"set": {1}},
    {"nan": float("nan")},
    {"infinite": float("inf")},
    {1: "key"},
    {"half": HALF_A_PAIR},
    {"nul": "a\0b"},
    [1],
    "text",
)


def _deep(levels: int) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(levels):
        nested = {"in": nested}
    return nested


def criteria(**fields: Any) -> BountyCriteria:
    """Criteria, each field of which can be set, rightly or wrongly."""
    return BountyCriteria(**({"description": "it works"} | fields))


BAD_AGENTS: Final = (None, "alice", make_agent(""), make_agent("a/b"), make_agent("a", role=7))
BAD_CRITERIA: Final = (
    None,
    "it works",
    criteria(description=None),
    criteria(metric_name=7),
    criteria(metric_threshold=1.0),
    criteria(metric_name="speed", metric_threshold="fast"),
    criteria(metric_name="speed", metric_threshold=float("nan")),
    criteria(metric_name="speed", metric_threshold=True),
    criteria(metric_name="speed", metric_direction="sideways"),
    criteria(required_tags=[""]),
    criteria(required_tags=[7]),
    criteria(required_tags="abc"),
    criteria(required_tags=7),
)

BAD_BOUNTIES: Final[Mapping[str, Sequence[Any]]] = {
    "bounty_id": BAD_IDS,
    "title": BAD_TEXTS,
    "description": (None, 7, HALF_A_PAIR),
    "amount": BAD_AMOUNTS,
    "deadline": BAD_TIMES,
    "created_at": BAD_TIMES,
    "updated_at": BAD_TIMES,
    "status": ("gone", None),
    "context": (*BAD_CONTEXTS, _deep(100)),
    "creator": BAD_AGENTS,
    "claimed_by": BAD_AGENTS[1:],
    "criteria": BAD_CRITERIA,
    "claim_id": (7,),
    "fulfilled_by_cid": (7,),
    "reservation_id": (7,),
    "zone_id": (7,),
}
"""What a field of a bounty must not be."""

BAD_REWARDS: Final[Mapping[str, Sequence[Any]]] = {
    "reward_id": BAD_REWARD_IDS,
    "reward_type": ("tip", None),
    "recipient": BAD_AGENTS,
    "amount": BAD_AMOUNTS,
    "contribution_cid": BAD_TEXTS,
    "created_at": BAD_TIMES,
    "bounty_id": (7,),
    "transfer_id": (7,),
}
"""What a field of a reward must not be."""

WRONG: Final = object()
"""Stands in a call for what is wrong in it."""

BAD_CALLS: Final[Sequence[tuple[str, str, Sequence[Any], Sequence[Any]]]] = (
    ("get_bounty", "bounty_id", (WRONG,), BAD_IDS),
    ("discard_draft", "reservation_id", ("b-1", WRONG), BAD_TEXTS),
    ("discard_draft", "bounty_id", (WRONG, "r-1"), BAD_IDS),
    ("fund_bounty", "reservation_id", ("b-1", WRONG), BAD_TEXTS),
    ("claim_bounty", "claim_id", ("b-1", ALICE, WRONG), BAD_TEXTS),
    ("claim_bounty", "claimed_by", ("b-1", WRONG, "c-1"), BAD_AGENTS),
    ("release_bounty", "claimed_by", ("b-1", WRONG), BAD_AGENTS),
    ("begin_settlement", "fulfilled_by_cid", ("b-1", WRONG), BAD_TEXTS),
    ("complete_bounty", "fulfilled_by_cid", ("b-1", WRONG), BAD_TEXTS),
    ("settle_bounty", "bounty_id", (WRONG,), BAD_IDS),
    ("expire_bounty", "bounty_id", (WRONG,), BAD_IDS),
    ("cancel_bounty", "bounty_id", (WRONG,), BAD_IDS),
    ("has_reward", "reward_id", (WRONG,), BAD_REWARD_IDS),
    ("repair_index", "bounty_id", (WRONG,), BAD_IDS[:-1]),
    ("find_expired_bounties", "now", (WRONG,), (datetime(2030, 1, 1), "2030-01-01")),
)
"""A method, one of its arguments, a call of it, and what that argument must not be."""

BAD_QUERIES: Final[Sequence[tuple[str, str, Sequence[Any]]]] = (
    ("list_bounties", "limit", tuple(BountyQuery(limit=bad) for bad in BAD_COUNTS)),
    ("list_bounties", "offset", tuple(BountyQuery(offset=bad) for bad in BAD_COUNTS)),
    ("list_bounties", "status", tuple(BountyQuery(status=bad) for bad in BAD_STATUSES)),
    ("count_bounties", "status", tuple(BountyQuery(status=bad) for bad in BAD_STATUSES)),
    ("list_rewards", "limit", tuple(RewardQuery(limit=bad) for bad in BAD_COUNTS)),
)
"""A method, a field of its query, and queries that are wrong in it."""
