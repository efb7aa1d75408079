"""One key for one intent: a call that is repeated with the same arguments is the same operation."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from nexus_bounty.idempotency import new_key
from nexus_bounty.models import utc_now
from nexus_bounty.outcomes import Outcome

MOST_REMEMBERED: Final = 10_000
_START: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class CallKey:
    """A key, since when a call has it, and whether it is in doubt what became of that call."""

    key: str
    at: datetime
    in_doubt: bool = False


class Keys:
    """The keys of calls: what is repeated within `window` has the one that it had before.

    A call whose outcome is unknown keeps its key for as long as this is remembered; one that did
    not happen, and no longer can, has a new one the next time. The first key of a call follows
    from the caller, the arguments and the window in which it is made, so that a repeat after the
    process was started anew mostly has the same as well.

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
        if use is None or not (use.in_doubt or self._clock() - use.at < self._window):
            use = self._remember(call, self._derived(call, use))
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
        return self._remember(call, new_key())

    def _derived(self, call: str, before: CallKey | None) -> str:
        window = (self._clock() - _START) // self._window
        key = hashlib.sha256(f"{window} {call}".encode()).hexdigest()[:32]
        return new_key() if before is not None and before.key == key else key

    def _remember(self, call: str, key: str) -> CallKey:
        use = self._uses[call] = CallKey(key, self._clock())
        self._uses.move_to_end(call)
        if len(self._uses) > MOST_REMEMBERED:
            self._uses.popitem(last=False)
        return use


def owned(agent_id: str, key: str) -> str:
    """The key under which an agent's operation is known: no agent can name another one's."""
    mine = f"{hashlib.sha256(agent_id.encode()).hexdigest()[:12]}-"
    return key if key.startswith(mine) else f"{mine}{key}"


def intent(agent_id: str, tool: str, arguments: Mapping[str, Any]) -> str:
    """What a call is: who makes it, what for, with which arguments."""
    return msgspec.json.encode([agent_id, tool, arguments], order="sorted").decode()
