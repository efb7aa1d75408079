"""What became of an operation: found by its key in the journal, the histories and what is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from nexus_bounty.events import tracking
from nexus_bounty.events.types import Identity
from nexus_bounty.idempotency import derived_id, derived_key
from nexus_bounty.models import Bounty, Claim
from nexus_bounty.operations.drafts import Try
from nexus_bounty.operations.services import Services, target_of
from nexus_bounty.operations.steps import COMMIT_STEPS, OperationKind, operation_key, traces
from nexus_bounty.operations.verdicts import Explanation, judged, operation_of, steps_found
from nexus_bounty.outcomes import InvalidInputError, Outcome, OutcomeError
from nexus_bounty.ports import BountyStore, JournaledOperation, Reservation
from nexus_bounty.together import together
from nexus_bounty.validation import check_key


@dataclass(frozen=True)
class Clues:
    """What is known of a key before any history is read.

    Attributes:
        entry: What the journal has of it.
        claim: The claim that was to be made with it.
    """

    entry: JournaledOperation | None
    claim: Claim | None

    @property
    def bounty_id(self) -> str | None:
        """The bounty that the key was used on."""
        if self.entry is not None:
            return self.entry.bounty_id
        return self.claim.target_ref.removeprefix(target_of("")) if self.claim else None

    @property
    def operation(self) -> OperationKind | None:
        """What it was used for."""
        if self.entry is not None:
            return OperationKind(self.entry.kind)
        return OperationKind.CLAIM if self.claim else None


async def clues_to(services: Services, key: str) -> Clues:
    """What is found by the key alone.

    Raises:
        NexusError: The claim could not be read.
        UnreadableDocumentError: It cannot be understood, and nothing else tells of the key.
        CommitUnknownError: The journal could not be read.
    """
    entry = await services.journal.find_operation(services.store.zone_id, key)
    lease = derived_id("claim", key)
    if entry is None:
        return Clues(entry, await services.claims.get(lease))
    return Clues(entry, (await services.claims.get_many([lease])).get(lease))  # as far as it goes


async def explained(services: Services, key: str, bounty_id: str | None) -> Explanation:
    """What became of the operation with `key`, on `bounty_id` if that is known, without a search.

    Raises:
        InvalidInputError: It cannot be a key.
        NexusError: What there is could not be read.
        CommitUnknownError: The ledger could not be read.
    """
    check_key(key)
    key = operation_key(key)
    clues = await clues_to(services, key)
    where = bounty_id or clues.bounty_id or derived_id("bounty", key)
    explanation = await explanation_of(services, key, where, clues.operation, clues)
    if explanation.steps or explanation.bounty_status:
        return explanation
    return replace(explanation, bounty_id=bounty_id)  # nothing shows that it was there


async def made_definite(
    services: Services,
    clues: Clues,
    key: str,
    bounty_id: str,
    operation: OperationKind,
    by: str,
) -> Explanation:
    """What became of an operation, made definite: it happened, or never will.

    `by` is who asked, for the journal, where the doubt is closed.

    Raises:
        InvalidInputError: The key was used on another bounty, or for something else.
        NexusError: What there is could not be read.
        CommitUnknownError: Still neither could be proven: ask again.
        PreCommitError: The journal could not be written.
    """
    _check_place("bounty_id", bounty_id, clues.bounty_id)
    _check_place("operation", operation.value, clues.operation and clues.operation.value)
    await fence_off(services.store, key, bounty_id, operation)
    explanation = await explanation_of(services, key, bounty_id, operation, clues)
    outcome, entry = explanation.outcome, clues.entry
    if outcome in (Outcome.COMMITTED, Outcome.PRE_COMMIT):
        if entry is not None:
            await close_doubt(services, entry, outcome, by)
        else:
            _tell(services, operation, bounty_id, key, outcome)
    return explanation


def _check_place(field: str, given: str, known: str | None) -> None:
    """Refuse to fence off a key where it was not used: that would say nothing of where it was.

    Raises:
        InvalidInputError: It was used elsewhere.
    """
    if known is not None and given != known:
        raise InvalidInputError(field, given, f"must be {known!r}, which the key was used for")


async def fence_off(store: BountyStore, key: str, bounty_id: str, operation: OperationKind) -> None:
    """Make it definite what became of an operation: what has not happened by now never will.

    Its first step that has not happened is fenced off, unless it turns out to have.

    Raises:
        NexusError: The bounty could not be read.
        CommitUnknownError: Still neither could be proven: ask again.
    """
    for name in COMMIT_STEPS[operation]:
        found = {each.name: each for each in traces(key, await store.get_history(bounty_id))}
        if any(each.step is None for each in found.values()):
            return  # a store was called with this very key, and its history says how it ended
        outcome = found[name].outcome if name in found else None
        if outcome is None:
            outcome = (await store.resolve_operation(bounty_id, derived_key(key, name))).outcome
        if outcome is not Outcome.COMMITTED:
            return


async def close_doubt(
    services: Services, entry: JournaledOperation, outcome: Outcome, by: str
) -> None:
    """Note in the journal what has become of an operation for good, and tell of it.

    Raises:
        PreCommitError, CommitUnknownError: The journal could not be written.
    """
    await services.journal.end_operation(entry.zone_id, entry.key, outcome, f"found out by {by}")
    _tell(services, entry.kind, entry.bounty_id, entry.key, outcome)


async def look_up_doubts(services: Services) -> int:
    """Tell of what others have found out, see `BountyOperations.look_up_doubts`."""
    doubts, told, failures = tracking.in_doubt(services.place), 0, list[OutcomeError]()
    for first in range(0, len(doubts), LOOKED_UP_AT_ONCE):
        page = doubts[first : first + LOOKED_UP_AT_ONCE]
        found = await together(_looked_up(services, doubt) for doubt in page)
        failed = [each for each in found if isinstance(each, OutcomeError)]
        told += found.count(True)
        failures += failed
        if len(failed) == len(page):
            break  # it is not one entry that cannot be read: the journal does not answer
    if failures:
        raise failures[0]
    return told


async def _looked_up(services: Services, doubt: Identity) -> bool | OutcomeError:
    """Whether the journal said what became of it, which nobody had told meanwhile."""
    name, bounty_id, key = doubt.name, doubt.bounty_id, doubt.key
    try:
        entry = await services.journal.find_operation(services.store.zone_id, key)
    except OutcomeError as error:
        return error
    if entry is None or (entry.kind, entry.bounty_id) != (name, bounty_id):
        return False  # the ledger is another one
    if entry.outcome not in _DEFINITE:
        return False
    return _tell(services, name, bounty_id, key, entry.outcome, if_in_doubt=True)


def _tell(
    services: Services,
    name: str,
    bounty_id: str,
    key: str,
    outcome: Outcome,
    *,
    if_in_doubt: bool = False,
) -> bool:
    return tracking.found_out(
        name,
        bounty_id,
        key,
        outcome,
        services.observers,
        place=services.place,
        if_in_doubt=if_in_doubt,
    )


LOOKED_UP_AT_ONCE: Final = 10
_DEFINITE: Final = (Outcome.COMMITTED, Outcome.POST_COMMIT, Outcome.PRE_COMMIT)


async def explanation_of(
    services: Services, key: str, where: str | None, operation: OperationKind | None, clues: Clues
) -> Explanation:
    """What became of the operation with `key` on the bounty `where`.

    `operation` is what it was used for where the history does not tell.

    Raises:
        NexusError: The bounty could not be read.
        CommitUnknownError: The ledger could not be read.
    """
    history = await services.store.get_history(where) if where else ()
    bounty = await services.store.get_bounty(where) if where else None
    found = traces(key, history)
    operation = operation_of(found) or operation
    outcome, summary = judged(operation, found, history)
    if outcome is Outcome.UNKNOWN and bounty is not None and bounty.untrusted is not None:
        summary = f"the document is not to be trusted, and proves nothing: {bounty.untrusted}"
    return Explanation(
        key=key,
        outcome=outcome,
        summary=summary,
        operation=operation.value if operation else None,
        bounty_id=where,
        bounty_status=bounty.status.value if bounty else None,
        steps=steps_found(key, operation, found),
        claim=clues.claim,
        reservation=await _reservation(services, key, where, bounty),
    )


async def _reservation(
    services: Services, key: str, where: str | None, bounty: Bounty | None
) -> Reservation | None:
    """The escrow of the bounty, or of the create with this key that never came to be."""
    ids = [bounty.reservation_id] if bounty and bounty.reservation_id else []
    if where is not None:
        ids.append(Try(key, where, zone_id=services.store.zone_id).reservation_id)
    for each in ids:
        if found := await services.credits.get_reservation(each):
            return found
    return None
