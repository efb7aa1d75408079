"""The operations that people call: each is several writes on several systems, and none leaks.

Every operation is restartable with the same idempotency key from any point, and compensates only
when a failure is provably pre-commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random, SystemRandom

from nexus_bounty.events import Observer
from nexus_bounty.events.stream import given
from nexus_bounty.models import AgentIdentity, Bounty, utc_now
from nexus_bounty.operations import cancel, claim, create, expire, explaining, release, settle
from nexus_bounty.operations.journal import journal_of
from nexus_bounty.operations.results import ExpiryFailure, ExpiryResult, OperationResult
from nexus_bounty.operations.services import Services
from nexus_bounty.operations.without_credits import WithoutCredits
from nexus_bounty.ports import (
    BountyStore,
    ClaimStore,
    ContributionStore,
    CreditsService,
    cleaning_up,
)
from nexus_bounty.ports.parts import check_part
from nexus_bounty.validation import check_duration, check_span

__all__ = ["BountyOperations", "ExpiryFailure", "ExpiryResult", "OperationResult", "Services"]


class BountyOperations:
    """Posts, claims, settles, cancels and expires bounties, with the money in escrow.

    Args:
        store: Where bounties are.
        credits: Where the money is; with `None`, bounties have no escrow, and those whose credits
            are in some ledger are refused.
        claims: Where leases are.
        contributions: Where delivered work is looked up.
        lease: How long a claim holds a bounty unless renewed.
        allow_self_claims: Whether creators may be paid from their own bounties.
        allow_shared_work: Whether one contribution may pay several bounties.
        same_content_once: Whether a create without a key, of what the same creator has posted
            before, is a repeat of that: the title, the amount and so on count, not the deadline.
            Once that bounty has ended, it takes a key to post the same once more.
        longest_lease: What no lease may be longer than.
        lease_beyond_deadline: Whether a lease may last longer than its bounty; it is cut otherwise.
        acceptance: How long after its deadline a claimed bounty can still be settled; so long it
            is not expired, either.
        clock: The current time, aware.
        random: The source of keys, to make runs reproducible.
        observers: Told of every operation and of all that happens inside, see
            `nexus_bounty.events`, and of what a reconciler of these operations finds.

    Every operation returns an `OperationResult` or raises an `OutcomeError` that speaks of the
    whole operation: repeat the call with its `idempotency_key` to find out, or to finish. A key
    that is given may have been used by any process before: a `PreCommitError` is raised only where
    the ledger's journal or the bounty's history rules out that an earlier call did it, else a
    `PostCommitError` or a `CommitUnknownError`. Only one that is still under way in another process
    is not known of where the ledger keeps no journal.

    Every operation takes an `actor`, the agent whom the program has authenticated, and is refused
    with a `NotAllowedError` before anything is written if that agent may not; see
    `nexus_bounty.operations.policy`. Without one the program speaks for whomever it likes.

    Raises:
        TypeError: What is given as a port, or as an observer, cannot be one.
        InvalidInputError: A length of time cannot be one.
    """

    def __init__(
        self,
        store: BountyStore,
        *,
        credits: CreditsService | None,  # noqa: A002 - the word for it
        claims: ClaimStore,
        contributions: ContributionStore,
        lease: timedelta = timedelta(minutes=30),
        allow_self_claims: bool = False,
        allow_shared_work: bool = False,
        same_content_once: bool = False,
        longest_lease: timedelta = timedelta(days=7),
        lease_beyond_deadline: bool = False,
        acceptance: timedelta = timedelta(0),
        clock: Callable[[], datetime] = utc_now,
        random: Random | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        ledger = WithoutCredits() if credits is None else credits
        check_part("store", store, "a bounty store")
        check_part("credits", ledger, "a credits service")
        check_part("claims", claims, "a claim store")
        check_part("contributions", contributions, "a contribution store")
        check_duration("lease", lease)
        check_duration("longest_lease", longest_lease)
        check_span("acceptance", acceptance)
        self.services = Services(
            store=cleaning_up(store, later=True),
            credits=ledger,
            claims=cleaning_up(claims, later=True),
            contributions=contributions,
            journal=journal_of(ledger, clock),
            lease=lease,
            allow_self_claims=allow_self_claims,
            allow_shared_work=allow_shared_work,
            same_content_once=same_content_once,
            longest_lease=longest_lease,
            lease_beyond_deadline=lease_beyond_deadline,
            acceptance=acceptance,
            clock=clock,
            random=random or SystemRandom(),  # which a forked process does not share
            observers=given(observers),
        )

    async def create(
        self,
        bounty: Bounty,
        *,
        relative_deadline: bool = False,
        actor: str | None = None,
        idempotency_key: str | None = None,
    ) -> OperationResult:
        """Post a bounty, its credits held in escrow: draft → reserve → open.

        With `relative_deadline` the deadline was reckoned from the moment of the call ("in a
        week"): a repeat with the same key, whose deadline is a later moment, is the same operation.

        Raises:
            InvalidInputError: The bounty cannot be posted; nothing was sent (pre-commit).
            InsufficientCreditsError: The creator has too little; nothing is posted (pre-commit).
            IdempotencyMismatchError: The key was used for something else; or none was given, with
                `same_content_once`, and what the same creator posted before has ended.
            PreCommitError: It is not posted and can no longer be; no credits are held.
            CommitUnknownError: Repeat with the same key, or leave it to the reconciler.
        """
        return await create.create(
            self.services,
            bounty,
            idempotency_key,
            relative_deadline=relative_deadline,
            actor=actor,
        )

    async def claim(
        self,
        bounty_id: str,
        agent: AgentIdentity,
        *,
        lease: timedelta | None = None,
        actor: str | None = None,
        idempotency_key: str | None = None,
    ) -> OperationResult:
        """Claim an open bounty, or renew one's own claim: lease → commit.

        A repeat with the key of a claim that landed takes no lease. It returns the bounty as it
        stands, whatever came after, and the lease that it was claimed with, as far as it is kept.

        Raises:
            BountyNotFoundError: There is no such bounty (pre-commit).
            BountyStateError: It is not open, past its deadline, or the agent's own (pre-commit).
            ClaimConflictError: Another agent holds its lease (pre-commit).
            ClaimStateError: The lease taken with this key has ended, or was moved by another
                program, before the bounty was claimed with it (pre-commit).
            PreCommitError: It is not claimed by this call and can no longer be.
            PostCommitError: It is claimed, by an earlier call; its lease could not be read.
            IdempotencyMismatchError: The key stands for a claim by another agent, or for longer.
            CommitUnknownError: Repeat with the same key; the lease is kept meanwhile.
        """
        return await claim.claim(self.services, bounty_id, agent, lease, idempotency_key, actor)

    async def renew(
        self,
        bounty_id: str,
        agent: AgentIdentity,
        *,
        lease: timedelta | None = None,
        actor: str | None = None,
    ) -> OperationResult:
        """Extend the lease on a bounty that the agent has claimed.

        Raises:
            BountyStateError: The agent does not hold the bounty (pre-commit).
            ClaimStateError: The lease has ended (pre-commit).
            PreCommitError, CommitUnknownError: As every operation.
        """
        return await claim.renew(self.services, bounty_id, agent, lease, actor)

    async def release(
        self,
        bounty_id: str,
        agent: AgentIdentity,
        *,
        actor: str | None = None,
        idempotency_key: str | None = None,
    ) -> OperationResult:
        """Give a claimed bounty back, so that others can claim it: commit `open` → end the lease.

        Raises:
            BountyStateError: The agent does not hold the bounty (pre-commit).
            PreCommitError, CommitUnknownError: As every operation.
        """
        return await release.release(self.services, bounty_id, agent, idempotency_key, actor)

    async def settle(
        self,
        bounty_id: str,
        contribution_cid: str,
        *,
        actor: str | None = None,
        idempotency_key: str | None = None,
    ) -> OperationResult:
        """Pay the claimer for a contribution: pivot → capture → settled → reward.

        Raises:
            CriteriaNotMetError: The contribution does not fulfil the bounty (pre-commit).
            BountyStateError: It is not claimed, or settled with another one (pre-commit).
            PreCommitError: Nothing was paid and nothing will be.
            PostCommitError: It is being paid and will be; the named steps are still owed.
            CommitUnknownError: Repeat with the same key, or leave it to the reconciler.
        """
        return await settle.settle(
            self.services, bounty_id, contribution_cid, idempotency_key, actor
        )

    async def cancel(
        self, bounty_id: str, *, actor: str | None = None, idempotency_key: str | None = None
    ) -> OperationResult:
        """Withdraw a bounty and give its credits back: commit `cancelled` → void.

        Raises:
            BountyStateError: It is being paid already, or ended (pre-commit).
            PreCommitError: It is not cancelled and can no longer be, by this call.
            PostCommitError: It is cancelled; giving the credits back is still owed.
            CommitUnknownError: Repeat with the same key, or leave it to the reconciler.
        """
        return await cancel.cancel(self.services, bounty_id, idempotency_key, actor)

    async def expire(
        self, bounty_id: str, *, idempotency_key: str | None = None
    ) -> OperationResult:
        """End a bounty that is past its deadline: commit `expired` → void.

        Raises: as `cancel`; also `BountyStateError` before the deadline.
        """
        return await expire.expire(self.services, bounty_id, idempotency_key)

    async def expire_due(self, now: datetime | None = None) -> ExpiryResult:
        """End every bounty that is past its deadline; one that resists stops none of the others.

        Raises:
            NexusError: The bounties could not be listed.
        """
        return await expire.expire_due(self.services, now)

    async def look_up_doubts(self) -> int:
        """Tell observers which doubts of this process others have resolved; returns how many.

        A repeat or a reconciler elsewhere has closed it in the journal, and observers here are not
        told before this, which is called now and then, once a minute say. Only of operations in
        this zone that somebody here is told of; with a ledger that keeps no journal, of none.

        Raises:
            PreCommitError, CommitUnknownError: The journal could not be read, of one of them at
                least: what it says of others is told all the same.
        """
        return await explaining.look_up_doubts(self.services)
