"""What the rules need of the place where claims are kept."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from nexus_bounty.models import Claim, Wire


class KeyUse(Wire, frozen=True, kw_only=True):
    """What an idempotency key was used for, and on which claim."""

    key: str
    fingerprint: str
    claim_id: str
    at: datetime


class ClaimScope(Wire, frozen=True, kw_only=True):
    """What one call may read and change.

    Attributes:
        targets: The targets whose active claims count.
        claims: Claims by their ids.
        keys: Idempotency keys.
    """

    targets: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


class ClaimBook(Protocol):
    """The claims inside one transaction."""

    def claim(self, claim_id: str) -> Claim | None:
        """The claim with this id, or `None`."""
        ...

    def active(self, target_ref: str | None = None) -> list[Claim]:
        """Claims in status `active` (on one target: at most one), whatever their lease says."""
        ...

    def active_after(self, claim_id: str, limit: int) -> list[Claim]:
        """At most `limit` of them, those with the next ids after `claim_id`."""
        ...

    def claims_after(self, claim_id: str, limit: int) -> list[Claim]:
        """At most `limit` claims in whatever status, those with the next ids after `claim_id`."""
        ...

    def drop(self, claim_id: str) -> None:
        """Delete a claim that has ended."""
        ...

    def save(self, claim: Claim) -> None:
        """Write a claim, new or changed."""
        ...

    def key_use(self, key: str) -> KeyUse | None:
        """What the key was used for, or `None`."""
        ...

    def key_uses_after(self, key: str, limit: int) -> list[KeyUse]:
        """What the next keys after `key` were used for, at most `limit` of them."""
        ...

    def remember(self, use: KeyUse, forget_before: datetime) -> None:
        """Keep what a key was used for, and drop what is older than `forget_before`."""
        ...
