"""Steps of operations by name, and what goes wrong with them: "commit of claim", "answer lost".

A step is a request to Nexus or a call of the credits service, named by what it does and by the
operation that it belongs to. Its name stays the same when requests are added or saved elsewhere.

- commit: what decides the operation; of `settle`, the first of its two is the pivot
- staging: a document put where the next request makes it the bounty, where servers need that
- marker: what listings find a bounty by; clean-up: old ones removed
- lock, lease marker, lease: the three files of a claim
- reward, contribution, read, listing, probe
- reserve, capture, void, transfer, top up: calls of the credits service

An operation that has a step several times has "commit of settle #2" and so on. The names of a
store's mutations do as well: "commit of settle_bounty".
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from nexus_bounty import events
from nexus_bounty.events.stream import under_way
from nexus_bounty.mock import Fault, FaultKind, ReceivedRequest
from nexus_bounty.ports import CreditsService

_BY_PATH: Final = tuple(
    (what, re.compile(f"/zones/[^/]+/{pattern}"))
    for what, pattern in (
        ("commit", r"(indexes/bounties/commits/|bounties/)"),
        ("reward", r"(indexes/rewards/|rewards/)"),
        ("lock", r"indexes/claims/target-lock"),
        ("lease", r"(indexes/claims/commits/|claims/)"),
        ("staging", r"indexes/.*staged/"),
        ("lease marker", r"indexes/claims/active/"),
        ("marker", r"indexes/bounties/status/"),
        ("contribution", r"(indexes/contributions/|contributions/)"),
        ("probe", r"indexes/bounties/probe\.json"),
    )
)
_BY_METHOD: Final = (
    ("read", re.compile(r"(sys_)?(read|exists|get_metadata|stat)")),
    ("listing", re.compile(r"(sys_)?(list|readdir|glob)")),
    ("clean-up", re.compile(r"(sys_)?(delete|unlink|rmdir)")),
)


class LedgerFault(StrEnum):
    """Every way in which a call of the credits service can fail."""

    REFUSED = "refused"
    """The service refuses; nothing moved."""
    REQUEST_LOST = "request lost"
    """The call never arrives, and nobody says so."""
    ANSWER_LOST = "answer lost"
    """It is done, and its answer is lost."""


@dataclass
class StepFault:
    """What goes wrong with a step, and how often.

    Attributes:
        step: The step's name.
        fault: What goes wrong with it.
        times: How many times in a row, from the first time that the step comes; None for always.
        hits: How often it has been.
    """

    step: str
    fault: Fault | LedgerFault
    times: int | None = 1
    hits: int = 0

    def __str__(self) -> str:
        """The step and the fault, in words."""
        what = self.fault.kind.words if isinstance(self.fault, Fault) else self.fault.value
        return f"{what!r} at {self.step!r}"


def step_fault(
    step: str, kind: str | FaultKind | Fault, *, times: int | None = 1, **details: Any
) -> StepFault:
    """What goes wrong with `step`: `kind` by its words, its value or as itself.

    `details` are fields of `Fault`, such as `status=503`.

    Raises:
        ValueError: There is no such kind.
    """
    if is_of_ledger(step):
        return StepFault(step, LedgerFault(_of_ledger(kind)), times)
    fault = kind if isinstance(kind, Fault) else Fault(_kind(kind))
    return StepFault(step, replace(fault, **details), times)


def _of_ledger(kind: str | FaultKind | Fault) -> str:
    words = kind.words if isinstance(kind, FaultKind) else kind
    if words not in list(LedgerFault):
        raise ValueError(f"the credits service can fail by {', '.join(LedgerFault)}, not {words!r}")
    return str(words)


def _kind(kind: str | FaultKind) -> FaultKind:
    for each in FaultKind:
        if kind in (each, each.value, each.words):
            return each
    known = ", ".join(each.words for each in FaultKind)
    raise ValueError(f"there is no fault {kind!r}: take one of {known}")


LEDGER_CALLS: Final = tuple(
    name
    for name, method in inspect.getmembers(CreditsService, inspect.iscoroutinefunction)
    if not name.startswith("get_") and name not in ("balance", "close", "identity")
)
"""The methods of a credits service that change something."""


def is_of_ledger(step: str) -> bool:
    """Whether the step is a call of the credits service."""
    return step.partition(" of ")[0].replace(" ", "_") in LEDGER_CALLS


@dataclass
class StepFaults:
    """The steps that came, and the faults of those that are to fail.

    A `MockNexus` that it is given to as `faults`, and a `FaultyCredits`, ask it at every step.
    """

    planned: list[StepFault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Know in the block which operation a step belongs to."""
        with events.register(events.only(lambda _event: None, events.OperationBegan)):
            yield

    def forget(self) -> None:
        """Count and name steps anew."""
        self.seen.clear()
        self._counts.clear()

    def choose(self, request: ReceivedRequest) -> Fault | None:
        """The fault of a request that the mock has received."""
        found = self._hit(_what(request))
        return found if isinstance(found, Fault) else None

    def at_ledger(self, call: str) -> LedgerFault | None:
        """The fault of a call of the credits service."""
        found = self._hit(call.replace("_", " "))
        return found if isinstance(found, LedgerFault) else None

    @property
    def missed(self) -> list[StepFault]:
        """The faults whose steps never came."""
        return [each for each in self.planned if not each.hits]

    def _hit(self, what: str) -> Fault | LedgerFault | None:
        plain = _names(what)
        self._counts.update(plain)
        numbered = [f"{name} #{self._counts[name]}" for name in plain]
        first = [name for name in plain if self._counts[name] == 1]
        self.seen.append(plain[0] if plain[0] in first else numbered[0])
        for each in self.planned:
            comes = each.step in (*first, *numbered)
            goes_on = each.hits > 0 and each.step.partition(" #")[0] in plain
            if (comes or goes_on) and each.hits != each.times:
                each.hits += 1
                return each.fault
        return None


def _names(what: str) -> list[str]:
    """What a step is called: by the operation that the program called, then by those within."""
    now = under_way()
    called = [each.name for each in now.operation or ()] if now else []
    called.reverse()
    short = [name.removesuffix("_bounty") for name in called]
    return [f"{what} of {name}" for name in dict.fromkeys([*short, *called])] or [what]


def _what(request: ReceivedRequest) -> str:
    for what, method in _BY_METHOD:
        if method.match(request.method):
            return what
    for what, path in _BY_PATH:
        if any(path.match(each) for each in request.paths):
            return what
    return "probe" if any("probe" in each for each in request.paths) else request.method
