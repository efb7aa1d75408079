"""What this process has tried, and so can no longer call "never sent"."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

MOST_REMEMBERED: Final = 65_536


class Attempts:
    """The operations that have happened, or may have, as far as this process knows.

    That nothing leaves *now* proves nothing about an operation that was tried before under the
    same key. The latest `MOST_REMEMBERED` are kept.
    """

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._tried: OrderedDict[Hashable, None] = OrderedDict()

    def __contains__(self, operation: Hashable) -> bool:
        return operation in self._tried

    def add(self, operation: Hashable) -> None:
        """It has happened, or may have, or may yet."""
        self._tried[operation] = None
        self._tried.move_to_end(operation)
        if len(self._tried) > self._most:
            self._tried.popitem(last=False)

    def rule_out(self, operation: Hashable) -> None:
        """It provably did not happen and can no longer happen."""
        self._tried.pop(operation, None)
