"""What a bounty is: the wire structs shared with every other program that uses the zone.

Field names are camelCase on the wire and snake_case here. The structs are typed *views*: a
document's unknown keys, nested ones included, live on in the stored document, because
transitions change only the keys they own (see `nexus_bounty.nexus.documents`).

Amounts are integers in the smallest unit of credit. Times are aware and in UTC.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final, Literal, Self, TypeVar, get_args

import msgspec

T = TypeVar("T")

FROM_IDEMPOTENCY_KEY: Final = "<from-idempotency-key>"
"""A bounty created with this id gets one that derives from its idempotency key."""


def utc_now() -> datetime:
    """The current time, aware and in UTC."""
    return datetime.now(UTC)


def always_written(value: T) -> T:
    """A default that is written out all the same, because other readers need it there."""
    return msgspec.field(default_factory=lambda: value)


def composed(name: str) -> str:
    """`name` in its composed form (NFC), as accounts are: an accent can be stored in two ways."""
    return unicodedata.normalize("NFC", name)


def is_wanted(wanted: str | None, agent_id: str | None) -> bool:
    """Whether an agent is the one that is asked for, however accents are stored in either id."""
    if wanted is None or wanted == agent_id:
        return True
    return agent_id is not None and composed(wanted) == composed(agent_id)


class BountyStatus(StrEnum):
    """Where a bounty stands in its life. `nexus_bounty.lifecycle` has the legal transitions."""

    DRAFT = "draft"
    OPEN = "open"
    CLAIMED = "claimed"
    PENDING_SETTLEMENT = "pending_settlement"
    COMPLETED = "completed"
    SETTLED = "settled"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @classmethod
    @lru_cache(maxsize=64)
    def foreign(cls, value: str) -> BountyStatus:
        """A status that another program gave a bounty, as it stands: no member, under no rule."""
        status = str.__new__(cls, value)
        status._name_ = status._value_ = value
        return status

    @property
    def is_known(self) -> bool:
        """Whether it is one of the statuses that we have rules for."""
        return self.value in BountyStatus.__members__.values()

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        """Pickle by value, which `BountyStatus(value)` would refuse for a foreign one."""
        return (BountyStatus if self.is_known else BountyStatus.foreign), (self.value,)


class RewardType(StrEnum):
    """What a reward was given for."""

    FRONTIER_ADVANCE = "frontier_advance"
    ADOPTION_BONUS = "adoption_bonus"
    REPRODUCTION_REWARD = "reproduction_reward"
    REVIEW_REWARD = "review_reward"
    BOUNTY_PAYOUT = "bounty_payout"


class ClaimStatus(StrEnum):
    """Where a claim stands: only an `active` one holds its target."""

    ACTIVE = "active"
    RELEASED = "released"
    EXPIRED = "expired"
    COMPLETED = "completed"


MetricDirection = Literal["minimize", "maximize"]


class Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of everything that travels: frozen, camelCase, defaults left out.

    Pydantic knows it as a type, and so does FastAPI, with its OpenAPI document: an endpoint may
    return a `Bounty`, and take an `Annotated[Bounty, Body()]`.
    """

    def to_dict(self) -> dict[str, Any]:
        """This as it travels: plain values with camelCase keys, ready for JSON."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ValueError: It is not one of these; the message says which part is wrong.
        """
        return msgspec.convert(value, cls)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """How pydantic checks and writes it; imported when somebody asks."""
        from nexus_bounty.schemas import core_schema_of

        return core_schema_of(cls)

    def __post_init__(self) -> None:
        """Bring every aware time to UTC, so that equal moments compare and print alike.

        Raises:
            ValueError: There is no such moment in UTC, as of the last second of the year 9999
                west of Greenwich.
        """
        for name in times_of(type(self)):
            value = getattr(self, name)
            if isinstance(value, datetime) and value.tzinfo not in (None, UTC):
                msgspec.structs.force_setattr(self, name, _in_utc(name, value))


class Stored(Wire, frozen=True, kw_only=True):
    """Base of what is only ever read back from files: a time without a zone is UTC."""

    def __post_init__(self) -> None:
        """Bring every time to UTC."""
        super().__post_init__()
        for name in times_of(type(self)):
            value = getattr(self, name)
            if isinstance(value, datetime) and value.tzinfo is None:
                msgspec.structs.force_setattr(self, name, value.replace(tzinfo=UTC))


def _in_utc(name: str, value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:  # no `ValueError`, which msgspec would take for invalid input
        raise ValueError(f"{name} is out of range in UTC: {value.isoformat()}") from error


@cache
def times_of(kind: type[Wire]) -> tuple[str, ...]:
    """The names of the fields that are times, each of which may be `None`."""
    fields = msgspec.structs.fields(kind)
    return tuple(each.name for each in fields if datetime in (each.type, *get_args(each.type)))


class AgentIdentity(Wire, frozen=True, kw_only=True):
    """Who acts. Only `agent_id` is required, and only it is compared.

    Attributes:
        agent_id: The id, which is also the name of the agent's account.
        agent_name: What people call it.
        provider: Whose model it is.
        model: Which model.
        platform: Where it runs.
        version: Of the agent.
        toolchain: What it builds with.
        runtime: What runs it.
        role: What it is there for.
    """

    agent_id: str
    agent_name: str | None = None
    provider: str | None = None
    model: str | None = None
    platform: str | None = None
    version: str | None = None
    toolchain: str | None = None
    runtime: str | None = None
    role: str | None = None


class BountyCriteria(Wire, frozen=True, kw_only=True):
    """What a contribution must achieve. A criterion that is not given is met.

    Attributes:
        description: In words, for whoever does the work.
        metric_name: The score that counts.
        metric_threshold: What that score must reach.
        metric_direction: Whether "maximize" or "minimize" is better.
        required_tags: Tags that the contribution must have, all of them.
    """

    description: str
    metric_name: str | None = None
    metric_threshold: float | None = None
    metric_direction: MetricDirection | None = None
    required_tags: Sequence[str] | None = None


class Bounty(Wire, frozen=True, kw_only=True):
    """An offer of `amount` credits for work that meets `criteria` before `deadline`.

    Instances are snapshots: they never change, a transition returns a new one.

    Attributes:
        title: In one line.
        creator: Who offers it, and pays.
        amount: Credits in the smallest unit, positive.
        criteria: What the work must achieve.
        deadline: When it expires; aware.
        bounty_id: Its id; one that derives from the idempotency key unless given.
        description: As long as need be.
        status: Where it stands.
        zone_id: The zone that it is in, where a program says so.
        claimed_by: Who is at work on it, or was paid.
        claim_id: The claim by which that agent holds it.
        fulfilled_by_cid: The contribution that it is, or was, settled with.
        reservation_id: The reservation that holds its credits, if any are held.
        ledger_id: Which ledger holds them.
        context: Whatever else its creator wants to say, as JSON.
        created_at: When it was posted; aware.
        updated_at: When it last changed; aware.
        untrusted: Why nothing here counts for money, in a zone that is signed: no key of it has
            signed this. It is never stored.
    """

    title: str
    creator: AgentIdentity
    amount: int
    criteria: BountyCriteria
    deadline: datetime
    bounty_id: str = FROM_IDEMPOTENCY_KEY
    description: str = always_written("")
    status: BountyStatus = always_written(BountyStatus.OPEN)
    zone_id: str | None = None
    claimed_by: AgentIdentity | None = None
    claim_id: str | None = None
    fulfilled_by_cid: str | None = None
    reservation_id: str | None = None
    ledger_id: str | None = None
    context: dict[str, Any] | None = None
    created_at: datetime = msgspec.field(default_factory=utc_now)
    updated_at: datetime = msgspec.field(default_factory=utc_now)
    untrusted: str | None = None


class BountyQuery(Wire, frozen=True, kw_only=True):
    """Which bounties to list; what is not given does not restrict.

    Attributes:
        status: One status, or several.
        creator_agent_id: Only what this agent offers.
        claimed_by_agent_id: Only what this agent has claimed.
        zone_id: Only what says that it is in this zone.
        limit: At most so many of the filtered listing, newest first.
        offset: Leave out so many of it first.
    """

    status: BountyStatus | Sequence[BountyStatus] | None = None
    creator_agent_id: str | None = None
    claimed_by_agent_id: str | None = None
    zone_id: str | None = None
    limit: int | None = None
    offset: int = 0

    @property
    def statuses(self) -> tuple[BountyStatus, ...] | None:
        """The wanted statuses, or `None` for all of them."""
        if self.status is None:
            return None
        if isinstance(self.status, str):
            return (BountyStatus(self.status),)
        return tuple(BountyStatus(status) for status in self.status)

    def matches(self, bounty: Bounty) -> bool:
        """Whether `bounty` passes every filter of this query."""
        claimer = bounty.claimed_by.agent_id if bounty.claimed_by else None
        return (
            (self.statuses is None or bounty.status in self.statuses)
            and is_wanted(self.creator_agent_id, bounty.creator.agent_id)
            and is_wanted(self.claimed_by_agent_id, claimer)
            and self.zone_id in (None, bounty.zone_id)
        )


class RewardRecord(Wire, frozen=True, kw_only=True):
    """Credits given for one contribution: immutable, and one per `reward_id`.

    Attributes:
        reward_id: Follows from what it is for, see `nexus_bounty.reward_id`.
        reward_type: What it was given for.
        recipient: Who has the credits.
        amount: In the smallest unit.
        contribution_cid: The work.
        bounty_id: The bounty, if it was one.
        transfer_id: The reservation or transfer that moved the credits.
        created_at: When; aware.
    """

    reward_id: str
    reward_type: RewardType
    recipient: AgentIdentity
    amount: int
    contribution_cid: str
    bounty_id: str | None = None
    transfer_id: str | None = None
    created_at: datetime = msgspec.field(default_factory=utc_now)


class RewardQuery(Wire, frozen=True, kw_only=True):
    """Which rewards to list; what is not given does not restrict.

    Attributes:
        reward_type: Only those given for this.
        recipient_agent_id: Only those of this agent.
        bounty_id: Only those of this bounty.
        contribution_cid: Only those for this work.
        limit: At most so many, newest first.
    """

    reward_type: RewardType | None = None
    recipient_agent_id: str | None = None
    bounty_id: str | None = None
    contribution_cid: str | None = None
    limit: int | None = None

    def matches(self, reward: RewardRecord) -> bool:
        """Whether `reward` passes every filter of this query."""
        return (
            self.reward_type in (None, reward.reward_type)
            and is_wanted(self.recipient_agent_id, reward.recipient.agent_id)
            and self.bounty_id in (None, reward.bounty_id)
            and self.contribution_cid in (None, reward.contribution_cid)
        )


class Claim(Wire, frozen=True, kw_only=True):
    """A lease on a target: while it is active and unexpired, nobody else may claim the target.

    Attributes:
        claim_id: Its id.
        target_ref: What it is on, such as `bounty:b-1`.
        agent: Who holds it.
        intent_summary: What for, in words.
        heartbeat_at: When it was taken or renewed last; aware.
        lease_expires_at: Until when it holds; aware.
        status: Whether it is active, or how it ended.
        created_at: When it was taken; aware.
        revision: Counts its changes.
        context: Whatever else its agent wants to say, as JSON.
    """

    claim_id: str
    target_ref: str
    agent: AgentIdentity
    intent_summary: str
    heartbeat_at: datetime
    lease_expires_at: datetime
    status: ClaimStatus = always_written(ClaimStatus.ACTIVE)
    created_at: datetime = msgspec.field(default_factory=utc_now)
    revision: int = always_written(1)
    context: dict[str, Any] | None = None

    def holds(self, now: datetime) -> bool:
        """Whether this claim keeps others off its target at `now`."""
        return self.status is ClaimStatus.ACTIVE and self.lease_expires_at >= now


class ClaimQuery(Wire, frozen=True, kw_only=True):
    """Which claims to list, ended ones included; what is not given does not restrict.

    Attributes:
        status: One status, or several.
        agent_id: Only those of this agent.
        target_ref: Only those on this target.
        limit: At most so many, newest first.
    """

    status: ClaimStatus | Sequence[ClaimStatus] | None = None
    agent_id: str | None = None
    target_ref: str | None = None
    limit: int | None = None

    @property
    def statuses(self) -> tuple[ClaimStatus, ...] | None:
        """The wanted statuses, or `None` for all of them."""
        if self.status is None:
            return None
        if isinstance(self.status, str):
            return (ClaimStatus(self.status),)
        return tuple(ClaimStatus(status) for status in self.status)

    def matches(self, claim: Claim) -> bool:
        """Whether `claim` passes every filter of this query."""
        return (
            (self.statuses is None or claim.status in self.statuses)
            and is_wanted(self.agent_id, claim.agent.agent_id)
            and self.target_ref in (None, claim.target_ref)
        )


class Contribution(Wire, frozen=True, kw_only=True):
    """A piece of delivered work, as far as criteria look at it.

    Attributes:
        cid: Its content id.
        agent: Its author, where that is known.
        tags: What it is said to be.
        scores: What was measured, by name.
    """

    cid: str
    agent: AgentIdentity | None = None
    tags: Sequence[str] = ()
    scores: dict[str, float] = {}


class IndexStatus(Wire, frozen=True, kw_only=True):
    """How one status index compares with the documents.

    Attributes:
        status: Which index.
        markers: How many markers it has.
        missing: Ids of bounties in the status that have no marker.
        stale: Ids of bounties with a marker that are not in the status.
    """

    status: BountyStatus
    markers: int
    missing: Sequence[str] = ()
    stale: Sequence[str] = ()

    @property
    def healthy(self) -> bool:
        """Whether the index says exactly what the documents say."""
        return not (self.missing or self.stale)


class MarkedPage(Wire, frozen=True, kw_only=True):
    """Bounties that may be in a status, by the names of their markers alone.

    Attributes:
        ids: Which, each once.
        after: The walk goes on after this.
        day: The day on which the first of them ended, where they are in the order of their ends;
            then those on later pages ended no earlier.
    """

    ids: Sequence[str]
    after: str
    day: date | None = None


class IndexFault(Wire, frozen=True, kw_only=True):
    """One status marker that disagrees with its bounty's document.

    Attributes:
        bounty_id: The bounty.
        status: The status whose index it is in, or lacks in.
        marker: Which marker, in the store's own words.
        missing: Whether it is missing; otherwise it is stale.
        touched_at: When the document's last operation was, where its history says so: also of what
            is no bounty any more. Aware.
        listed_elsewhere: Whether it only lies, or lay, elsewhere than where the zone is laid out to
            have it: nothing is misled by that.
    """

    bounty_id: str
    status: BountyStatus
    marker: str
    missing: bool = False
    touched_at: datetime | None = None
    listed_elsewhere: bool = False


class IndexPage(Wire, frozen=True, kw_only=True):
    """One page of an audit of the status index.

    Attributes:
        after: The audit goes on after this.
        checked: How many files were looked at.
        faults: What is wrong.
        unreadable: What is wrong with each document that cannot be understood, by its id.
        untrusted: Why each document is not to be trusted that is not signed, by its id.
    """

    after: str
    checked: int
    faults: Sequence[IndexFault] = ()
    unreadable: dict[str, str] = {}
    untrusted: dict[str, str] = {}


def reward_id(reward_type: RewardType, source_id: str, contribution_cid: str) -> str:
    """The deterministic id of a reward, which makes recording it twice the same as once.

    In the peer's form, `reward:{type}:{source}:{cid}`, where that can be said of one source and
    contribution alone. Where colons in them would leave it open, the length of the source goes
    before it: `reward:{type}:{length}~{source}:{cid}`.
    """
    named = f"{source_id}:{contribution_cid}"
    if _COUNTED.match(named) or _taken_apart(named) != (source_id, contribution_cid):
        named = f"{len(source_id)}~{named}"
    return f"reward:{reward_type.value}:{named}"


def _taken_apart(named: str) -> tuple[str, str]:
    """The one source and contribution that the peer's form is left to."""
    if found := _ENDS_IN_CID.fullmatch(named):
        return found[1], found[2]
    source_id, _, contribution_cid = named.partition(":")
    return source_id, contribution_cid


_COUNTED: Final = re.compile(r"[0-9]+~")
_ENDS_IN_CID: Final = re.compile(r"(.*):(blake3:[0-9a-f]{64})", re.DOTALL)
"""What ends in the content id of a contribution of the peer, see `nexus_bounty.works`."""
