"""What every operation works with, and the three things they all do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random, SystemRandom
from typing import Any, Final, TypeVar

from nexus_bounty.bounded_set import BoundedSet
from nexus_bounty.calls_in_doubt import UNSEEING, CallsInDoubt
from nexus_bounty.events.log import logger_of
from nexus_bounty.events.stream import Observers
from nexus_bounty.events.tracking import may_land, owes, tracked
from nexus_bounty.events.types import Place
from nexus_bounty.home import HomeLoop
from nexus_bounty.idempotency import History, NewKeys, derived_key, fingerprint, new_key
from nexus_bounty.keyed_locks import KeyedLocks
from nexus_bounty.ledger.accounts import check_user
from nexus_bounty.models import AgentIdentity, Bounty, utc_now
from nexus_bounty.operations.journal import begun, closed_at_its_end
from nexus_bounty.operations.unexpected import nothing_proven
from nexus_bounty.outcomes import (
    BountyNotFoundError,
    CommitUnknownError,
    Evidence,
    InvalidInputError,
    Observation,
    Outcome,
    OutcomeError,
    PostCommitError,
    PreCommitError,
    Proof,
    UntrustedDocumentError,
    said_by,
)
from nexus_bounty.ports import (
    BountyStore,
    ClaimStore,
    ContributionStore,
    CreditsService,
    JournaledOperation,
    OperationJournal,
)
from nexus_bounty.ports.abilities import server_of, why_not_here
from nexus_bounty.retry import RetryPolicy
from nexus_bounty.statuses import STATUSES, Claimer, Credits
from nexus_bounty.validation import check_key

logger = logger_of("nexus_bounty.operations")

T = TypeVar("T")

MOST_CALLER_KEY: Final = 200
"""The steps of an operation lengthen its key."""
TIMES_TO_ASK: Final = 3
"""How often a credits service is asked what became of a call."""


@dataclass(frozen=True)
class Services:
    """The systems that operations work on.

    Attributes:
        store: Where bounties are.
        credits: Where the money is.
        claims: Where leases are.
        contributions: Where delivered work is looked up.
        journal: Where operations are written down: the ledger's own journal, if it keeps one.
        lease: How long a claim holds a bounty unless renewed.
        allow_self_claims: Whether creators may claim, and be paid from, their own bounties.
        allow_shared_work: Whether one contribution may pay several bounties.
        same_content_once: Whether a create without a key is a repeat of one with equal content,
            which is refused once that has ended.
        longest_lease: What no lease may be longer than.
        lease_beyond_deadline: Whether a lease may last longer than its bounty.
        acceptance: How long after its deadline work on a claimed bounty can still be accepted.
        clock: The current time, aware.
        random: The source of keys, to make runs reproducible.
        observers: Told of every operation.
        attempts: The operations that have happened, or may have, as far as this process knows.
        new_keys: Keys that were made for calls to come: all others may have been used before.
        locks: Let operations with one key wait for each other.
        home: The event loop in which they do.
    """

    store: BountyStore
    credits: CreditsService
    claims: ClaimStore
    contributions: ContributionStore
    journal: OperationJournal
    lease: timedelta = timedelta(minutes=30)
    allow_self_claims: bool = False
    allow_shared_work: bool = False
    same_content_once: bool = False
    longest_lease: timedelta = timedelta(days=7)
    lease_beyond_deadline: bool = False
    acceptance: timedelta = timedelta(0)
    clock: Callable[[], datetime] = utc_now
    random: Random = field(default_factory=SystemRandom)
    observers: Observers = ()
    attempts: BoundedSet = field(default_factory=BoundedSet)
    new_keys: NewKeys = field(default_factory=NewKeys)
    locks: KeyedLocks = field(default_factory=KeyedLocks)
    home: HomeLoop = field(default_factory=lambda: HomeLoop(moves=True))

    def why_not_here(self) -> str | None:
        """Why operations cannot be called in this event loop; `None` if they can, from now on."""
        for part in (self.store, self.claims, self.contributions, self.credits):
            if why := why_not_here(part):
                return why
        why = self.home.why_not()
        return why and f"this BountyOperations {why}"

    @property
    def retries(self) -> RetryPolicy:
        """How a credits service is asked again."""
        return RetryPolicy(TIMES_TO_ASK, 0.2, 1.0, self.random, self.observers)

    @property
    def place(self) -> Place:
        """The zone that operations work in, and its server."""
        return Place(server_of(self.store), self.store.zone_id)

    def key(self, given: str | None) -> str:
        """The operation's key: `given`, checked, or a new one."""
        if given is None:
            return self.new_keys.make(self.random)
        check_key(given)
        if len(given) > MOST_CALLER_KEY:
            raise InvalidInputError(
                "idempotency_key", given, f"must be at most {MOST_CALLER_KEY} characters"
            )
        return given


def ends_at(services: Services, bounty: Bounty) -> datetime:
    """When a bounty can be expired, and no longer be settled; what is claimed is given more time.

    The one follows from the other, so that it does not matter whether a sweep came first.
    """
    at_work = STATUSES[bounty.status].claimer is Claimer.AT_WORK
    return accepted_until(services, bounty) if at_work else bounty.deadline


def accepted_until(services: Services, bounty: Bounty) -> datetime:
    """Until when the work of whoever claims a bounty can be accepted."""
    return bounty.deadline + min(services.acceptance, _LATEST - bounty.deadline)


_LATEST: Final = datetime.max.replace(tzinfo=UTC)


def check_payee(field: str, agent: AgentIdentity) -> None:
    """Refuse an agent whose account no credits service could pay or charge.

    Raises:
        InvalidInputError: Its id is the name of a service's own account, or is not in the form
            that accounts have, so that bounty and ledger would not name the same (pre-commit).
    """
    name = f"{field}.agent_id"
    if check_user(name, agent.agent_id) != agent.agent_id:
        raise InvalidInputError(name, agent.agent_id, "must be in its composed form (NFC)")


def credits_with(bounty: Bounty) -> str | None:
    """The account that has a bounty's credits by now, or for which they are held."""
    if bounty.reservation_id is None:
        return None
    held_by = STATUSES[bounty.status].credits
    if held_by is Credits.CLAIMER:
        return bounty.claimed_by.agent_id if bounty.claimed_by else None
    if held_by is Credits.CREATOR:
        return bounty.creator.agent_id
    return f"escrow for {bounty.bounty_id}"


def target_of(bounty_id: str) -> str:
    """What a claim on a bounty names as its target."""
    return f"bounty:{bounty_id}"


@dataclass(frozen=True)
class Plan:
    """What an operation is called, the step that decides it, and what is owed from then on.

    Each step that is owed comes with a look at whether it still is, of a bounty as it stands.
    """

    name: str
    decided_by: str
    owed_then: Mapping[str, Callable[[Services, Bounty], Awaitable[bool]]]


@dataclass(frozen=True)
class EarlierCalls:
    """What is known of earlier calls with its key as an operation begins.

    Attributes:
        ruled_out: Whether there can be none: the key was made for this call.
        known: Whether one may have happened, or may be under way, as far as it is known of here or
            in the journal.
    """

    ruled_out: bool
    known: bool


@asynccontextmanager
async def operation(
    services: Services,
    plan: Plan,
    bounty_id: str,
    key: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    actor: str | None = None,
) -> AsyncIterator[EarlierCalls]:
    """Make the errors of steps speak of the whole operation, whose key the caller holds.

    Calls with one key wait for each other. A refusal proves nothing about earlier calls: where one
    may have landed, or may yet, its outcome is resolved, and fenced if need be. A key that is not
    new may have been used before by anybody, also where nothing is known of that: then the
    bounty's history is asked before anything is ruled out.
    """
    attempt = (plan.name, bounty_id, key)
    decided_by = derived_key(key, plan.decided_by)
    told, place = services.observers, services.place
    with tracked("operations", *attempt, told, place=place, decided_by=decided_by):
        _check_home(services, plan, bounty_id, key)
        async with services.locks.of(attempt):
            is_new = services.new_keys.use(key)
            try:
                entry = _entry_of(services, plan, bounty_id, key, parameters, actor)
                earlier = await _written_down(services, plan, entry, is_new=is_new)
                async with _closed_at_its_end(services, entry):
                    tried_before = attempt in services.attempts or _may_have_happened(earlier)
                    services.attempts.add(attempt)  # stays if this task is cancelled
                    try:
                        yield EarlierCalls(ruled_out=is_new, known=tried_before)
                    except PreCommitError as refusal:
                        if tried_before:
                            await _rule_out(services, plan, bounty_id, key, refusal)
                        elif not is_new and earlier is None and not _has_looked(refusal):
                            await _look_up(services, plan, bounty_id, key, refusal)
                        services.attempts.discard(attempt)
                        raise
                    except OutcomeError:
                        raise
                    except Exception as error:
                        raise nothing_proven(error, "a step") from error
            except OutcomeError as error:
                error.operation, error.bounty_id, error.idempotency_key = plan.name, bounty_id, key
                raise


def _check_home(services: Services, plan: Plan, bounty_id: str, key: str) -> None:
    """Refuse to begin in another event loop than the one that everything here belongs to.

    Raises:
        PreCommitError: It is another one; nothing was done.
        CommitUnknownError: It is, and an earlier call may have had the key.
    """
    why = services.why_not_here()
    if why is None:
        return
    seen = Observation(action="begin", target=bounty_id, answer=why)
    refusal = PreCommitError(
        f"nothing was done: {why}", evidence=Evidence(proof=Proof.NEVER_SENT, observations=(seen,))
    )
    if key not in services.new_keys:
        raise _not_known(refusal, "nobody was asked").about(plan.name, bounty_id, key)
    raise refusal.about(plan.name, bounty_id, key)


def _entry_of(
    services: Services,
    plan: Plan,
    bounty_id: str,
    key: str,
    parameters: Mapping[str, Any] | None,
    actor: str | None,
) -> JournaledOperation | None:
    """What the journal is to say of an operation; nothing of what no repeat can meet again."""
    if parameters is None:
        return None
    return JournaledOperation(
        key=key,
        zone_id=services.store.zone_id,
        kind=plan.name,
        bounty_id=bounty_id,
        fingerprint=fingerprint(plan.name, parameters),
        decided_by=derived_key(key, plan.decided_by),
        actor=actor,
        began_at=services.clock(),
    )


async def _written_down(
    services: Services, plan: Plan, entry: JournaledOperation | None, *, is_new: bool
) -> JournaledOperation | None:
    """What the journal says that the key stood for before this call, which it is told of.

    Raises:
        IdempotencyMismatchError: The key stands for another operation; nothing was done.
        PreCommitError: It could not be written down, and no earlier call did it.
        PostCommitError: It could not be written down, and an earlier call did it.
        CommitUnknownError: It could not be written down, and an earlier call may have done it.
    """
    if entry is None:
        return None
    try:
        return await begun(services.journal, entry)
    except PreCommitError as refusal:
        if is_new:
            raise
        if not await _look_up(services, plan, entry.bounty_id, entry.key, refusal):
            raise _not_known(refusal, "nothing tells of one so far") from refusal
        raise


def _closed_at_its_end(
    services: Services, entry: JournaledOperation | None
) -> AbstractAsyncContextManager[None]:
    return nullcontext() if entry is None else closed_at_its_end(services.journal, entry)


def _may_have_happened(earlier: JournaledOperation | None) -> bool:
    """Whether an earlier call with the key, in whatever process, may have done it or may yet."""
    return earlier is not None and earlier.outcome is not Outcome.PRE_COMMIT


def _has_looked(refusal: PreCommitError) -> bool:
    """Whether it goes by a history that can be trusted, and has looked there for the key.

    The others say only that this call did nothing: it may have gone by a document as it was seen
    before an earlier call, and was stopped before it found that out.
    """
    own = (*UNSEEING, Proof.LOCAL_CHECK)
    return not isinstance(refusal, UntrustedDocumentError) and refusal.evidence.proof not in own


async def _look_up(
    services: Services, plan: Plan, bounty_id: str, key: str, refusal: PreCommitError
) -> bool:
    """Whether the bounty's history rules out that an earlier call with the key did it.

    Nothing is written: a key that nobody has used before can still be used after this.

    Raises:
        PostCommitError: An earlier one did it.
        CommitUnknownError: It could not be found out.
    """
    if isinstance(refusal, UntrustedDocumentError):
        raise _not_known(refusal, "what its document says proves nothing") from refusal
    try:
        history = await services.store.get_history(bounty_id)
    except Exception as failure:  # noqa: BLE001 - nothing was learnt, whatever it is
        raise _not_known(refusal, str(failure)) from refusal
    record = History(ops=history).find(derived_key(key, plan.decided_by))
    if record is None:
        return False
    if not record.aborted:
        seen = Evidence(proof=Proof.IN_HISTORY, observations=refusal.evidence.observations)
        standing = await _as_it_stands(services, bounty_id)
        raise await _done_before(services, plan, refusal, standing, seen) from refusal
    refusal.evidence = Evidence(proof=Proof.FENCED, observations=refusal.evidence.observations)
    return True


async def _as_it_stands(services: Services, bounty_id: str) -> Bounty | None:
    """The bounty whose history was just read; `None` if it cannot be read once more."""
    try:
        return await services.store.get_bounty(bounty_id)
    except Exception:  # noqa: BLE001 - what its history says stands
        return None


async def _rule_out(
    services: Services, plan: Plan, bounty_id: str, key: str, refusal: PreCommitError
) -> None:
    """Make sure that no earlier call with the key has done, or can do, what this one did not.

    Raises:
        PostCommitError: An earlier one did it.
        CommitUnknownError: It could not be found out.
    """
    step_key = derived_key(key, plan.decided_by)
    try:
        earlier = await services.store.resolve_operation(bounty_id, step_key)
    except Exception as failure:  # noqa: BLE001 - nothing was learnt, whatever it is
        raise _not_known(refusal, str(failure)) from refusal
    if earlier.outcome is Outcome.COMMITTED:
        standing, seen = earlier.bounty, earlier.evidence
        raise await _done_before(services, plan, refusal, standing, seen) from refusal


async def _done_before(
    services: Services,
    plan: Plan,
    refusal: PreCommitError,
    bounty: Bounty | None,
    evidence: Evidence,
) -> PostCommitError:
    return PostCommitError(
        f"an earlier call with this key did it; now {refusal.message}",
        bounty=bounty,
        pending=await _left_by_earlier(services, plan, bounty),
        evidence=evidence,
    )


async def _left_by_earlier(services: Services, plan: Plan, bounty: Bounty | None) -> list[str]:
    """The steps that an earlier call has left to do; or may have, where nothing tells."""
    if bounty is None:
        return [*plan.owed_then]
    left = []
    for step, is_left in plan.owed_then.items():
        try:
            if not await is_left(services, bounty):
                continue
        except Exception:
            logger.info("whether %s is still owed could not be seen", step, exc_info=True)
        left.append(step)
    return left


def _not_known(refusal: PreCommitError, why: str) -> CommitUnknownError:
    return CommitUnknownError(
        f"{refusal.message}; and whether an earlier call with this key did it is not known: {why}",
        evidence=Evidence(proof=Proof.NONE, observations=refusal.evidence.observations),
    )


async def taken_forward(
    services: Services,
    step: Callable[[str], Awaitable[Bounty]],
    key: str,
    name: str,
    owed: list[str],
) -> Bounty:
    """The bounty after a step that has to be taken, whatever became of earlier tries.

    The step of the operation's own key comes first; once that is fenced off, another key does.
    """
    try:
        return await committed(step(derived_key(key, name)), owed)
    except PreCommitError as refusal:
        if refusal.evidence.proof is not Proof.FENCED:
            raise
        return await committed(step(derived_key(new_key(services.random), name)), owed)


async def committed(step: Awaitable[Bounty], owed: list[str]) -> Bounty:
    """The bounty after `step`, which may leave markers to be removed by the reconciler."""
    may_land()
    try:
        return await step
    except PostCommitError as error:
        if error.bounty is None:
            raise
        owes(error.pending, error)
        owed += error.pending
        return error.bounty
    except OutcomeError:
        raise
    except Exception as error:
        raise nothing_proven(error, "the bounty store") from error


async def asked_until_told(services: Services, call: Callable[[], Awaitable[T]]) -> T:
    """What `call`, which is idempotent by id, ends in: asked again while its answer is lost.

    Whether the service itself remembers that it has not answered is not relied upon: it may have
    been restarted meanwhile.

    Raises:
        CommitUnknownError: The answer was lost every time, or lost first, and what came then says
            nothing of that; or the service failed otherwise.
    """
    in_doubt = CallsInDoubt()

    async def told() -> T:
        try:
            with in_doubt.about("it"):
                return await call()
        except OutcomeError:
            raise
        except Exception as error:
            raise nothing_proven(error, "the credits service") from error

    return await services.retries.persist(told, _says_nothing)


def _says_nothing(error: Exception) -> bool:
    return isinstance(error, CommitUnknownError)


async def before_commit(reading: Awaitable[T], what: str) -> T:
    """What is read before an operation commits anything: if it cannot be, nothing was done.

    Raises:
        PreCommitError: It could not be read.
    """
    try:
        return await reading
    except OutcomeError:
        raise
    except Exception as error:
        seen = Observation(action="read", target=what, answer=str(error))
        raise PreCommitError(
            f"could not read {what}: {error}",
            evidence=Evidence(proof=Proof.NEVER_SENT, observations=(seen,)),
        ) from error


async def known_bounty(services: Services, bounty_id: str) -> Bounty:
    """The bounty as it stands.

    Raises:
        BountyNotFoundError: There is none (pre-commit).
        PreCommitError: It could not be read.
    """
    bounty = await before_commit(services.store.get_bounty(bounty_id), "the bounty")
    if bounty is None:
        raise BountyNotFoundError(
            f"there is no bounty {bounty_id!r}", evidence=Evidence(proof=Proof.DOCUMENT)
        )
    return bounty


async def has_landed(services: Services, bounty_id: str, step_key: str) -> bool:
    """Whether the bounty's history names a step of an operation as committed.

    Raises:
        PreCommitError: It could not be read.
    """
    history = await before_commit(services.store.get_history(bounty_id), "the history")
    return any(record.key == step_key and not record.aborted for record in history)


async def remembered_bounty(services: Services, bounty_id: str) -> Bounty | None:
    """The bounty as it was last seen, which saves a request and may be out of date.

    Raises:
        PreCommitError: It was never seen and could not be read.
    """
    return await before_commit(services.store.get_bounty(bounty_id, fresh=False), "the bounty")


@asynccontextmanager
async def owing(services: Services, step: str, owed: list[str]) -> AsyncIterator[None]:
    """Do a clean-up step after a commit: if it fails, it is owed, and the operation stands."""
    try:
        yield
    except PostCommitError as error:
        owes(error.pending, error)
        owed += error.pending
    except Exception as error:  # noqa: BLE001 - whatever it is, the commit stands
        owes([step], error, services.observers)
        owed.append(step)


def still_owed(bounty: Bounty, pending: Sequence[str], error: Exception) -> PostCommitError:
    """The error for a step, needed for the money to be right, that did not come through."""
    said = said_by(error)
    seen = Observation(action=pending[0], target=bounty.bounty_id, answer=said)
    return PostCommitError(
        f"bounty {bounty.bounty_id!r} is {bounty.status.value}; still owed: {', '.join(pending)} "
        f"({error.message if isinstance(error, OutcomeError) else said})",
        bounty=bounty,
        pending=pending,
        bounty_id=bounty.bounty_id,
        evidence=Evidence(proof=Proof.IN_HISTORY, observations=(seen,)),
    )
