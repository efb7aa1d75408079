"""A memory of objects that keeps none of them alive."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from functools import partial
from typing import Final

MOST_KEPT: Final = 100
"""How many are kept alive all the same, of those that no weak reference can be made to."""


class WeakMemory:
    """Which objects were added, each with a name, for as long as they live.

    Of objects to which no weak reference can be made the latest are remembered.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, object], weakref.ref[object]] = {}
        self._kept: OrderedDict[tuple[int, object], object] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known) + len(self._kept)

    def add(self, item: object, name: object) -> bool:
        """Remember it; returns whether it was not known."""
        key = id(item), name
        if key in self._known or key in self._kept:
            return False
        try:
            self._known[key] = weakref.ref(item, partial(self._forget, key))
        except TypeError:
            self._kept[key] = item
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return True

    def _forget(self, key: tuple[int, object], _gone: object) -> None:
        self._known.pop(key, None)
