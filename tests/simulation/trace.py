"""What happened in one run, in order, as text that two runs of one schedule share byte for byte."""

from __future__ import annotations

import asyncio
from typing import Any

from nexus_bounty.mock.oracle import ReceivedRequest

_WIDTH = 110


class Trace:
    """Remembers what happened; it is put into words only when somebody reads it."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, str, str, tuple[Any, ...]]] = []

    def note(self, actor: str, what: str) -> None:
        """Something about an actor."""
        self._add(actor, "{}", what)

    def hazard(self, actor: str, where: str, hazard: str) -> None:
        """Something goes wrong."""
        self._add(actor, "      !! {} at {}", hazard, where)

    def request(self, actor: str, operation: str, request: ReceivedRequest) -> None:
        """A request that reached the network; what became of it is seen when it is read."""
        self._add(actor, "{:<9} {}", operation, request)

    def ledger(self, actor: str, where: str, result: Any) -> None:
        """A call that the ledger carried out."""
        status = getattr(getattr(result, "status", None), "value", result)
        self._add(actor, "          {} -> {}", where, status)

    def _add(self, actor: str, words: str, *what: Any) -> None:
        self._entries.append((asyncio.get_running_loop().time(), actor, words, what))

    def lines(self) -> list[str]:
        """Everything, one line each: the simulated time in seconds, the actor, what happened."""
        return [
            f"{at:10.3f}  {actor:<7} {_cut(words.format(*what))}"
            for at, actor, words, what in self._entries
        ]


def _cut(text: str) -> str:
    text = text.replace("/zones/default/", "…/").replace(", return_metadata=True", "")
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
