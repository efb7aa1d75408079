"""The port of bounties and rewards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Protocol, runtime_checkable

from nexus_bounty.idempotency import OperationRecord
from nexus_bounty.models import (
    AgentIdentity,
    Bounty,
    BountyQuery,
    BountyStatus,
    IndexFault,
    IndexPage,
    IndexStatus,
    MarkedPage,
    RewardQuery,
    RewardRecord,
)
from nexus_bounty.outcomes import Resolution
from nexus_bounty.partition import EVERYTHING, Partition


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

    async def get_history(self, bounty_id: str, *, fresh: bool = True) -> Sequence[OperationRecord]:
        """The operations that the bounty remembers, oldest first, fences included.

        If not `fresh`, they may be those of the bounty as it was last seen.

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

        What it says may be remembered for good. So a store whose server has a clock of its own goes
        by that one where it is behind `now`: our own may be ahead. `None` where what has ended is
        not kept by days.
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
