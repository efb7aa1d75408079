"""Faults: what can go wrong with one request, and which request it goes wrong with.

applied?      client hears nothing                  client hears something
----------    ----------------------------------    ----------------------------------------
never         REFUSE, DROP_BEFORE, TIMEOUT_BEFORE   STATUS_BEFORE, RPC_ERROR_BEFORE
once          DROP_AFTER, TIMEOUT_AFTER, TRUNCATE   DELAY, STATUS_AFTER, RPC_ERROR_AFTER,
                                                    GARBAGE
once, later   LATE
twice                                               DUPLICATE, DUPLICATE_ECHO, DUPLICATE_LATE
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, Literal

from nexus_bounty.mock.oracle import ReceivedRequest


class FaultKind(StrEnum):
    """Every way in which the mock can fail a request; `words` names it in words.

    Not applied:
        REFUSE "connection refused": the connection is refused; the request never arrives.
        DROP_BEFORE "request lost": the connection is lost and the request is not applied.
        TIMEOUT_BEFORE "no answer, not applied": no answer ever; not applied.
        STATUS_BEFORE "error status, not applied": an HTTP error instead of applying the request.
        RPC_ERROR_BEFORE "internal error, not applied": JSON-RPC -32603 instead of applying it.
    Applied once:
        DROP_AFTER "answer lost": applied; its response is lost with the connection.
        TIMEOUT_AFTER "no answer": no answer ever; applied.
        TRUNCATE "answer cut short": applied; the response breaks off in the middle of its body.
        GARBAGE "garbage": applied; the client gets a 200 that is no JSON-RPC answer.
        STATUS_AFTER "error status": an HTTP error although the request was applied.
        RPC_ERROR_AFTER "internal error": JSON-RPC -32603 although the request was applied.
        DELAY "slow": waits before it is applied, then is answered as usual.
        LATE "applied later": the client hears nothing; the request is applied later.
    Applied twice:
        DUPLICATE "applied twice": twice in a row; the client gets the first answer.
        DUPLICATE_ECHO "echo": a proxy repeated it; the client gets the second answer, the echo of
            its own success.
        DUPLICATE_LATE "applied again later": answered as usual, and applied once more later.
    """

    REFUSE = "refuse"
    """The connection is refused; the request never arrives."""
    DELAY = "delay"
    """The request waits before it is applied, then is answered as usual."""
    DROP_BEFORE = "drop_before"
    """The connection is lost and the request is not applied."""
    DROP_AFTER = "drop_after"
    """The request is applied and its response is lost with the connection."""
    TIMEOUT_BEFORE = "timeout_before"
    """No answer ever; not applied."""
    TIMEOUT_AFTER = "timeout_after"
    """No answer ever; applied."""
    DUPLICATE = "duplicate"
    """Applied twice in a row; the client gets the first answer."""
    DUPLICATE_ECHO = "duplicate_echo"
    """A proxy repeated it; the client gets the second answer, the echo of its own success."""
    DUPLICATE_LATE = "duplicate_late"
    """Answered as usual, and applied once more later."""
    LATE = "late"
    """The client hears nothing; the request is applied later."""
    TRUNCATE = "truncate"
    """Applied; the response breaks off in the middle of its body."""
    GARBAGE = "garbage"
    """Applied; the client gets a 200 that is no JSON-RPC answer."""
    STATUS_BEFORE = "status_before"
    """An HTTP error status instead of applying the request."""
    STATUS_AFTER = "status_after"
    """An HTTP error status although the request was applied."""
    RPC_ERROR_BEFORE = "rpc_error_before"
    """JSON-RPC error -32603 instead of applying the request."""
    RPC_ERROR_AFTER = "rpc_error_after"
    """JSON-RPC error -32603 although the request was applied."""

    @property
    def words(self) -> str:
        """Its name in words, such as "answer lost"."""
        return _WORDS[self]

    @property
    def deliveries(self) -> int:
        """How often the server gets to apply the request, now or later."""
        return 0 if self in _NEVER_APPLIED else 2 if self in _DUPLICATES else 1

    @property
    def applies(self) -> bool:
        """Whether the server applies the request at all, now or later."""
        return self.deliveries > 0

    @property
    def later(self) -> bool:
        """Whether a delivery happens after the client's own exchange is over."""
        return self in {FaultKind.LATE, FaultKind.DUPLICATE_LATE}

    @property
    def answered(self) -> bool:
        """Whether the client gets a whole HTTP response."""
        return self not in _UNANSWERED

    @property
    def genuine(self) -> bool:
        """Whether what the client gets is the server's own answer to a delivery."""
        return self is FaultKind.DELAY or self in _DUPLICATES


_WORDS: Final = {
    FaultKind.REFUSE: "connection refused",
    FaultKind.DELAY: "slow",
    FaultKind.DROP_BEFORE: "request lost",
    FaultKind.DROP_AFTER: "answer lost",
    FaultKind.TIMEOUT_BEFORE: "no answer, not applied",
    FaultKind.TIMEOUT_AFTER: "no answer",
    FaultKind.DUPLICATE: "applied twice",
    FaultKind.DUPLICATE_ECHO: "echo",
    FaultKind.DUPLICATE_LATE: "applied again later",
    FaultKind.LATE: "applied later",
    FaultKind.TRUNCATE: "answer cut short",
    FaultKind.GARBAGE: "garbage",
    FaultKind.STATUS_BEFORE: "error status, not applied",
    FaultKind.STATUS_AFTER: "error status",
    FaultKind.RPC_ERROR_BEFORE: "internal error, not applied",
    FaultKind.RPC_ERROR_AFTER: "internal error",
}
_NEVER_APPLIED = frozenset(
    {
        FaultKind.REFUSE,
        FaultKind.DROP_BEFORE,
        FaultKind.TIMEOUT_BEFORE,
        FaultKind.STATUS_BEFORE,
        FaultKind.RPC_ERROR_BEFORE,
    }
)
_DUPLICATES = frozenset({FaultKind.DUPLICATE, FaultKind.DUPLICATE_ECHO, FaultKind.DUPLICATE_LATE})
_UNANSWERED = frozenset(
    {
        FaultKind.REFUSE,
        FaultKind.DROP_BEFORE,
        FaultKind.DROP_AFTER,
        FaultKind.TIMEOUT_BEFORE,
        FaultKind.TIMEOUT_AFTER,
        FaultKind.LATE,
        FaultKind.TRUNCATE,
    }
)


@dataclass(frozen=True, slots=True)
class RequestMatch:
    """Which requests a fault may hit; an unset field matches all.

    Attributes:
        method: JSON-RPC method, or `POST /api/v2/files/write` outside JSON-RPC.
        path: Glob over any path that the request names; `*` crosses slashes.
        nth: Start with the nth request that matches the rest, counted from 1.
        predicate: Any other condition.
    """

    method: str | None = None
    path: str | None = None
    nth: int = 1
    predicate: Callable[[ReceivedRequest], bool] | None = None

    def accepts(self, request: ReceivedRequest) -> bool:
        """Whether the request matches, `nth` aside."""
        if self.method is not None and self.method != request.method:
            return False
        pattern = self.path
        if pattern is not None and not any(fnmatchcase(p, pattern) for p in request.paths):
            return False
        return self.predicate is None or self.predicate(request)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and the requests it hits: with no selection, the next one received.

    Attributes:
        kind: What goes wrong.
        at: Hit exactly the request with this number.
        match: Hit requests that match.
        times: How many requests to hit at most; None has no limit.
        seconds: Length of a DELAY; for LATE and DUPLICATE_LATE the time after which the request
            is applied, instead of `after_requests`.
        after_requests: LATE and DUPLICATE_LATE are applied after that many further requests.
        lost: Whether the client of a LATE request waits in vain or loses its connection.
        status: HTTP status of STATUS_BEFORE and STATUS_AFTER.
        retry_after: Seconds that a 429 or 503 asks the client to wait.
        retry_after_form: How it asks: header in seconds, header with a date, or plain JSON body.
        garbage: Whether GARBAGE is a proxy's HTML page or JSON that breaks off.
    """

    kind: FaultKind
    at: int | None = None
    match: RequestMatch | None = None
    times: int | None = 1
    seconds: float | None = None
    after_requests: int = 1
    lost: Literal["timeout", "drop"] = "timeout"
    status: int = 503
    retry_after: float | None = None
    retry_after_form: Literal["seconds", "date", "json"] = "seconds"
    garbage: Literal["html", "json"] = "html"

    @property
    def name(self) -> str:
        """A short name that tells the specimens in `ALL_FAULTS` apart."""
        return "-".join([self.kind.value, *_NAMED_BY.get(self.kind, _no_details)(self)])

    def on(self, match: RequestMatch | None = None, *, at: int | None = None) -> Fault:
        """The same fault for other requests."""
        return replace(self, match=match, at=at)

    def __str__(self) -> str:
        return self.name


def _no_details(_fault: Fault) -> list[str]:
    return []


def _status_details(fault: Fault) -> list[str]:
    form = [fault.retry_after_form] if fault.retry_after is not None else []
    return [str(fault.status), *form]


def _late_details(fault: Fault) -> list[str]:
    return [fault.lost, _when(fault)] if fault.kind is FaultKind.LATE else [_when(fault)]


def _when(fault: Fault) -> str:
    return f"{fault.after_requests}" if fault.seconds is None else f"{fault.seconds}s"


_NAMED_BY: dict[FaultKind, Callable[[Fault], list[str]]] = {
    FaultKind.STATUS_BEFORE: _status_details,
    FaultKind.STATUS_AFTER: _status_details,
    FaultKind.LATE: _late_details,
    FaultKind.DUPLICATE_LATE: _late_details,
    FaultKind.GARBAGE: lambda fault: [fault.garbage],
}


def _specimens() -> Iterable[Fault]:
    for kind in FaultKind:
        yield from _SPECIMENS[kind](kind) if kind in _SPECIMENS else [Fault(kind)]


_REFUSALS = (401, 403, 408, 425, 429, 500, 502, 503, 504)
_LIES = (408, 425, 429, 500, 502, 503, 504)

_SPECIMENS: dict[FaultKind, Callable[[FaultKind], list[Fault]]] = {
    FaultKind.DELAY: lambda kind: [Fault(kind, seconds=0.01)],
    FaultKind.GARBAGE: lambda kind: [Fault(kind), Fault(kind, garbage="json")],
    FaultKind.LATE: lambda kind: [
        Fault(kind, after_requests=1),
        Fault(kind, after_requests=3),
        Fault(kind, after_requests=1, lost="drop"),
    ],
    FaultKind.STATUS_BEFORE: lambda kind: [
        *(Fault(kind, status=status) for status in _REFUSALS),
        Fault(kind, status=429, retry_after=1),
        Fault(kind, status=429, retry_after=1, retry_after_form="date"),
        Fault(kind, status=429, retry_after=1, retry_after_form="json"),
    ],
    FaultKind.STATUS_AFTER: lambda kind: [Fault(kind, status=status) for status in _LIES],
}

ALL_FAULTS: tuple[Fault, ...] = tuple(_specimens())
"""One specimen of every distinct behaviour, for tests that try them all."""
