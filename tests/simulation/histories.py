"""Histories to try the linearizability checker on, as they may really happen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from random import Random
from time import perf_counter
from typing import Final

from tests.simulation.history import FAIL, INFO, OK, Call, Seen
from tests.simulation.linearizability import State, is_linearizable

OPEN: Final = State(status="open")
_KINDS: Final = ("claim", "release", "read")


@dataclass
class _Bounty:
    """The thing itself, as simple as can be: open, or claimed by somebody."""

    holder: str | None = None

    @property
    def seen(self) -> Seen:
        return ("claimed" if self.holder else "open", self.holder)

    def apply(self, call: Call) -> None:
        """Let a call take effect now, and note on it what its caller will be told."""
        agent = call.argument
        call.has_seen, call.seen = True, self.seen
        legal = {
            "read": True,
            "claim": self.holder in (None, agent),
            "release": self.holder is not None and self.holder == agent,
        }[call.kind]
        call.status = OK if legal else FAIL
        if legal and call.kind != "read":
            call.has_seen = False
            self.holder = agent if call.kind == "claim" else None


def made(random: Random, operations: int, unknown: float, processes: int = 5) -> list[Call]:
    """A history that really happened, of so many calls, of which a share ended unknown.

    A caller that is told nothing does not wait, and its call takes effect later, or never.
    """
    bounty = _Bounty()
    calls: list[Call] = []
    sent: list[Call] = []
    unheard: list[Call] = []
    applied: list[Call] = []
    for tick in count(1):
        what = random.random()
        busy = len(sent) + len(applied)
        if what < 0.4 and busy < processes and len(calls) < operations:
            call = _begun(random, len(calls), tick)
            calls.append(call)
            lost = call.kind != "read" and random.random() < unknown * 1.5  # reads never are
            (unheard if lost else sent).append(call)
        elif what < 0.6 and sent:
            call = sent.pop(random.randrange(len(sent)))
            bounty.apply(call)
            applied.append(call)
        elif what < 0.65 and unheard:
            call = unheard.pop(random.randrange(len(unheard)))
            bounty.apply(call)
            call.status, call.has_seen = INFO, False
        elif applied:
            applied.pop(random.randrange(len(applied))).returned = tick
        if len(calls) == operations and not sent and not applied:
            return calls
    raise AssertionError("counting never ends")


def _begun(random: Random, number: int, tick: int) -> Call:
    kind = random.choice(_KINDS)
    return Call(f"p{number}", kind, random.choice("abcd"), f"key-{number}", tick)


def check_many(number: int, operations: int = 200, unknown: float = 0.1) -> tuple[int, float]:
    """How many of `number` histories were found linearizable, and in how many seconds."""
    histories = [made(Random(seed), operations, unknown) for seed in range(number)]
    began = perf_counter()
    found = sum(is_linearizable(each, OPEN) for each in histories)
    return found, perf_counter() - began
