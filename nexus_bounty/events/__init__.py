"""One stream of everything that happens: operations, requests, retries, fences, doubts, repairs.

An observer is anything that can be called with an event. A counter in five lines:

    outcomes = Counter()

    def count(event: events.Event) -> None:
        if isinstance(event, events.OperationEnded):
            outcomes[event.operation.name, event.outcome] += 1

    with events.register(count):
        ...

`register` tells it of all that happens in this process; `NexusClient(…, observers=[count])`, and
likewise the stores and `BountyOperations`, of what happens through these. Every event says in
`operation` which operation it belongs to, and that which operation it is a step of; `None` is
what happens outside of any, such as a read.

Observers are called at once, in the thread and task in which it happens: they must be quick and
must not wait. What they raise is logged once and breaks nothing. An observer with an attribute
`wants`, or made by `only`, is told of some types alone; what nobody wants is not even built. One
that wants anything else is refused with a `TypeError` where it is registered or given.

One observer is there from the start: it writes the log, see `nexus_bounty.events.log`;
`default_log.unregister()` silences it.
"""

from __future__ import annotations

from typing import Final

from nexus_bounty.events.log import LogObserver
from nexus_bounty.events.stream import Observer, Registration, only, register
from nexus_bounty.events.types import (
    CleanUpEnded,
    DoubtCause,
    DoubtResolved,
    Event,
    FenceLanded,
    FenceWritten,
    Identity,
    OperationBegan,
    OperationEnded,
    OperationInfo,
    OutcomeUnknown,
    Place,
    ProblemFound,
    ProblemLeft,
    ProblemRepaired,
    RangeEnded,
    RequestEnded,
    RequestSent,
    Retried,
    StepOwed,
    SweepEnded,
)

__all__ = [
    "CleanUpEnded",
    "DoubtCause",
    "DoubtResolved",
    "Event",
    "FenceLanded",
    "FenceWritten",
    "Identity",
    "LogObserver",
    "Observer",
    "OperationBegan",
    "OperationEnded",
    "OperationInfo",
    "OutcomeUnknown",
    "Place",
    "ProblemFound",
    "ProblemLeft",
    "ProblemRepaired",
    "RangeEnded",
    "Registration",
    "RequestEnded",
    "RequestSent",
    "Retried",
    "StepOwed",
    "SweepEnded",
    "default_log",
    "only",
    "register",
]

default_log: Final = register(LogObserver())
"""The log, as it is registered from the start; `default_log.unregister()` silences it."""
