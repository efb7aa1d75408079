"""Operations under way: what everything inside them is attributed to, and how they end.

Which one it is goes along with the task, and with those that it starts, in a context variable.
Where nobody listens, none of it is set up.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from itertools import count
from types import TracebackType
from typing import Final, Self

from nexus_bounty.events.stream import (
    Around,
    Observers,
    around,
    joined,
    publish,
    still_under_way,
    under_way,
)
from nexus_bounty.events.types import (
    DoubtCause,
    DoubtResolved,
    Event,
    Identity,
    Layer,
    OperationBegan,
    OperationEnded,
    OperationInfo,
    OutcomeUnknown,
    Place,
    StepOwed,
    told_as,
)
from nexus_bounty.inherited import inherited
from nexus_bounty.outcomes import Outcome, OutcomeError, PostCommitError, Proof

MOST_DOUBTS: Final = 10_000

_numbers = count(1)
_UNTRACKED: Final = nullcontext()


class Tracked(Around):
    """An operation under way, as a context manager from its call to its end."""

    operation: OperationInfo

    __slots__ = (
        "_began",
        "_decided_by",
        "_found",
        "_loop",
        "_lost_at",
        "_may_land",
        "_proof",
        "_requests",
    )

    def __init__(self, operation: OperationInfo, observers: Observers, decided_by: str) -> None:
        super().__init__(operation, observers)
        self._decided_by = decided_by
        self._loop = asyncio.get_running_loop()  # gone, perhaps, when a lost task is closed
        self._began = self._loop.time()
        self._requests = 0
        self._may_land = False
        self._proof: Proof | None = None
        self._found: tuple[Outcome, Proof] | None = None
        self._lost_at: float | None = None

    def __enter__(self) -> Self:
        """Begin."""
        self.before = under_way()
        if OperationBegan.heard:
            with _within(self):
                publish((), OperationBegan)
        around.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        try:
            self._conclude(error)
        finally:  # no token: this may be another context, of whoever closes a generator
            self.is_over = True
            around.set(self.before)

    def _conclude(self, error: BaseException | None) -> None:
        outcome, proof = self._ended(error)
        before = still_under_way(self.before)
        if isinstance(error, PostCommitError):
            owes(error.pending, error.__cause__ or error)
        if before is not None:
            before.owed |= self.owed
        if isinstance(before, Tracked) and before._decided_by == self.operation.key:  # noqa: SLF001
            before._proof = proof  # noqa: SLF001 - it is this very class
        self._mind_doubts(outcome, proof, error)
        if OperationEnded.heard:
            self._tell(outcome, proof, error)

    def count_request(self) -> None:
        """One more was sent, by it and so by those around it."""
        self._requests += 1
        if isinstance(self.before, Tracked):
            self.before.count_request()

    def may_land(self) -> None:
        """From now on it may be committed, whatever stops it."""
        self._may_land = True

    def lost_answer(self) -> None:
        """What it sent may have been committed: the answer says nothing."""
        self._lost_at = self._loop.time()

    def superseded(self) -> None:
        """What it sent was not, and it goes on with something else."""
        self._lost_at = None

    def proved(self, proof: Proof) -> None:
        """It is committed, which is known by `proof`, if not by what proved it before."""
        self._proof = self._proof or proof
        if self._lost_at is not None:
            self._resolve(DoubtCause.LOST_ANSWER, Outcome.COMMITTED, proof, self._lost_at)
            self._lost_at = None

    def found(self, outcome: Outcome, proof: Proof) -> None:
        """It was there to find out what became of another, which is this."""
        self._found = outcome, proof

    def _ended(self, error: BaseException | None) -> tuple[Outcome | None, Proof | None]:
        if isinstance(error, OutcomeError):
            return error.outcome, error.evidence.proof
        if error is not None:
            return Outcome.UNKNOWN if self._may_land else None, None
        return self._found or (Outcome.COMMITTED, self._proof)

    def _tell(
        self, outcome: Outcome | None, proof: Proof | None, error: BaseException | None
    ) -> None:
        publish(
            (),
            OperationEnded,
            outcome,
            proof,
            self._loop.time() - self._began,
            self._requests,
            error.pending if isinstance(error, PostCommitError) else (),
            type(error).__name__ if error else None,
        )

    def _mind_doubts(
        self, outcome: Outcome | None, proof: Proof | None, error: BaseException | None
    ) -> None:
        if outcome is Outcome.UNKNOWN:
            if still_under_way(self.before) is None:  # else it is done anew with that, or owed
                _doubts.begin(self.operation, self._loop.time())
                publish((), OutcomeUnknown, type(error).__name__)
        elif outcome is not None and outcome is not Outcome.OTHER_OPERATION:
            since = _doubts.end(self.operation)
            if self._found is not None:
                self._resolve(DoubtCause.ASKED, outcome, proof, since)
            elif since is not None:
                self._resolve(DoubtCause.EARLIER_CALL, outcome, proof, since)
            elif self._lost_at is not None:
                self._resolve(DoubtCause.LOST_ANSWER, outcome, proof, self._lost_at)

    def _resolve(
        self, cause: DoubtCause, outcome: Outcome, proof: Proof | None, since: float | None
    ) -> None:
        publish((), DoubtResolved, cause, outcome, proof, _seconds(since, self._loop.time()))


class _Doubts:
    """Since when the operations of this process have been in doubt that are."""

    def __init__(self) -> None:
        self._since: OrderedDict[Identity, float] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, operation: OperationInfo, now: float) -> None:
        with self._lock:
            self._since.setdefault(operation.identity, now)
            if len(self._since) > MOST_DOUBTS:
                self._since.popitem(last=False)

    def end(self, operation: OperationInfo) -> float | None:
        if not self._since:
            return None
        with self._lock:
            return self._since.pop(operation.identity, None)

    def of_operations(self, place: Place) -> list[Identity]:
        with self._lock:
            known = [*self._since]
        return [each for each in known if each.place == place and each.layer == "operations"]


_doubts: Final = _Doubts()


def tracked(
    layer: Layer,
    name: str,
    bounty_id: str,
    key: str,
    observers: Observers = (),
    *,
    place: Place,
    decided_by: str = "",
) -> AbstractContextManager[object]:
    """An operation from its call to its end: all that happens meanwhile is attributed to it.

    `place` is where it works; `decided_by` is the key of the step that decides it.
    """
    if not Event.heard:
        return _UNTRACKED
    now = under_way()
    parent = now.operation if now else None
    operation = _info(layer, name, key, bounty_id, place, parent)
    return Tracked(operation, joined(observers), decided_by)


def _info(
    layer: Layer,
    name: str,
    key: str,
    bounty_id: str,
    place: Place,
    parent: OperationInfo | None = None,
) -> OperationInfo:
    """What events say of an operation that is new in this process."""
    number = next(_numbers)
    return OperationInfo(number, layer, name, key, bounty_id, place.zone_id, parent, place.server)


def _seconds(since: float | None, now: float) -> float | None:
    return None if since is None else max(now - since, 0.0)


@contextmanager
def level_triggered() -> Iterator[None]:
    """What is done by looking at how things stand, however it ended the last time.

    Nobody repeats it with its key or asks what became of it: so nothing inside is in doubt.
    """
    now = under_way()
    if now is not None:
        with _within(now):
            yield
        return
    mine = Around(None, ())
    try:
        with _within(mine):
            yield
    finally:
        mine.is_over = True


@contextmanager
def _within(what: Around) -> Iterator[None]:
    before = under_way()
    around.set(what)
    try:
        yield
    finally:
        around.set(before)


def in_doubt(place: Place) -> list[Identity]:
    """The operations in a zone that are in doubt here, oldest first."""
    return _doubts.of_operations(place)


def found_out(
    name: str,
    bounty_id: str,
    key: str,
    outcome: Outcome,
    observers: Observers = (),
    *,
    place: Place,
    if_in_doubt: bool = False,
) -> bool:
    """What became of an operation was found out by somebody else: its doubt ends.

    Returns whether that is told: always where somebody listens, or only `if_in_doubt` still, so
    that of those who find it out at the same time one tells of it.
    """
    if not DoubtResolved.heard:
        return False
    operation = _info("operations", name, key, bounty_id, place)
    since = _doubts.end(operation)
    if since is None and if_in_doubt:
        return False
    seconds = _seconds(since, asyncio.get_running_loop().time())
    with _within(Around(operation, joined(observers))):
        publish((), DoubtResolved, DoubtCause.ASKED, outcome, None, seconds)
    return True


def current() -> Tracked | None:
    """The operation under way, where somebody listens."""
    now = under_way()
    return now if isinstance(now, Tracked) else None


def may_land() -> None:
    """From now on, the operation under way may be committed, whatever stops it."""
    if now := current():
        now.may_land()


def owes(steps: Sequence[str], error: BaseException, observers: Observers = ()) -> None:
    """Steps after a commit did not come through: tell of those that have not been told of yet."""
    now = under_way()
    for step in dict.fromkeys(steps):
        if now is None or step not in now.owed:
            publish(observers, StepOwed, step, told_as(error))
    if now is not None:
        now.owed |= frozenset(steps)


def lost_answer() -> None:
    """An answer to what the operation under way has sent says nothing of its commit."""
    if now := current():
        now.lost_answer()


def superseded() -> None:
    """What the operation under way has sent took no effect: that is no doubt about itself."""
    if now := current():
        now.superseded()


def proved(proof: Proof) -> None:
    """The operation under way is committed, which is known by `proof`."""
    if now := current():
        now.proved(proof)


def found(outcome: Outcome, proof: Proof) -> None:
    """The operation under way has found out what became of another: that is its outcome."""
    if now := current():
        now.found(outcome, proof)


class RequestCounter:
    """Counts the requests that are sent while it is entered, by tasks that are begun then, too."""

    __slots__ = ("_token", "number")

    def __init__(self) -> None:
        self.number = 0
        self._token: Token[RequestCounter | None] | None = None

    def __enter__(self) -> Self:
        """Begin to count."""
        self._token = _counter.set(self)
        return self

    def __exit__(self, *_error: object) -> None:
        """Count no more."""
        if self._token is not None:
            _counter.reset(self._token)


_counter: Final[ContextVar[RequestCounter | None]] = inherited("request_counter")


def count_request() -> None:
    """A request is sent: for whoever counts, and the operation under way, if there is one."""
    if (counter := _counter.get()) is not None:
        counter.number += 1
    if OperationEnded.heard and (now := current()):
        now.count_request()
