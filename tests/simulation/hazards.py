"""What can go wrong at one turn of an actor: with a request, with a ledger call, with the actor.

fault of the mock     the names of `nexus_bounty.mock.ALL_FAULTS`, `late-…` ones included
crash-before/after    the actor's process is gone before the request is sent, after it is applied
crash-late            it is gone, and its request is applied later
cancel-…              the same three with the actor's task cancelled, which can try again
cut-N                 a partition: for N turns none of the actor's requests arrives
restart               the server restarts: whatever was late is lost, and so is this request
drip, oversize        it is applied, and its answer drips for ever, or unpacks to too much
poison                another program leaves files that nobody can understand; the request is well
"""

from __future__ import annotations

from typing import Final

from nexus_bounty.mock import ALL_FAULTS, Fault, FaultKind

REQUEST_FAULTS: Final[dict[str, Fault]] = {
    fault.name: fault
    for fault in (
        # a date in an answer is compared with the machine's own clock
        *(each for each in ALL_FAULTS if each.retry_after_form != "date"),
        Fault(FaultKind.LATE, after_requests=8),
        Fault(FaultKind.LATE, after_requests=1000),
        Fault(FaultKind.DUPLICATE_LATE, after_requests=8),
        Fault(FaultKind.DUPLICATE_LATE, after_requests=1000),
    )
}
"""Every distinct behaviour of the mock, by name."""

MOMENTS: Final = ("before", "after", "late")
CRASHES: Final = tuple(f"crash-{moment}" for moment in MOMENTS)
CANCELS: Final = tuple(f"cancel-{moment}" for moment in MOMENTS)
CUTS: Final = {"cut-3": 3, "cut-12": 12, "cut-40": 40}
RESTART: Final = "restart"
DRIP, OVERSIZE, POISON = "drip", "oversize", "poison"

LOST: Final = Fault(FaultKind.DROP_BEFORE)
"""What becomes of a request during a partition, or whose server restarts."""
UNHEARD: Final = Fault(FaultKind.DROP_AFTER)
VERY_LATE_AND_LOST: Final = Fault(FaultKind.LATE, after_requests=1000, lost="drop")
"""What becomes of a request whose sender is gone meanwhile."""


def _evenly(*groups: tuple[str, ...]) -> tuple[str, ...]:
    """All members of all groups, those of small groups repeated, to be drawn about as often."""
    most = max(map(len, groups))
    return tuple(name for group in groups for name in group * round(most / len(group)))


def _named(*beginnings: str) -> tuple[str, ...]:
    return tuple(name for name in REQUEST_FAULTS if name.startswith(beginnings))


_REFUSALS: Final = ("refuse", "status_before-401", "status_before-403")

OF_REQUESTS: Final = _evenly(
    _REFUSALS,
    tuple(
        name
        for name in _named("drop_before", "timeout_before", "status_before", "rpc_error_before")
        if name not in _REFUSALS
    ),
    _named("drop_after", "timeout_after", "status_after", "rpc_error_after", "truncate", "garbage"),
    _named("late"),
    _named("duplicate"),
    ("delay", *CRASHES, *CANCELS),
    (*CUTS, RESTART),
    (DRIP, OVERSIZE, POISON),
)
"""Everything that random exploration lets go wrong with a request, each way about as often."""

ONE_OF_EACH: Final = (
    "refuse",
    "drop_before",
    "drop_after",
    "late-timeout-1000",
    "late-timeout-1",
    "duplicate_echo",
    "duplicate_late-1000",
    "status_before-403",
    "status_after-503",
    "crash-after",
)
"""One hazard for every way in which what was applied and what was heard can differ.

The mock's other faults are worded differently and leave client and server in one of these states.
"""

OF_THE_LEDGER: Final = (
    "ledger-refused",
    "ledger-lost-before",
    "ledger-lost-after",
    "crash-before",
    "crash-after",
    "cancel-before",
    "cancel-after",
    "cut-3",
    "cut-40",
)
"""Everything that can go wrong with a call of the ledger."""

OF_LEDGER_LOOKS: Final = tuple(
    each for each in OF_THE_LEDGER if each not in ("ledger-refused", "ledger-lost-after")
)
