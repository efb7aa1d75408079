"""Open operations: what the journal has in doubt, and the histories may know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from nexus_bounty.idempotency import RETENTION
from nexus_bounty.operations.explaining import close_doubt
from nexus_bounty.operations.services import Services
from nexus_bounty.operations.steps import traces
from nexus_bounty.operations.verdicts import was_given_up
from nexus_bounty.outcomes import Outcome
from nexus_bounty.ports import JournaledOperation
from nexus_bounty.reconcile.sweep import Problem, Scope

_IN_DOUBT: Final = (
    "in doubt: no history names it, and a request of it may still be under way. Repeat it with its "
    "key, or ask explain KEY --resolve; 24 hours after it began it is fenced off"
)
_BY: Final = "the reconciler"


class OpenOperations:
    """Operations whose process died, or never learnt what became of them.

    The history of the bounty says whether one was committed or fenced off. One that it does not
    name is in doubt: it is reported, and left to whoever repeats it for as long as histories are
    kept; then it is fenced off.
    """

    name = "open operations"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every operation in doubt; of some the outcome can be told by now."""
        services = scope.services
        async for each in services.journal.open_operations(services.store.zone_id):
            if each.bounty_id not in scope.partition:
                continue
            if scope.is_young(each.began_at):
                yield Problem(each.key, _what(each), touched=each.began_at)
            else:
                yield await _doubt(scope, each)


async def _doubt(scope: Scope, operation: JournaledOperation) -> Problem:
    try:
        outcome = await _in_history(scope.services, operation)
    except ValueError as error:  # the others are looked at all the same
        return Problem(operation.key, _what(operation), reason=f"in doubt: {error}")
    if outcome is not None:
        return _known(scope.services, operation, outcome)
    if scope.now - operation.began_at > RETENTION:
        return _forgotten(scope.services, operation)
    return Problem(operation.key, _what(operation), reason=_IN_DOUBT)


def _what(operation: JournaledOperation) -> str:
    return f"is a {operation.kind} of bounty {operation.bounty_id!r} whose outcome is not known"


async def _in_history(services: Services, operation: JournaledOperation) -> Outcome | None:
    history = await services.store.get_history(operation.bounty_id)
    found = [each for each in history if each.key == operation.decided_by]
    if found:
        return Outcome.PRE_COMMIT if found[-1].aborted else Outcome.COMMITTED
    return Outcome.PRE_COMMIT if was_given_up(traces(operation.key, history)) else None


def _known(services: Services, operation: JournaledOperation, outcome: Outcome) -> Problem:
    async def close() -> str:
        await close_doubt(services, operation, outcome, _BY)
        return "closed: it happened" if outcome is Outcome.COMMITTED else "closed: it never will be"

    return Problem(operation.key, _what(operation), close)


def _forgotten(services: Services, operation: JournaledOperation) -> Problem:
    async def fence() -> str:
        became = await services.store.resolve_operation(operation.bounty_id, operation.decided_by)
        await close_doubt(services, operation, became.outcome, _BY)
        return f"fenced off and closed: {became.outcome.value}"

    return Problem(operation.key, _what(operation), fence)
