"""Which calls, by their ids, were made through one object and not told what became of them.

A later call with the same id that does not get as far as to look proves nothing of the earlier
one: whoever took its refusal for the answer would compensate for what may have happened.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from nexus_bounty.bounded_set import MOST_REMEMBERED
from nexus_bounty.outcomes import (
    AssignedError,
    CommitUnknownError,
    Evidence,
    IdempotencyMismatchError,
    InsufficientCreditsError,
    PreCommitError,
    Proof,
)

UNSEEING: Final = (Proof.NEVER_SENT, Proof.REFUSED, Proof.NONE)
"""What refusals go by that say only that this call did nothing: nobody looked for earlier ones."""


def has_looked(refusal: PreCommitError) -> bool:
    """Whether a service refuses for what it has on record, where an earlier call would be found.

    The others say only that this call did nothing: it did not arrive, or not far enough.
    """
    if isinstance(refusal, InsufficientCreditsError | AssignedError):
        return True
    return refusal.evidence.proof not in UNSEEING


def still_in_doubt(refusal: PreCommitError) -> CommitUnknownError:
    """The error for a call that did nothing, and learnt nothing of an earlier one with its id.

    That one may be a caller's, or an operation's that asks again by itself for its only caller.
    It tells what was seen rather than what the refusal says of that: that nothing has changed.
    """
    seen = refusal.evidence.observations
    why = seen[-1].answer if seen else refusal.message
    unknown = CommitUnknownError(
        "what became of an earlier try, of this call or of another with the same id, is still not "
        f"known: the last one did nothing itself, and could not find it out ({why}); ask again "
        "with the same id",
        operation=refusal.operation,
        bounty_id=refusal.bounty_id,
        idempotency_key=refusal.idempotency_key,
        evidence=Evidence(proof=Proof.NONE, observations=seen),
    )
    unknown.to_do = refusal.to_do
    return unknown


class CallsInDoubt:
    """Remembers the ids whose calls have ended in doubt, or have not ended, until one succeeds.

    Calls that failed otherwise, or were cancelled, may have happened as well. A refusal of another
    call does not end the doubt: it may have had other parameters. Once there are too many to be
    remembered, any id may have been one of them. Any number of threads may share it.

    Args:
        most: How many are remembered, besides those whose calls have not ended.
    """

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._in_doubt: OrderedDict[Hashable, None] = OrderedDict()
        self._under_way: Counter[Hashable] = Counter()
        self._has_forgotten = False
        self._lock = Lock()

    @contextmanager
    def about(self, call: Hashable) -> Iterator[None]:
        """Make one call, whose refusals are to speak of the earlier ones that are like it, too.

        Raises:
            CommitUnknownError: It was refused without a look, and one of those is in doubt.
        """
        with self._lock:
            self._under_way[call] += 1
        try:
            yield
        except PreCommitError as refusal:
            if self._is_in_doubt_without(call) and not has_looked(refusal):
                raise still_in_doubt(refusal) from refusal
            raise
        except IdempotencyMismatchError:
            with self._lock:
                self._ended(call)
            raise
        except BaseException:  # a cancelled call goes on to its end, unless it has not begun
            self._ended_in_doubt(call)
            raise
        self._succeeded(call)

    def _is_in_doubt_without(self, call: Hashable) -> bool:
        """Whether another like it may have happened, as this one ends, which has not."""
        with self._lock:
            self._ended(call)
            return self._has_forgotten or call in self._in_doubt or call in self._under_way

    def _ended_in_doubt(self, call: Hashable) -> None:
        with self._lock:
            self._ended(call)
            self._remember(call)

    def _succeeded(self, call: Hashable) -> None:
        with self._lock:
            self._ended(call)
            self._in_doubt.pop(call, None)
            if call in self._under_way:  # to whose caller it is news that it has happened
                self._remember(call)

    def _ended(self, call: Hashable) -> None:
        self._under_way[call] -= 1
        if not self._under_way[call]:
            del self._under_way[call]

    def _remember(self, call: Hashable) -> None:
        self._in_doubt[call] = None
        self._in_doubt.move_to_end(call)
        if len(self._in_doubt) > self._most:
            self._in_doubt.popitem(last=False)
            self._has_forgotten = True
