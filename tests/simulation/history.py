"""What processes asked of the store and what they were told: ok, fail or info, in Jepsen's terms.

- *ok*: it returned, or said that only clean-up is owed;
- *fail*: a `PreCommitError`: it did not happen and can no longer happen;
- *info*: unknown, cancelled, crashed, or still running: it may happen at any later time, or never.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from nexus_bounty import (
    Bounty,
    BountyExistsError,
    BountyNotFoundError,
    BountyStateError,
    IdempotencyMismatchError,
    InvalidInputError,
    NexusBountyStore,
    OutcomeError,
    PostCommitError,
    PreCommitError,
)
from nexus_bounty.outcomes import DISCARDED

OK, FAIL, INFO = "ok", "fail", "info"

MUTATIONS: Final = {
    "create_bounty": "create",
    "fund_bounty": "fund",
    "claim_bounty": "claim",
    "release_bounty": "release",
    "begin_settlement": "begin_settlement",
    "complete_bounty": "complete",
    "settle_bounty": "settle",
    "expire_bounty": "expire",
    "cancel_bounty": "cancel",
    "discard_draft": "discard",
}

Seen = tuple[str, str | None] | None
"""A bounty as a reader sees it: status and holder, or nothing."""


@dataclass(slots=True, eq=False)
class Call:
    """One call of the store."""

    process: str
    kind: str
    argument: Any
    key: str | None
    called: int
    returned: int | None = None
    ended: int | None = None
    """When its caller heard something, or stopped listening, if that is not the same."""
    status: str = INFO
    seen: Seen = None
    """What a read returned, or the state with which a mutation was refused."""
    has_seen: bool = False
    error: OutcomeError | None = None

    def __str__(self) -> str:
        told = f"{self.status} {self.seen}" if self.has_seen else self.status
        span = f"{self.called}-{self.returned if self.returned is not None else ''}"
        return f"{span:>8} {self.process:<7} {self.kind}({self.argument}) {self.key or ''} {told}"


@dataclass
class History:
    """All calls of all processes, in the order in which they began."""

    calls: list[Call] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """Processes that crashed: whatever their remains still hear, nobody was told."""
    _ticks: int = 0

    def begin(self, process: str, kind: str, argument: Any, key: str | None) -> Call:
        """A call begins; what never ends stays *info*."""
        self._ticks += 1
        call = Call(process, kind, argument, key, self._ticks)
        self.calls.append(call)
        return call

    def end(self, call: Call, status: str) -> None:
        """A call ends."""
        if call.process in self.gone:
            return
        self._ticks += 1
        call.ended, call.status = self._ticks, status
        call.returned = None if status == INFO else self._ticks


def view(bounty: Bounty | None) -> Seen:
    """What a reader sees of a bounty."""
    if bounty is None:
        return None
    return bounty.status.value, bounty.claimed_by.agent_id if bounty.claimed_by else None


class RecordingStore:
    """A store whose mutations and reads of single bounties are written down."""

    def __init__(self, store: NexusBountyStore, process: str, history: History) -> None:
        self._store = store
        self._process = process
        self._history = history

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name in MUTATIONS:
            return self._recording(MUTATIONS[name], method)
        return method

    def cleaning_up(self, *, later: bool) -> RecordingStore:
        """As the store's own: another view of it, which has to be written down as well."""
        return RecordingStore(self._store.cleaning_up(later=later), self._process, self._history)

    def expecting(self, next_key: str) -> RecordingStore:
        """Likewise."""
        return RecordingStore(self._store.expecting(next_key), self._process, self._history)

    def looking_first(self) -> RecordingStore:
        """Likewise: a creation that looks first is one all the same."""
        return RecordingStore(self._store.looking_first(), self._process, self._history)

    def sharing_names(self, since: float) -> RecordingStore:
        """Likewise."""
        return RecordingStore(self._store.sharing_names(since), self._process, self._history)

    async def get_bounty(self, bounty_id: str, *, fresh: bool = True) -> Bounty | None:
        if not fresh:
            return await self._store.get_bounty(bounty_id, fresh=False)
        call = self._history.begin(self._process, "read", None, None)
        bounty = await self._store.get_bounty(bounty_id)
        call.seen, call.has_seen = view(bounty), True
        self._history.end(call, OK)
        return bounty

    async def resolve_operation(self, bounty_id: str, idempotency_key: str, **named: Any) -> Any:
        call = self._history.begin(self._process, "resolve", None, idempotency_key)
        resolution = await self._store.resolve_operation(bounty_id, idempotency_key, **named)
        call.argument = resolution.outcome.value
        self._history.end(call, OK)
        return resolution

    def _recording(
        self, kind: str, method: Callable[..., Awaitable[Bounty]]
    ) -> Callable[..., Awaitable[Bounty]]:
        async def recorded(
            *arguments: Any, idempotency_key: str | None = None, **named: Any
        ) -> Bounty:
            call = self._history.begin(
                self._process, kind, _argument(kind, arguments), idempotency_key
            )
            try:
                bounty = await method(*arguments, idempotency_key=idempotency_key, **named)
            except OutcomeError as error:
                self._told(call, error)
                raise
            except asyncio.CancelledError:
                self._history.end(call, INFO)
                raise
            self._history.end(call, OK)
            return bounty

        return recorded

    def _told(self, call: Call, error: OutcomeError) -> None:
        call.error, call.key = error, call.key or error.idempotency_key
        if isinstance(error, PostCommitError):
            self._history.end(call, OK)
        elif isinstance(error, IdempotencyMismatchError | InvalidInputError) or _is_past(error):
            self._history.calls.remove(call)  # it says nothing about the bounty
        elif isinstance(error, PreCommitError):
            _saw(call, error)
            self._history.end(call, FAIL)
        else:
            self._history.end(call, INFO)


def _is_past(error: OutcomeError) -> bool:
    """Whether a create is refused because it had happened, and was taken back."""
    return isinstance(error, BountyStateError) and error.current_status == DISCARDED


def _saw(call: Call, error: PreCommitError) -> None:
    """What a refusal says about the bounty at the time."""
    if isinstance(error, BountyNotFoundError):
        call.seen, call.has_seen = None, True
    elif isinstance(error, BountyStateError) and error.current_status:
        call.seen, call.has_seen = (error.current_status, None), True
    elif isinstance(error, BountyExistsError):
        call.seen, call.has_seen = ("some", None), True


def _argument(kind: str, arguments: tuple[Any, ...]) -> Any:
    """What matters of a mutation's arguments to the state machine."""
    match kind:
        case "create":
            return arguments[0].status.value
        case "claim" | "release":
            return arguments[1].agent_id
        case "begin_settlement" | "complete":
            return arguments[1]
    return None
