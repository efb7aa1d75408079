"""Counts, durations and ages of what happens, in few enough series to keep them all.

No series is made by an id, a key or a path.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from nexus_bounty import events
from nexus_bounty_otel.handlers import Handlers

MOST_DOUBTS: Final = 10_000
_PREFIX: Final = "nexus_bounty"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_REQUESTS: Final = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100)


class Meters:
    """Makes metrics of events.

    Args:
        meter: Keeps them.
    """

    def __init__(self, meter: Meter) -> None:
        self._doubts = Doubts()
        self._make_of_operations(meter)
        self._make_of_doubts(meter)
        self._make_of_the_reconciler(meter)
        self.handlers: Handlers = {
            events.OperationEnded: self._operation,
            events.RequestEnded: self._request,
            events.Retried: self._retry,
            events.FenceWritten: self._fence_written,
            events.FenceLanded: self._fence_landed,
            events.OutcomeUnknown: self._doubts.begin,
            events.DoubtResolved: self._resolved,
            events.StepOwed: self._owed,
            events.CleanUpEnded: self._cleaned_up,
            events.ProblemFound: self._found,
            events.ProblemRepaired: self._repaired,
            events.ProblemLeft: self._left,
            events.SweepEnded: self._swept,
        }

    def _make_of_operations(self, meter: Meter) -> None:
        self._durations = meter.create_histogram(
            f"{_PREFIX}.operation.duration",
            "s",
            "How long operations take, by how they end.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._needed = meter.create_histogram(
            f"{_PREFIX}.operation.requests",
            "{request}",
            "How many requests operations send, those of their steps and repeats included.",
            explicit_bucket_boundaries_advisory=_REQUESTS,
        )
        self._outcomes = meter.create_counter(
            f"{_PREFIX}.operations", "{operation}", "How operations end, and by what it is known."
        )
        self._requests = meter.create_histogram(
            f"{_PREFIX}.request.duration",
            "s",
            "How long requests take, by what their answers prove.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._retries = meter.create_counter(
            f"{_PREFIX}.retries", "{retry}", "What is tried again after a pause."
        )
        self._steps_owed = meter.create_counter(
            f"{_PREFIX}.steps.owed", "{step}", "Steps after commits, left to the reconciler."
        )
        self._leftovers = meter.create_counter(
            f"{_PREFIX}.cleanup.left", "{file}", "Files that could not be removed at once."
        )

    def _make_of_doubts(self, meter: Meter) -> None:
        self._fences = meter.create_counter(
            f"{_PREFIX}.fences", "{fence}", "Fences: written, and known to be in."
        )
        self._resolutions = meter.create_counter(
            f"{_PREFIX}.resolutions", "{operation}", "Doubts that ended, by why there was one."
        )
        self._doubted = meter.create_histogram(
            f"{_PREFIX}.doubt.duration",
            "s",
            "How long it was in doubt what became of operations.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        meter.create_observable_gauge(
            f"{_PREFIX}.doubts",
            [_of(self._doubts.count)],
            "{operation}",
            "Operations of this process that are in doubt.",
        )
        meter.create_observable_gauge(
            f"{_PREFIX}.doubt.oldest_age",
            [_of(self._doubts.oldest)],
            "s",
            "For how long the one has been that has been longest.",
        )

    def _make_of_the_reconciler(self, meter: Meter) -> None:
        self._problems = meter.create_counter(
            f"{_PREFIX}.reconciler.problems",
            "{problem}",
            "What sweeps found, and what became of it.",
        )
        self._sweeps = meter.create_histogram(
            f"{_PREFIX}.reconciler.sweep.duration",
            "s",
            "How long sweeps take, by whether they were cut short.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._leftover: dict[str, int] = {}
        meter.create_observable_gauge(
            f"{_PREFIX}.reconciler.leftovers",
            [self._leftover_now],
            "{problem}",
            "What the last sweep of each kind found and left.",
        )

    def _operation(self, event: events.OperationEnded) -> None:
        if event.operation is None:
            return
        ended = {
            "operation": event.operation.name,
            "layer": event.operation.layer,
            "outcome": event.outcome.value if event.outcome else "stopped",
        }
        self._durations.record(event.seconds, ended)
        self._needed.record(event.requests, ended)
        self._outcomes.add(1, {**ended, "proof": event.proof.value if event.proof else "none"})

    def _request(self, event: events.RequestEnded) -> None:
        answered = {
            "rpc.method": event.method,
            "disposition": event.disposition,
            "reason": event.reason,
        }
        self._requests.record(event.seconds, answered)

    def _retry(self, event: events.Retried) -> None:
        self._retries.add(1, {"operation": _name(event)})

    def _fence_written(self, event: events.FenceWritten) -> None:
        self._fences.add(1, {"operation": _name(event), "state": "written"})

    def _fence_landed(self, event: events.FenceLanded) -> None:
        self._fences.add(1, {"operation": _name(event), "state": "landed"})

    def _resolved(self, event: events.DoubtResolved) -> None:
        ended = {"cause": event.cause.value, "outcome": event.outcome.value}
        self._resolutions.add(1, ended)
        if event.seconds is not None:
            self._doubted.record(event.seconds, ended)
        self._doubts.end(event)

    def _owed(self, event: events.StepOwed) -> None:
        self._steps_owed.add(1, {"step": event.step})

    def _cleaned_up(self, event: events.CleanUpEnded) -> None:
        self._leftovers.add(len(event.left))

    def _found(self, event: events.ProblemFound) -> None:
        self._problems.add(1, {"sweep": event.sweep, "state": "found"})

    def _repaired(self, event: events.ProblemRepaired) -> None:
        self._problems.add(1, {"sweep": event.sweep, "state": "repaired"})

    def _left(self, event: events.ProblemLeft) -> None:
        state = "failed" if event.failed else "left"
        self._problems.add(1, {"sweep": event.sweep, "state": state})

    def _swept(self, event: events.SweepEnded) -> None:
        whole = {"sweep": event.sweep, "whole": str(event.error is None).lower()}
        self._sweeps.record(event.seconds, whole)
        self._leftover[event.sweep] = event.found - event.repaired

    def _leftover_now(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(left, {"sweep": sweep}) for sweep, left in [*self._leftover.items()]]


class Doubts:
    """The operations of this process that are in doubt, and since when."""

    def __init__(self) -> None:
        self._since: OrderedDict[events.Identity, float] = OrderedDict()

    def begin(self, event: events.OutcomeUnknown) -> None:
        """It is not known what became of an operation."""
        if event.operation is not None:
            self._since.setdefault(event.operation.identity, time.monotonic())
        if len(self._since) > MOST_DOUBTS:
            self._since.popitem(last=False)

    def end(self, event: events.DoubtResolved) -> None:
        """It is."""
        if event.operation is not None:
            self._since.pop(event.operation.identity, None)

    def count(self) -> float:
        """How many there are."""
        return len(self._since)

    def oldest(self) -> float:
        """The age of the oldest in seconds; zero if there is none."""
        now = time.monotonic()
        return now - min([*self._since.values()], default=now)


def _name(event: events.Event) -> str:
    return event.operation.outermost.name if event.operation else "none"


def _of(value: Callable[[], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _options: [Observation(value())]
