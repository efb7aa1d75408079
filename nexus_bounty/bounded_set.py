"""A memory of what happened lately, bounded by number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

MOST_REMEMBERED: Final = 10_000
"""Some megabytes for each of these, so that a process that runs for long soon stops growing."""


class BoundedSet:
    """The latest `most` things that were added, each counted from when it was added last."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._items: OrderedDict[Hashable, None] = OrderedDict()

    def __contains__(self, item: Hashable) -> bool:
        return item in self._items

    def add(self, item: Hashable) -> None:
        """Remember `item`, and forget the oldest if there are too many."""
        self._items[item] = None
        self._items.move_to_end(item)
        if len(self._items) > self._most:
            self._items.popitem(last=False)

    def discard(self, item: Hashable) -> None:
        """Forget `item` if it is remembered."""
        self._items.pop(item, None)
