"""Operations are written down before their first request, and closed with their outcome."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

from nexus_bounty.events.log import logger_of
from nexus_bounty.memory.journal import MemoryJournal
from nexus_bounty.outcomes import (
    CommitUnknownError,
    Evidence,
    IdempotencyMismatchError,
    Outcome,
    OutcomeError,
    PostCommitError,
    PreCommitError,
    Proof,
)
from nexus_bounty.ports import CreditsService, JournaledOperation, OperationJournal
from nexus_bounty.transactions import Clock

logger = logger_of("nexus_bounty.operations")

_METHODS: Final = ("begin_operation", "end_operation", "find_operation", "open_operations")


def journal_of(credits: CreditsService, clock: Clock) -> OperationJournal:  # noqa: A002 - the word for it
    """The journal that a ledger keeps, or one of this process only."""
    if all(_has(credits, name) for name in _METHODS):
        return cast("OperationJournal", credits)
    logger.info(
        "%s keeps no journal of operations: a key that another process has used is known only by "
        "what it left in a bounty's history",
        type(credits).__name__,
    )
    return MemoryJournal(clock=clock)


def _has(credits: CreditsService, name: str) -> bool:  # noqa: A002 - same
    try:
        return callable(getattr(credits, name, None))
    except Exception:  # noqa: BLE001 - a stand-in for what cannot be reached
        return False


async def begun(journal: OperationJournal, entry: JournaledOperation) -> JournaledOperation | None:
    """Have an operation written down before it begins; returns what its key stood for before.

    Raises:
        IdempotencyMismatchError: The key stands for another operation; nothing was done.
        PreCommitError: It could not be written down; nothing was done by this call, which says
            nothing of an earlier one.
    """
    try:
        return await journal.begin_operation(entry)
    except (PreCommitError, IdempotencyMismatchError):
        raise
    except Exception as error:  # at worst an entry that a repeat or the reconciler closes
        why = error.message if isinstance(error, OutcomeError) else str(error)
        seen = error.evidence.observations if isinstance(error, OutcomeError) else ()
        raise PreCommitError(
            f"the operation could not be written down: {why}",
            evidence=Evidence(proof=Proof.NEVER_SENT, observations=seen),
        ) from error


@asynccontextmanager
async def closed_at_its_end(
    journal: OperationJournal, entry: JournaledOperation
) -> AsyncIterator[None]:
    """Note the outcome of an operation that was written down.

    One that is cancelled, or whose process dies, stays open: it is in doubt.
    """
    try:
        yield
    except OutcomeError as error:
        await _noted(journal, entry, _outcome_of(error), str(error))
        raise
    else:
        await _noted(journal, entry, Outcome.COMMITTED, "")


def _outcome_of(error: OutcomeError) -> Outcome | None:
    match error:
        case CommitUnknownError():
            return None
        case PostCommitError():
            return Outcome.POST_COMMIT
        case IdempotencyMismatchError():
            return Outcome.OTHER_OPERATION
    return Outcome.PRE_COMMIT


async def _noted(
    journal: OperationJournal, entry: JournaledOperation, outcome: Outcome | None, reason: str
) -> None:
    try:
        await journal.end_operation(entry.zone_id, entry.key, outcome, reason)
    except Exception:
        logger.warning(
            "%s of %s [key %s] stays open in the journal: its outcome could not be noted",
            entry.kind,
            entry.bounty_id,
            entry.key,
            exc_info=True,
        )
