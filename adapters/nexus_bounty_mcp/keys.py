"""One key for one intent: a call that is repeated with the same arguments is the same operation."""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nexus_bounty.models import utc_now
from nexus_bounty.outcomes import Outcome
from nexus_bounty.ports import JournaledOperation, OperationJournal

MOST_REMEMBERED: Final = 10_000
_OWNED: Final = re.compile("[0-9a-f]{12}-")
_UNKNOWN_BETWEEN: Final = 1
"""How many keys of a call that the journal does not know may lie before one that it knows."""
_START: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class CallKey:
    """A key, since when a call has it, and whether it is in doubt what became of that call.

    Attributes:
        key: The key.
        at: Since when; aware.
        in_doubt: Whether it may have happened, or may yet.
        turn: How many keys the call has had before in the same window.
    """

    key: str
    at: datetime
    in_doubt: bool = False
    turn: int = 0


@dataclass(frozen=True)
class _Past:
    """What the journal has of one call."""

    call: str
    journal: OperationJournal
    zone_id: str
    agent_id: str

    async def entry(self, key: str) -> JournaledOperation | None:
        return await self.journal.find_operation(self.zone_id, owned(self.agent_id, key))

    async def in_doubt(self) -> CallKey | None:
        """The key with which it is in doubt, however long ago it was made."""
        mine = owned(self.agent_id, _begins(self.call))
        async for entry in self.journal.open_operations(self.zone_id):
            if entry.key.startswith(mine):
                key = entry.key.removeprefix(_mark(self.agent_id))
                return CallKey(key, entry.began_at, in_doubt=True)
        return None


class Keys:
    """The keys of calls: what is repeated within `window` has the one that it had before.

    A call whose outcome is unknown keeps its key until it is known; one that did not happen, and
    no longer can, has a new one the next time. Keys follow from the call, the window in which it
    is made and how many it has had in it, so that a process that is started anew, or another one,
    finds them in the journal.

    Args:
        window: For how long a call that is repeated is the same one.
        clock: The current time, aware.
    """

    def __init__(
        self,
        window: timedelta = timedelta(minutes=10),
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._window = window
        self._clock = clock
        self._uses: OrderedDict[str, CallKey] = OrderedDict()

    def of(self, call: str) -> CallKey:
        """The key of a call, which is named by `intent`."""
        use = self._uses.get(call)
        if use is None:
            use = self._remember(call, 0)
        elif not (use.in_doubt or self._clock() - use.at < self._window):
            in_window = use.key == self._derived(call, self._number(), use.turn)
            use = self._remember(call, use.turn + 1 if in_window else 0)
        return use

    def ended(self, call: str, outcome: Outcome) -> None:
        """Remember what became of it."""
        use = self._uses.get(call)
        if use is not None and outcome is Outcome.PRE_COMMIT:
            self.renew(call)
        elif use is not None:
            use.in_doubt = outcome is Outcome.UNKNOWN

    def renew(self, call: str) -> CallKey:
        """A new key: the next call is another operation."""
        use = self._uses.get(call)
        return self._remember(call, use.turn + 1 if use else 0)

    async def recall(
        self, call: str, journal: OperationJournal, zone_id: str, agent_id: str
    ) -> None:
        """Find the key that a call had in an earlier process, if this one has not seen the call.

        Args:
            call: Which, see `intent`.
            journal: Where its operation was written down.
            zone_id: The zone that it works on.
            agent_id: Whose call it is.

        Raises:
            PreCommitError, CommitUnknownError: The journal could not be read.
        """
        if call in self._uses:
            return
        past = _Past(call, journal, zone_id, agent_id)
        use = await self._latest(past, self._number()) or await self._latest(
            past, self._number() - 1
        )
        if use is None or not use.in_doubt:
            use = await past.in_doubt() or use
        if use is not None and call not in self._uses:
            self._keep(call, use)

    async def _latest(self, past: _Past, number: int) -> CallKey | None:
        """The latest key of a call in one window, if it is still the one to use."""
        turn, known, latest = 0, 0, None
        while turn <= known + _UNKNOWN_BETWEEN:
            key = self._derived(past.call, number, turn)
            turn += 1
            if entry := await past.entry(key):
                known, latest = turn, self._again(entry, key, turn - 1)
        if known and latest is None and number == self._number():
            key = self._derived(past.call, number, known)
            return CallKey(key, self._clock(), turn=known)  # those before it are done with
        return latest

    def _again(self, entry: JournaledOperation, key: str, turn: int) -> CallKey | None:
        is_done_with = entry.outcome is Outcome.PRE_COMMIT
        if is_done_with or self._clock() - entry.began_at >= self._window:
            return None
        return CallKey(key, entry.began_at, in_doubt=entry.is_open, turn=turn)

    def _number(self) -> int:
        return (self._clock() - _START) // self._window

    def _derived(self, call: str, number: int, turn: int) -> str:
        rest = hashlib.sha256(f"{number} {turn} {call}".encode()).hexdigest()[:12]
        return f"{_begins(call)}{rest}"

    def _remember(self, call: str, turn: int) -> CallKey:
        return self._keep(
            call, CallKey(self._derived(call, self._number(), turn), self._clock(), turn=turn)
        )

    def _keep(self, call: str, use: CallKey) -> CallKey:
        self._uses[call] = use
        self._uses.move_to_end(call)
        if len(self._uses) > MOST_REMEMBERED:
            self._uses.popitem(last=False)
        return use


def owned(agent_id: str, key: str) -> str:
    """The key under which an agent's operation is known: no agent can name another one's."""
    mine = _mark(agent_id)
    return key if key.startswith(mine) else f"{mine}{key}"


def names_owner(key: str) -> bool:
    """Whether a key says already whose it is."""
    return _OWNED.match(key) is not None


def intent(agent_id: str, tool: str, arguments: Mapping[str, Any]) -> str:
    """What a call is: who makes it, what for, with which arguments, whatever these are."""
    return json.dumps([agent_id, tool, arguments], sort_keys=True, separators=(",", ":"))


def _mark(agent_id: str) -> str:
    return f"{hashlib.sha256(agent_id.encode()).hexdigest()[:12]}-"


def _begins(call: str) -> str:
    """What every key of a call begins with."""
    return hashlib.sha256(call.encode()).hexdigest()[:20]
