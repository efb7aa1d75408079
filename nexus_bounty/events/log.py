"""The observer that writes the log of this library, on the logger `nexus_bounty`.

It is registered when the library is imported, and configures nothing: without a handler nothing
is shown. What is said at which level:

    WARNING  an outcome that is unknown, a step or a clean-up that is left to the reconciler, a
             repair that failed, a sweep that was cut short
    INFO     a lost answer or an earlier doubt that was resolved, a fence that landed
    DEBUG    every request, every retry, a fence that is to be written

Every record carries `operation`, `idempotency_key`, `bounty_id`, `zone_id` and `server` of what the
program called, `step` if it is said of a part of that, and `outcome` and `proof`; `None` where
there is none. That goes for the loggers below it, such as `nexus_bounty.nexus`, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from nexus_bounty.events.careful_logger import CarefulLogger
from nexus_bounty.events.stream import logger, under_way
from nexus_bounty.events.types import (
    CleanUpEnded,
    DoubtCause,
    DoubtResolved,
    Event,
    FenceLanded,
    FenceWritten,
    OperationInfo,
    OutcomeUnknown,
    ProblemLeft,
    RangeEnded,
    RequestEnded,
    Retried,
    StepOwed,
    SweepEnded,
)
from nexus_bounty.outcomes import Outcome, Proof


def logger_of(name: str) -> CarefulLogger:
    """The logger of a part of this library: its records say in which operation they were made."""
    found = CarefulLogger(name)
    found.logger.addFilter(_attributed)
    return found


def _attributed(record: logging.LogRecord) -> bool:
    now = under_way()
    said = _attribution(now.operation if now else None) | {"outcome": None, "proof": None}
    for name, value in said.items():
        record.__dict__.setdefault(name, value)
    return True


def _attribution(operation: OperationInfo | None) -> dict[str, str | None]:
    called = operation.outermost if operation else None
    return {
        "operation": called.name if called else None,
        "idempotency_key": called.key if called else None,
        "bounty_id": called.bounty_id if called else None,
        "zone_id": called.zone_id if called else None,
        "server": (called.server or None) if called else None,
        "step": operation.name if operation and operation is not called else None,
    }


logger_of(logger.name).logger.addHandler(logging.NullHandler())

debugging: Final = logger.logger.isEnabledFor
"""Whether the log takes a level; asking costs next to nothing, and less than building an event."""

Line = tuple[int, str]
"""A level and a message."""

_CAUSES: Final = {
    DoubtCause.LOST_ANSWER: "an answer was lost or proved nothing",
    DoubtCause.EARLIER_CALL: "an earlier call did not know what had become of it",
    DoubtCause.ASKED: "somebody asked what had become of it",
}
_FOUND: Final = {Outcome.PRE_COMMIT: "it did not happen and can no longer happen"}


class LogObserver:
    """Writes what is worth a line, with the operation as structured extras."""

    @property
    def wants(self) -> frozenset[type[Event]]:
        """What is built for the log: what only a debugger asks for, while one does."""
        return _ALL if debugging(logging.DEBUG) else _ALWAYS

    def __call__(self, event: Event) -> None:
        """Write the line for `event`, if there is one."""
        line = _LINES.get(type(event))
        if line is None:
            return
        level, message = line(event)
        if message and logger.isEnabledFor(level):
            logger.log(level, "%s", message, extra=_extra(event))


def _extra(event: Event) -> dict[str, str | None]:
    outcome, proof = _known(event)
    return _attribution(event.operation) | {
        "outcome": outcome.value if outcome else None,
        "proof": proof.value if proof else None,
    }


def _known(event: Event) -> tuple[Outcome | None, Proof | None]:
    if isinstance(event, DoubtResolved):
        return event.outcome, event.proof
    if isinstance(event, OutcomeUnknown):
        return Outcome.UNKNOWN, Proof.NONE
    if isinstance(event, FenceLanded):
        return Outcome.PRE_COMMIT, Proof.FENCED
    return None, None


def _of(event: Event) -> str:
    """Which operation it is, as a message begins."""
    operation = event.operation
    if operation is None:
        return ""
    called = operation.outermost
    around = "" if called is operation else f", a step of {called.name}"
    return f"{operation.name} of {operation.bounty_id} [key {operation.key}]{around}: "


def _unknown(event: OutcomeUnknown) -> Line:
    said = f"it may have happened or may still ({event.error}); repeat it with the same key"
    return logging.WARNING, f"{_of(event)}{said} to find out"


def _resolved(event: DoubtResolved) -> Line:
    said = _FOUND.get(event.outcome, "it is committed")
    return logging.INFO, f"{_of(event)}{_CAUSES[event.cause]}; {said}"


def _fenced(event: FenceLanded) -> Line:
    return logging.INFO, f"{_of(event)}fenced off in {event.path}: it can no longer happen"


def _to_be_fenced(event: FenceWritten) -> Line:
    return logging.DEBUG, f"{_of(event)}to be fenced off in {event.path}"


def _owed(event: StepOwed) -> Line:
    return logging.WARNING, f"{_of(event)}still owed: {event.step} ({event.why})"


def _cleaned_up(event: CleanUpEnded) -> Line:
    if not event.left:
        return logging.DEBUG, f"{event.removed} files that nothing needs any more were removed"
    why = f"could not clean up ({event.why}): " if event.why else ""
    return logging.WARNING, (
        f"{why}{len(event.left)} files that nothing needs any more are still to be removed, such "
        f"as {event.left[0]}; the reconciler does it"
    )


def _left(event: ProblemLeft) -> Line:
    said = f"{event.sweep} {event.subject}: not repaired: {event.why}"
    return logging.WARNING, said if event.failed else ""


def _swept(event: SweepEnded) -> Line:
    said = f"the sweep of {event.sweep} was cut short: {event.error}"
    return logging.WARNING, said if event.error else ""


def _gone_through(event: RangeEnded) -> Line:
    where = f"{event.zone_id}: {event.lo or 'the first'} … {event.hi or 'the last'}"
    if event.error:
        return logging.WARNING, f"{where}: a sweep was cut short: {event.error}"
    said = f"{event.found} found, {event.repaired} repaired, in {event.seconds:.3f} s"
    return logging.INFO, f"{where}: {said}" if event.found else ""


def _requested(event: RequestEnded) -> Line:
    answer = f"{event.disposition}: {event.reason}"
    return logging.DEBUG, f"{event.method} {event.path}: {answer}, in {event.seconds:.3f} s"


def _retried(event: Retried) -> Line:
    said = f"{_of(event)}attempt {event.attempt} ended in {event.why}"
    return logging.DEBUG, f"{said}; the next in {event.pause:.3f} s"


_LINES: Final[Mapping[type[Event], Callable[[Any], Line]]] = {
    OutcomeUnknown: _unknown,
    DoubtResolved: _resolved,
    FenceLanded: _fenced,
    FenceWritten: _to_be_fenced,
    StepOwed: _owed,
    CleanUpEnded: _cleaned_up,
    ProblemLeft: _left,
    RangeEnded: _gone_through,
    SweepEnded: _swept,
    RequestEnded: _requested,
    Retried: _retried,
}
_ALL: Final = frozenset(_LINES)
_ALWAYS: Final = _ALL - {RequestEnded, Retried, FenceWritten}
