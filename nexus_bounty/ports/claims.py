"""The port of leases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from nexus_bounty.models import AgentIdentity, Claim, ClaimQuery
from nexus_bounty.partition import EVERYTHING, Partition


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
        """The claim as it stands, or `None`; one that cannot be understood is an error.

        Raises:
            NexusError: It could not be read (another store raises an error of its own).
        """
        ...

    async def get_many(
        self, claim_ids: Sequence[str], *, unreadable: dict[str, str] | None = None
    ) -> dict[str, Claim]:
        """Those of the claims that exist, by their ids.

        `unreadable` gets what is wrong with those that cannot be understood, by their ids: they
        may be alive.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def heartbeat(
        self,
        claim_id: str,
        *,
        lease: timedelta,
        target_ref: str | None = None,
        idempotency_key: str | None = None,
    ) -> Claim:
        """Extend an active, unexpired lease to `lease` from now.

        With a `target_ref`, only what is on that target.

        Raises:
            ClaimNotFoundError: There is no such claim (pre-commit).
            ClaimStateError: It is no longer active, or was moved (pre-commit).
        """
        ...

    async def release(
        self,
        claim_id: str,
        *,
        revision: int | None = None,
        target_ref: str | None = None,
        idempotency_key: str | None = None,
    ) -> Claim:
        """Give the target back; a claim already released stays so.

        With a `revision`, only what has not been renewed since; with a `target_ref`, only what is
        on that target.

        Raises:
            ClaimStateError: It was completed, renewed meanwhile, or moved (pre-commit).
        """
        ...

    async def complete(
        self,
        claim_id: str,
        *,
        target_ref: str | None = None,
        idempotency_key: str | None = None,
    ) -> Claim:
        """End the claim because its work is done; a claim already completed stays so.

        With a `target_ref`, only what is on that target.

        Raises:
            ClaimNotFoundError: There is no such claim (pre-commit).
            ClaimStateError: It has ended otherwise, or was moved (pre-commit).
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

        Nothing remembers them then: their ids can be used again, and so can the keys.
        A retention shorter than a repeat may come after is refused.

        Raises:
            NexusError: Not all could be removed (another store raises an error of its own).
        """
        ...

    async def active_claims(
        self, target_ref: str | None = None, now: datetime | None = None
    ) -> list[Claim]:
        """The claims that hold their target at `now`.

        Of one target, what cannot be understood is an error; of all, it is left out.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    def walk_active_claims(
        self,
        now: datetime | None = None,
        *,
        targets: Partition = EVERYTHING,
        unreadable: dict[str, str] | None = None,
    ) -> AsyncIterator[Claim]:
        """Every claim that holds one of the `targets` at `now`, in no order, a page at a time.

        `unreadable` gets what is wrong with those that cannot be understood, as in `get_many`.

        Raises:
            NexusError: They could not be read (another store raises an error of its own).
        """
        ...

    async def close(self) -> None:
        """Let go of what the store itself opened."""
        ...
