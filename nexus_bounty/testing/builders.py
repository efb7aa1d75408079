"""Valid bounties, agents and rewards for tests, each field of which can be set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from nexus_bounty.lifecycle import PAST_THE_PIVOT
from nexus_bounty.models import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyStatus,
    RewardRecord,
    RewardType,
    reward_id,
)
from nexus_bounty.statuses import STATUSES, Claimer, Credits

CREATED: Final = datetime(2026, 1, 1, tzinfo=UTC)
DEADLINE: Final = datetime(2100, 1, 1, tzinfo=UTC)


def make_agent(agent_id: str = "alice", **overrides: Any) -> AgentIdentity:
    """An agent with nothing but an id, unless told more."""
    return AgentIdentity(agent_id=agent_id, **overrides)


def make_bounty(**overrides: Any) -> Bounty:
    """An open bounty of 100 credits, `b-1`, that `creator` offers until the year 2100."""
    offer = Bounty(
        bounty_id="b-1",
        title="Speed up the parser",
        description="Twice as fast on the large corpus.",
        creator=make_agent("creator"),
        amount=100,
        criteria=BountyCriteria(description="the benchmark shows it"),
        deadline=DEADLINE,
        created_at=CREATED,
        updated_at=CREATED,
    )
    return msgspec.structs.replace(offer, **overrides)


def make_bounty_in(status: BountyStatus, **overrides: Any) -> Bounty:
    """A bounty as it looks in `status`: `alice` holds it by claim `c-1`, and delivered `cid-1`."""
    implied: dict[str, Any] = {"status": status}
    row = STATUSES[status]
    if row.credits is not Credits.PROMISED:
        implied["reservation_id"] = "r-1"
    if row.claimer not in (Claimer.NONE, Claimer.GONE):
        implied |= {"claimed_by": make_agent("alice"), "claim_id": "c-1"}
    if status in PAST_THE_PIVOT:
        implied["fulfilled_by_cid"] = "cid-1"
    return make_bounty(**(implied | overrides))


def make_reward(**overrides: Any) -> RewardRecord:
    """The payout of bounty `b-1` to `alice`; its id follows from the rest unless it is set."""
    fields: dict[str, Any] = {
        "reward_type": RewardType.BOUNTY_PAYOUT,
        "recipient": make_agent("alice"),
        "amount": 100,
        "contribution_cid": "cid-1",
        "bounty_id": "b-1",
        "created_at": CREATED,
    } | overrides
    if "reward_id" not in fields:
        source = fields["bounty_id"] or "none"
        fields["reward_id"] = reward_id(fields["reward_type"], source, fields["contribution_cid"])
    return RewardRecord(**fields)
