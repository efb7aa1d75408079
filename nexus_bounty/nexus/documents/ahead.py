"""What was done ahead of operations that are expected soon.

An operation that begins a moment later, over the very document that was expected, takes it up. What
nobody takes up has done no harm: a marker that is stale, a staged file that is swept.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from nexus_bounty.nexus.client.round_trips import RoundTrips
from nexus_bounty.nexus.documents import Document
from nexus_bounty.nexus.documents.cache import Bounded
from nexus_bounty.nexus.documents.commits import Intent

MOST_AHEAD: Final = 1024


class DoneAhead:
    """The intents for which something was done ahead.

    It is used for as long as a life may last on this server, since what it says of the time is as
    old. Its age could do no other harm: over a base that is not the last any more, the name to be
    won is taken. Whether another program, which wins no names, has changed that base meanwhile is
    known for a moment only; after it the commit looks again.

    Args:
        round_trips: Says how long these times are.
    """

    def __init__(self, round_trips: RoundTrips) -> None:
        self._round_trips = round_trips
        self._intents: Bounded[tuple[Intent, float]] = Bounded(MOST_AHEAD)
        self._keys: Bounded[str] = Bounded(MOST_AHEAD)

    def keep(self, intent: Intent | None, *, keyless: bool = False) -> None:
        """Keep `intent` for when its operation begins, if something was done ahead for it.

        Those whose operations have not begun in time are forgotten. One that will come `keyless`
        takes up the key of what was done ahead, see `key_of`.
        """
        self._intents.drop_oldest(lambda kept: not self._is_usable(kept[1]))
        if intent is not None and intent.prepared is not None:
            kept = intent, _now()
            self._intents.put(_name(intent.path, intent.record.key), kept)
            if keyless:
                self._keys.put(_name(intent.path, intent.record.kind), intent.record.key)

    def key_of(self, path: str, kind: str) -> str | None:
        """The key of what was done ahead for an operation that has none of its own; once.

        Nobody else knows it, and nothing was committed with it: it is as good as a new one.
        """
        name = _name(path, kind)
        key = self._keys.get(name)
        self._keys.drop(name)
        return key

    def take(self, path: str, key: str, fingerprint: str, base: Document | None) -> Intent | None:
        """The intent of the operation with this key, if it is still what is to be done; once."""
        name = _name(path, key)
        intent, at = self._intents.get(name) or (None, 0.0)
        if intent is None:
            return None
        self._intents.drop(name)
        asks_the_same = intent.record.fingerprint == fingerprint
        if not (self._is_usable(at) and asks_the_same and _are_same(intent.base, base)):
            return None
        return intent if _now() - at <= self._looked_at_for(intent) else _to_be_looked_at(intent)

    def _looked_at_for(self, intent: Intent) -> float:
        """For how many seconds the look at its base will do: no longer where others write it."""
        return self._round_trips.quick if intent.promptly else self._round_trips.moment

    def _is_usable(self, at: float) -> bool:
        return _now() - at <= self._round_trips.life


def _to_be_looked_at(intent: Intent) -> Intent:
    """The same, with its base to be looked at once more."""
    if intent.prepared is None:
        return intent
    return replace(intent, prepared=replace(intent.prepared, base_checked=False))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _name(path: str, key: str) -> str:
    return f"{path} {key}"


def _are_same(expected: Document | None, base: Document | None) -> bool:
    if expected is None or base is None:
        return expected is base
    return expected.file.content == base.file.content
