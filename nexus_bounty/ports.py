"""The protocols between bounties and the systems they live on.

Every mutation of every port ends in one of the four ways of `nexus_bounty.outcomes`, takes an
idempotency key or a deterministic id, and is harmless to repeat with it.
`nexus_bounty.testing` has a contract suite for each port.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import msgspec

from nexus_bounty.idempotency import OperationRecord
from nexus_bounty.models import (
    AgentIdentity,
    Bounty,
    BountyQuery,
    BountyStatus,
    Claim,
    ClaimQuery,
    Contribution,
    IndexFault,
    IndexPage,
    IndexStatus,
    MarkedPage,
    RewardQuery,
    RewardRecord,
    Wire,
    utc_now,
)
from nexus_bounty.outcomes import Outcome, Resolution
from nexus_bounty.partition import EVERYTHING, Partition, decode_segment, encode_segment

StoreT = TypeVar("StoreT")


@runtime_checkable
class BountyStore(Protocol):
    """Keeps bounties and rewards. The methods are the peer's, in snake_case.

    Mutations raise `PreCommitError`, `PostCommitError` or `CommitUnknownError` and return the
    committed snapshot otherwise. A repeat with the same `idempotency_key` and parameters returns
    the bounty as it stands; with other parameters it is an `IdempotencyMismatchError`.
    """

    @property
    def store_identity(self) -> str:
        """Which persistent state this store works on: equal identities, equal state."""
        ...

    @property
    def zone_id(self) -> str:
        """The zone that this store works on, which reservations for its bounties name."""
        ...

    async def create_bounty(
        self,
        bounty: Bounty,
        *,
        relative_deadline: bool = False,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """Store a new bounty in the status it carries.

        With `relative_deadline` the deadline was reckoned from the moment of the call, and is no
        part of what makes a repeat the same operation.

        Raises:
            PreCommitError, PostCommitError, CommitUnknownError, IdempotencyMismatchError: See the
                class.
        """
        ...

    async def get_bounty(self, bounty_id: str, *, fresh: bool = True) -> Bounty | None:
        """The bounty as it stands, or `None`; if not `fresh`, it may be as it was last seen.

        Raises:
            NexusError: It could not be read (another store raises an error of its own).
        """
        ...

    async def get_bounties(self, bounty_ids: Sequence[str]) -> dict[str, Bounty]:
        """Those of the bounties that exist and can be read, by their ids.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def list_bounties(self, query: BountyQuery | None = None) -> list[Bounty]:
        """The bounties that match, newest first.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def count_bounties(self, query: BountyQuery | None = None) -> int:
        """How many bounties match, `limit` and `offset` aside.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def discard_draft(
        self, bounty_id: str, reservation_id: str, *, idempotency_key: str | None = None
    ) -> None:
        """Take back a draft: its id is free again, and its reservation never opens a bounty of it.

        Doing so again, with whatever key, is a no-op.

        Raises:
            PreCommitError, CommitUnknownError, IdempotencyMismatchError: See the class.
        """
        ...

    async def fund_bounty(
        self, bounty_id: str, reservation_id: str, *, idempotency_key: str | None = None
    ) -> Bounty:
        """`draft → open`, naming the reservation that holds its credits.

        One that was given back with an earlier draft of this id is refused.

        Raises:
            PreCommitError, PostCommitError, CommitUnknownError, IdempotencyMismatchError: See the
                class.
        """
        ...

    async def claim_bounty(
        self,
        bounty_id: str,
        claimed_by: AgentIdentity,
        claim_id: str,
        *,
        once: bool = False,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """`open → claimed`; `claimed → claimed` renews for the same agent.

        With `once`, a `claim_id` that was given back is refused while the bounty is open.

        Raises:
            PreCommitError, PostCommitError, CommitUnknownError, IdempotencyMismatchError: See the
                class.
        """
        ...

    async def release_bounty(
        self,
        bounty_id: str,
        claimed_by: AgentIdentity,
        *,
        claim_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """`claimed → open`, by the agent that claimed it.

        With a `claim_id`, only while the bounty is claimed by that very claim.

        Raises:
            PreCommitError, PostCommitError, CommitUnknownError, IdempotencyMismatchError: See the
                class.
        """
        ...

    async def begin_settlement(
        self,
        bounty_id: str,
        fulfilled_by_cid: str,
        *,
        claim_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """`claimed → pending_settlement`, the pivot: from here only forward.

        With a `claim_id`, only while the bounty is claimed by that very claim.

        Raises:
            PreCommitError, PostCommitError, CommitUnknownError, IdempotencyMismatchError: See the
                class.
        """
        ...

    async def complete_bounty(
        self, bounty_id: str, fulfilled_by_cid: str, *, idempotency_key: str | None = None
    ) -> Bounty:
        """`claimed` or `pending_settlement` `→ completed`.

        Raises:
            PreCommitError, PostCommitError, CommitUnknownError, IdempotencyMismatchError: See the
                class.
        """
        ...

    async def settle_bounty(self, bounty_id: str, *, idempotency_key: str | None = None) -> Bounty:
        """`pending_settlement` or `completed` `→ settled`.

        Raises:
            PreCommitError, PostCommitError, CommitUnknownError, IdempotencyMismatchError: See the
                class.
        """
        ...

    async def expire_bounty(
        self,
        bounty_id: str,
        *,
        reservation_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """`open` or `claimed` `→ expired`.

        With a `reservation_id`, only while the bounty names it: whoever has looked at a draft does
        not end what another has created in its place.

        Raises:
            PreCommitError, PostCommitError, CommitUnknownError, IdempotencyMismatchError: See the
                class.
        """
        ...

    async def cancel_bounty(
        self,
        bounty_id: str,
        *,
        reservation_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """`draft`, `open` or `claimed` `→ cancelled`.

        With a `reservation_id`, only while the bounty names it: whoever has looked at a draft does
        not end what another has created in its place.

        Raises:
            PreCommitError, PostCommitError, CommitUnknownError, IdempotencyMismatchError: See the
                class.
        """
        ...

    async def get_history(self, bounty_id: str) -> Sequence[OperationRecord]:
        """The operations that the bounty remembers, oldest first, fences included.

        Raises:
            NexusError: It could not be read (another store raises an error of its own).
        """
        ...

    async def collect_leftovers(self) -> list[str]:
        """Remove what nothing can need any more; returns the ids it removed.

        Raises:
            NexusError: Not all could be removed (another store raises an error of its own).
        """
        ...

    async def resolve_operation(
        self, bounty_id: str, idempotency_key: str, *, giving_back: str | None = None
    ) -> Resolution:
        """Make it definite what became of an operation: one that is not found never will land.

        What keeps it out also gives back the claim `giving_back`, see `claim_bounty`.

        Raises:
            CommitUnknownError: It is still not definite: ask again.
        """
        ...

    def walk_bounties(
        self, query: BountyQuery | None = None, *, partition: Partition = EVERYTHING
    ) -> AsyncIterator[Bounty]:
        """Every bounty of the range that matches, in no order, without loading them all.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    def walk_ids(
        self, status: BountyStatus, *, partition: Partition = EVERYTHING
    ) -> AsyncIterator[str]:
        """The ids of all bounties of the range that may be in `status`, without loading bounties.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    def walk_marked(
        self,
        status: BountyStatus,
        after: str = "",
        *,
        size: int = 500,
        since: date | None = None,
        partition: Partition = EVERYTHING,
    ) -> AsyncIterator[MarkedPage]:
        """The same in pages of at most `size`; resumes after the page that ended with `after`.

        Those that ended before the day `since` may be left out, if their pages name their days.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    def first_open_day(self, now: datetime) -> date | None:
        """The day before which no bounty ends any more, by requests that are still under way.

        `None` where what has ended is not kept by days.
        """
        ...

    async def find_expired_bounties(
        self, now: datetime | None = None, *, partition: Partition = EVERYTHING
    ) -> list[Bounty]:
        """The open and claimed bounties of the range whose deadline has passed.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def record_reward(
        self, reward: RewardRecord, *, idempotency_key: str | None = None
    ) -> RewardRecord:
        """Keep a reward; the same `reward_id` again is a no-op.

        Raises:
            PreCommitError, PostCommitError, CommitUnknownError, IdempotencyMismatchError: See the
                class.
        """
        ...

    async def has_reward(self, reward_id: str) -> bool:
        """Whether the reward is recorded.

        Raises:
            NexusError: It could not be read (another store raises an error of its own).
        """
        ...

    async def recorded_rewards(self, reward_ids: Sequence[str]) -> set[str]:
        """Those of the rewards that are recorded.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def list_rewards(self, query: RewardQuery | None = None) -> list[RewardRecord]:
        """The rewards that match, newest first.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def repair_index(self, bounty_id: str | None = None) -> list[IndexStatus]:
        """Make the status markers of one bounty, or of all, say what the documents say.

        Raises:
            NexusError: Not all could be repaired (another store raises an error of its own).
        """
        ...

    async def list_index_statuses(self) -> list[IndexStatus]:
        """How each status index compares with the documents, without changing anything.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    def audit_index(
        self,
        after: str = "",
        *,
        since: date | None = None,
        documents: bool = True,
        partition: Partition = EVERYTHING,
        names_age: timedelta = timedelta(),
    ) -> AsyncIterator[IndexPage]:
        """The same a page at a time, of a range; resumes after the page that ended with `after`.

        The markers of bounties that ended before the day `since` may be left out, and without
        `documents` what is missing.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def repair_markers(self, faults: Sequence[IndexFault]) -> list[IndexFault]:
        """Repair reported faults; return those unrepaired.

        Raises:
            NexusError: They could not be written (another store raises an error of its own).
        """
        ...

    async def close(self) -> None:
        """Let go of what the store itself opened."""
        ...


@runtime_checkable
class ClaimStore(Protocol):
    """Keeps leases: at most one active claim per target."""

    async def claim_or_renew(
        self,
        target_ref: str,
        agent: AgentIdentity,
        *,
        claim_id: str,
        lease: timedelta,
        intent_summary: str = "",
        context: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Claim:
        """Take the target's lease, or extend it if `agent` already holds it.

        Raises:
            ClaimConflictError: Another agent holds it (pre-commit).
        """
        ...

    async def create_claim(
        self,
        target_ref: str,
        agent: AgentIdentity,
        *,
        claim_id: str,
        lease: timedelta,
        intent_summary: str = "",
        context: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Claim:
        """Take the lease of a free target; one that `agent` itself holds is not free.

        Raises:
            ClaimConflictError: It is not free (pre-commit).
        """
        ...

    async def get(self, claim_id: str) -> Claim | None:
        """The claim as it stands, or `None`.

        Raises:
            NexusError: It could not be read (another store raises an error of its own).
        """
        ...

    async def get_many(self, claim_ids: Sequence[str]) -> dict[str, Claim]:
        """Those of the claims that exist, by their ids.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def heartbeat(
        self, claim_id: str, *, lease: timedelta, idempotency_key: str | None = None
    ) -> Claim:
        """Extend an active, unexpired lease to `lease` from now.

        Raises:
            ClaimNotFoundError: There is no such claim (pre-commit).
            ClaimStateError: It is no longer active, or its lease has run out (pre-commit).
        """
        ...

    async def release(
        self, claim_id: str, *, revision: int | None = None, idempotency_key: str | None = None
    ) -> Claim:
        """Give the target back; a claim already released stays so.

        With a `revision`, only what has not been renewed since.

        Raises:
            ClaimStateError: It was completed, or renewed meanwhile (pre-commit).
        """
        ...

    async def complete(self, claim_id: str, *, idempotency_key: str | None = None) -> Claim:
        """End the claim because its work is done; a claim already completed stays so.

        Raises:
            ClaimNotFoundError: There is no such claim (pre-commit).
            ClaimStateError: It has ended otherwise (pre-commit).
        """
        ...

    async def expire_stale(
        self,
        now: datetime | None = None,
        *,
        stalled_for: timedelta | None = None,
        targets: Partition = EVERYTHING,
    ) -> list[Claim]:
        """End every active claim whose lease has run out; returns those it ended.

        With `stalled_for` those, too, whose agents have not been heard of for so long. Only
        claims on the `targets` are looked at.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def detect_stalled(
        self, stalled_for: timedelta, now: datetime | None = None
    ) -> list[Claim]:
        """The claims that hold their target, but whose agents were not heard of for so long.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def list_claims(self, query: ClaimQuery | None = None) -> list[Claim]:
        """The claims that match, ended ones included, newest first.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def clean_completed(self, retention: timedelta) -> int:
        """Delete the claims that have ended, `retention` after their last heartbeat; how many.

        A retention shorter than a repeat may come after is refused.

        Raises:
            NexusError: Not all could be removed (another store raises an error of its own).
        """
        ...

    async def active_claims(
        self, target_ref: str | None = None, now: datetime | None = None
    ) -> list[Claim]:
        """The claims that hold their target at `now`.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    def walk_active_claims(
        self, now: datetime | None = None, *, targets: Partition = EVERYTHING
    ) -> AsyncIterator[Claim]:
        """Every claim that holds one of the `targets` at `now`, in no order, a page at a time.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def close(self) -> None:
        """Let go of what the store itself opened."""
        ...


class ReservationStatus(StrEnum):
    """Where escrowed credits are: held, with the payee, or back with the payer."""

    HELD = "held"
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"


class EscrowTerms(Wire, frozen=True, kw_only=True):
    """What credits are held for: whose they are, how many, and for what.

    A reservation is paid or given back only to a caller who names these, so that a document that
    names somebody else's reservation moves nothing.

    Attributes:
        account: Whose credits they are.
        amount: In the smallest unit.
        reference: What they are for, see `reference_of`.
    """

    account: str
    amount: int
    reference: str


class Assignment(Wire, frozen=True, kw_only=True):
    """Who is to be paid from a reservation, for which work, by which settlement.

    It is recorded in the ledger before a settlement commits, and names the `key` of that commit,
    by which anybody can find out what became of it.

    Attributes:
        payee: The account that is to be paid.
        work: The contribution that is paid for.
        key: The idempotency key of the commit that decides it.
    """

    payee: str
    work: str
    key: str


class Reservation(Wire, frozen=True, kw_only=True):
    """Credits set aside under an id of the caller's choosing.

    Attributes:
        reservation_id: That id.
        account: Whose credits they are.
        amount: In the smallest unit.
        status: Where they are by now.
        reference: What they are for, see `reference_of`.
        captured_to: Who was paid.
        expires_at: When they go back by themselves; never, if not given.
        assignment: Who is to be paid, once that has been decided.
        created_at: When; aware.
    """

    reservation_id: str
    account: str
    amount: int
    status: ReservationStatus = ReservationStatus.HELD
    reference: str = ""
    captured_to: str | None = None
    expires_at: datetime | None = None
    assignment: Assignment | None = None
    created_at: datetime = msgspec.field(default_factory=utc_now)

    @property
    def terms(self) -> EscrowTerms:
        """What the credits are held for."""
        return EscrowTerms(account=self.account, amount=self.amount, reference=self.reference)


def reference_of(zone_id: str, bounty_id: str) -> str:
    """What the reservation of a bounty names: its zone, in which `/` is `%2F`, and its id."""
    return f"zone:{encode_segment(zone_id)}/bounty:{bounty_id}"


def referred_to(reference: str) -> tuple[str | None, str]:
    """The zone and the bounty that a reservation is for; reservations of old name no zone."""
    zone, found, bounty_id = reference.partition("/bounty:")
    if not found or not zone.startswith("zone:"):
        return None, reference
    return decode_segment(zone.removeprefix("zone:")), bounty_id


def is_for(bounties: Partition, reference: str) -> bool:
    """Whether a reservation with that reference is for one of these."""
    return bounties.is_everything or referred_to(reference)[1] in bounties


class Transfer(Wire, frozen=True, kw_only=True):
    """Credits moved from one account to another, under an id of the caller's choosing.

    Attributes:
        transfer_id: That id.
        from_account: Who had them.
        to_account: Who has them.
        amount: In the smallest unit.
        memo: What for.
        created_at: When; aware.
    """

    transfer_id: str
    from_account: str
    to_account: str
    amount: int
    memo: str = ""
    created_at: datetime = msgspec.field(default_factory=utc_now)


class Balance(Wire, frozen=True, kw_only=True):
    """What an account has, in the smallest unit.

    Attributes:
        account: Whose.
        available: Free to use.
        reserved: Set aside.
    """

    account: str
    available: int
    reserved: int


@runtime_checkable
class CreditsService(Protocol):
    """Holds the money. Every mutation is idempotent by its id.

    `held_for` names what a reservation is held for; if it is given and does not fit, nothing is
    changed.

    Each raises `PaymentError` (pre-commit) when the service refuses, `InvalidInputError` for bad
    input, `IdempotencyMismatchError` when the id was used before with other parameters, and
    `CommitUnknownError` when the answer was lost: ask again with the same id.
    """

    async def reserve(
        self,
        reservation_id: str,
        *,
        account: str,
        amount: int,
        reference: str = "",
        expires_at: datetime | None = None,
        timeout: timedelta | None = None,
    ) -> Reservation:
        """Set `amount` of `account` aside.

        A reservation with `expires_at` returns to its account by itself from that moment on; one
        with `timeout` so long after it was made, however often that is asked for.

        Raises:
            InsufficientCreditsError: `account` does not have it (pre-commit).
        """
        ...

    async def assign(
        self,
        reservation_id: str,
        assignment: Assignment,
        *,
        held_for: EscrowTerms | None = None,
        replacing: str | None = None,
        shared_work: bool = False,
    ) -> Reservation:
        """Record who is to be paid from a held reservation; the same again is a no-op.

        From then on only that payee is paid, for that work, and nothing is given back on request.
        Whoever has found out that the settlement with the key `replacing` never will commit takes
        its place. Unless the work is shared, it pays one reservation only.

        Raises:
            AssignedError: Another assignment stands, which is attached (pre-commit).
            PaymentError: It is unknown, not held, not held for that, or the work is or was paid
                from another reservation (pre-commit).
        """
        ...

    async def unassign(self, reservation_id: str, key: str) -> Reservation:
        """Take back the assignment of the settlement `key`, which never will commit.

        One that is not there, or is another's, is left as it is.

        Raises:
            PaymentError: The reservation is unknown (pre-commit).
        """
        ...

    async def capture(
        self,
        reservation_id: str,
        *,
        to_account: str,
        work: str | None = None,
        held_for: EscrowTerms | None = None,
    ) -> Reservation:
        """Pay a held reservation to `to_account`; again to the same account is a no-op.

        With `work`, only if it was assigned to that account for that work.

        Raises:
            PaymentError: It is unknown, voided, expired, captured to another, assigned to another
                or for other work, or not held for that (pre-commit).
        """
        ...

    async def void(
        self,
        reservation_id: str,
        *,
        held_for: EscrowTerms | None = None,
        despite: str | None = None,
    ) -> Reservation:
        """Give a held reservation back to its account; again is a no-op.

        One that is assigned is given back only to whoever knows that the settlement never will
        commit, and names its key: `despite` it.

        Raises:
            AssignedError: It is to be paid to somebody (pre-commit).
            PaymentError: It is unknown, captured, or not held for that (pre-commit).
        """
        ...

    async def rescue(
        self, reservation_id: str, *, to_account: str | None, because: str
    ) -> Reservation:
        """Free what no rule can: pay it to `to_account`, or give it back without one.

        For operators, who say why: `because` is written to the ledger's journal. The terms and
        an assignment do not stand in the way; what has ended already stays as it is.

        Raises:
            PaymentError: It is unknown, or has ended otherwise (pre-commit).
            CommitUnknownError: The ledger did not say; ask again.
        """
        ...

    async def transfer(
        self, transfer_id: str, *, from_account: str, to_account: str, amount: int, memo: str = ""
    ) -> Transfer:
        """Move free credits; the same id again is a no-op.

        Raises:
            InsufficientCreditsError: `from_account` does not have it (pre-commit).
        """
        ...

    async def identity(self) -> str:
        """Which ledger this is: the same wherever it is opened, another for every other ledger.

        Raises:
            CommitUnknownError: The ledger cannot be read.
        """
        ...

    async def balance(self, account: str) -> Balance:
        """What the account has; an account never heard of has nothing.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        ...

    async def get_reservation(self, reservation_id: str) -> Reservation | None:
        """The reservation as it stands, or `None`.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        ...

    def reservations(
        self, status: ReservationStatus | None = None, *, bounties: Partition = EVERYTHING
    ) -> AsyncIterator[Reservation]:
        """Every reservation (in `status`), oldest first, without loading them all.

        Only those for `bounties`, see `referred_to`.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        ...

    async def top_up(self, transfer_id: str, *, account: str, amount: int) -> Transfer:
        """Bring new credits into the system: the only way its total ever changes.

        Raises:
            PaymentError: This service does not let its clients do that (pre-commit).
        """
        ...

    async def close(self) -> None:
        """Let go of what the service itself opened."""
        ...


class Durability(Wire, frozen=True, kw_only=True):
    """Whether the place of a ledger keeps what it has acknowledged.

    Attributes:
        place: The server and database.
        settings: What was looked at, by its name.
        problems: By what an acknowledged commit may be lost; none is as it should be.
        advice: What else is worth to know.
    """

    place: str
    settings: dict[str, str]
    problems: Sequence[str] = ()
    advice: Sequence[str] = ()


@runtime_checkable
class TellsDurability(Protocol):
    """A ledger on a server whose settings decide what it keeps."""

    async def durability(self) -> Durability:
        """Whether the server keeps what it has acknowledged.

        Raises:
            CommitUnknownError: The server could not be asked.
        """
        ...


class JournaledOperation(Wire, frozen=True, kw_only=True):
    """One operation as the journal has it; open, and so in doubt, until its outcome is known.

    Attributes:
        key: Its idempotency key, which stands for it alone in its zone.
        zone_id: The zone that it works on.
        kind: What is done, such as `claim`.
        bounty_id: To which bounty.
        fingerprint: A digest of what was asked for.
        decided_by: The key of the commit that decides whether it happened.
        actor: Who asked for it, where that was said.
        began_at: When it was first written down; aware.
        ended_at: When its outcome was.
        outcome: What became of it; `None` while that is not known.
        reason: The last word on it, for people.
        calls: How often it was begun.
    """

    key: str
    zone_id: str
    kind: str
    bounty_id: str
    fingerprint: str
    decided_by: str
    actor: str | None = None
    began_at: datetime = msgspec.field(default_factory=utc_now)
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    reason: str = ""
    calls: int = 1

    @property
    def is_open(self) -> bool:
        """Whether it may have happened or may yet, as far as the journal knows."""
        return self.outcome is None


@runtime_checkable
class OperationJournal(Protocol):
    """Remembers operations beside the ledger, across processes; some ledgers are one.

    An operation is written down before its first request and closed with its outcome, so that
    whoever takes over the key of a process that died has that process's doubt.
    """

    async def begin_operation(self, operation: JournaledOperation) -> JournaledOperation | None:
        """Write an operation down; returns what the key stood for before this call.

        What provably never happened is opened again by a repeat; what happened stays closed.

        Raises:
            IdempotencyMismatchError: The key stands for another operation, which is attached.
            PreCommitError: It could not be written down.
            CommitUnknownError: It may have been written down.
        """
        ...

    async def end_operation(
        self, zone_id: str, key: str, outcome: Outcome | None, reason: str
    ) -> None:
        """Note the outcome of an operation; with `None` only the reason why it is not known.

        Raises:
            PreCommitError, CommitUnknownError: The journal could not be read or written.
        """
        ...

    async def find_operation(self, zone_id: str, key: str) -> JournaledOperation | None:
        """The operation that a key stands for; `None` if there is none, or it was forgotten.

        Raises:
            PreCommitError, CommitUnknownError: The journal could not be read or written.
        """
        ...

    def open_operations(self, zone_id: str) -> AsyncIterator[JournaledOperation]:
        """Every operation of a zone that is in doubt, the oldest first.

        Raises:
            PreCommitError, CommitUnknownError: The journal could not be read or written.
        """
        ...

    async def forget_operations(self, zone_id: str, before: datetime) -> int:
        """Drop operations that were closed before then; returns how many.

        What is forgotten is never taken for "did not happen": the history of the bounty's
        document is asked, as it is for keys of which there never was an entry.

        Raises:
            PreCommitError, CommitUnknownError: The journal could not be written.
        """
        ...


@runtime_checkable
class ContributionStore(Protocol):
    """Where delivered work is looked up."""

    async def get(self, cid: str) -> Contribution | None:
        """The contribution with content id `cid`, or `None`.

        Raises:
            NexusError: It could not be read (another store raises an error of its own).
        """
        ...


@runtime_checkable
class InZone(Protocol):
    """A claim store that keeps claims in a zone, where every program looks for them."""

    @property
    def zone_id(self) -> str:
        """The zone."""
        ...


@runtime_checkable
class CleansUp(Protocol):
    """A store that can remove what its commits leave behind in batches, off the critical path."""

    def cleaning_up(self, *, later: bool) -> Self:
        """The same store, which does that `later`, or before its mutations return."""
        ...


@runtime_checkable
class LeavesFiles(Protocol):
    """A claim store whose commits leave files behind, which nothing needs any more in time."""

    async def collect_leftovers(self) -> list[str]:
        """Remove what nothing can need any more; returns the ids it removed.

        Raises:
            NexusError: Not all could be removed (another store raises an error of its own).
        """
        ...


@runtime_checkable
class WorksAhead(Protocol):
    """A bounty store that can do ahead what a later step begins with.

    None of it commits anything, and it does no harm if the step never comes.
    """

    def expecting(self, next_key: str) -> Self:
        """The same store, for one mutation that the expected next one follows, with that key."""
        ...

    async def prepare_claim(
        self,
        bounty_id: str,
        claimed_by: AgentIdentity,
        claim_id: str,
        *,
        once: bool = False,
        idempotency_key: str,
    ) -> None:
        """Begin `claim_bounty` with the same arguments, while others wait for something else.

        Raises:
            InvalidInputError: An argument is wrong; nothing was sent.
        """
        ...


@runtime_checkable
class RecordsAhead(Protocol):
    """A bounty store that can do ahead what recording a reward begins with."""

    async def prepare_reward(self, reward: RewardRecord) -> None:
        """Begin `record_reward` of the same, called without a key; nothing is committed."""
        ...


@runtime_checkable
class CompletesAhead(Protocol):
    """A claim store that can do ahead what completing a claim begins with."""

    async def prepare_completion(self, claim_id: str) -> None:
        """Begin `complete` of the same, called without a key; nothing is committed."""
        ...


def expecting(store: StoreT, next_key: str) -> StoreT:
    """`store`, for a mutation that one with `next_key` follows, if it can make use of that."""
    return store.expecting(next_key) if isinstance(store, WorksAhead) else store


@runtime_checkable
class LooksFirst(Protocol):
    """A bounty store that can be told to write nothing where the id of a new bounty is taken."""

    def looking_first(self) -> Self:
        """The same store, which sees whether the id is taken before it writes anything at all."""
        ...


def looking_first(store: StoreT) -> StoreT:
    """`store`, looking before it creates, if it can be told to.

    Others may leave something without meaning behind when they refuse, such as a marker.
    """
    return store.looking_first() if isinstance(store, LooksFirst) else store


def cleaning_up(store: StoreT, *, later: bool) -> StoreT:
    """`store`, cleaning up `later` or at once if it lets that be chosen."""
    return store.cleaning_up(later=later) if isinstance(store, CleansUp) else store
