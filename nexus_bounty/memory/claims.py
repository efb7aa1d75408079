"""Claims kept in memory."""

from __future__ import annotations

from datetime import datetime
from heapq import nsmallest

from nexus_bounty.leases import ClaimBook, KeyUse, LeasedClaims
from nexus_bounty.models import Claim, ClaimStatus, utc_now
from nexus_bounty.transactions import Clock, InMemory


class MemoryClaimStore(InMemory[ClaimBook], LeasedClaims):
    """A `ClaimStore` in this process, for one event loop at a time."""

    def __init__(self, *, clock: Clock = utc_now) -> None:
        super().__init__(MemoryClaimBook(), clock=clock)


class MemoryClaimBook:
    """A `ClaimBook` in dictionaries."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}
        self._uses: dict[str, KeyUse] = {}

    def claim(self, claim_id: str) -> Claim | None:
        """The claim with this id, or `None`."""
        return self._claims.get(claim_id)

    def active(self, target_ref: str | None = None) -> list[Claim]:
        """Claims in status `active`, whatever their lease says."""
        return [
            claim
            for claim in self._claims.values()
            if claim.status is ClaimStatus.ACTIVE and target_ref in (None, claim.target_ref)
        ]

    def active_after(self, claim_id: str, limit: int) -> list[Claim]:
        """At most `limit` of them, those with the next ids after `claim_id`."""
        behind = (claim for claim in self.active() if claim.claim_id > claim_id)
        return nsmallest(limit, behind, key=lambda claim: claim.claim_id)

    def claims_after(self, claim_id: str, limit: int) -> list[Claim]:
        """At most `limit` claims in whatever status, those with the next ids after `claim_id`."""
        behind = (claim for claim in self._claims.values() if claim.claim_id > claim_id)
        return nsmallest(limit, behind, key=lambda claim: claim.claim_id)

    def drop(self, claim_id: str) -> None:
        """Delete a claim that has ended."""
        del self._claims[claim_id]

    def save(self, claim: Claim) -> None:
        """Write a claim, new or changed."""
        self._claims[claim.claim_id] = claim

    def key_use(self, key: str) -> KeyUse | None:
        """What the key was used for, or `None`."""
        return self._uses.get(key)

    def key_uses_after(self, key: str, limit: int) -> list[KeyUse]:
        """What the next keys after `key` were used for, at most `limit` of them."""
        after = (use for use in self._uses.values() if use.key > key)
        return nsmallest(limit, after, key=lambda use: use.key)

    def remember(self, use: KeyUse, forget_before: datetime) -> None:
        """Keep what a key was used for, and drop what is older than `forget_before`."""
        self._uses = {key: kept for key, kept in self._uses.items() if kept.at >= forget_before}
        self._uses[use.key] = use
