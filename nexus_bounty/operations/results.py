"""What an operation returns: what is done, what is owed, and to whom."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_bounty.models import Bounty, Claim, RewardRecord, Wire
from nexus_bounty.ports import Reservation


class OperationResult(Wire, frozen=True, kw_only=True):
    """An operation that is committed.

    `done` are its steps in order. `owed` are clean-up steps that the reconciler will do; nothing
    that concerns money is ever among them. `credits_with` is the account that has the credits
    now, or for which they are held.
    """

    operation: str
    idempotency_key: str
    bounty: Bounty
    done: Sequence[str]
    owed: Sequence[str] = ()
    credits_with: str | None = None
    claim: Claim | None = None
    reservation: Reservation | None = None
    reward: RewardRecord | None = None


class ExpiryFailure(Wire, frozen=True, kw_only=True):
    """A bounty past its deadline that could not be expired, and why."""

    bounty_id: str
    outcome: str
    reason: str


class ExpiryResult(Wire, frozen=True, kw_only=True):
    """What became of the bounties past their deadline."""

    expired: Sequence[OperationResult] = ()
    failed: Sequence[ExpiryFailure] = ()
