"""What an operation returns: what is done, what is owed, and to whom."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_bounty.models import Bounty, Claim, RewardRecord, Wire
from nexus_bounty.ports import Reservation


class OperationResult(Wire, frozen=True, kw_only=True):
    """An operation that is committed.

    Attributes:
        operation: Which.
        idempotency_key: Its key: a repeat with it finds the same.
        bounty: The bounty as it stands.
        done: Its steps, in order.
        owed: Clean-up steps that the reconciler will do; none concerns money.
        credits_with: The account that has the credits now, or for which they are held.
        claim: The lease, of a claim and a renewal.
        reservation: The credits, where some were held, paid or given back.
        reward: What was recorded of a payment.
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
    """A bounty past its deadline that could not be expired.

    Attributes:
        bounty_id: Which.
        outcome: What is known of the attempt, as of `Outcome`.
        reason: Why.
    """

    bounty_id: str
    outcome: str
    reason: str


class ExpiryResult(Wire, frozen=True, kw_only=True):
    """What became of the bounties past their deadline.

    Attributes:
        expired: Those that are expired now.
        failed: Those that are not.
    """

    expired: Sequence[OperationResult] = ()
    failed: Sequence[ExpiryFailure] = ()
