"""What a sweep remembers from run to run, so that a run costs what is new to it.

Nothing here is needed to find a problem: a reconciler that starts with nothing finds all of them,
and whatever is not remembered is looked at again.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

MOST_KNOWN: Final = 2**18
"""About 40 MB for each of the two sweeps that remember anything, and only in zones that large."""

FINISHED: Final = "finished"
"""Where a sweep stands that has been through everything; no path or id of ours is called so."""


class Known:
    """Facts about ids that hold until they are dropped, at most `most` of them.

    When it is full it takes no more: those that are kept go on to spare requests. To forget the
    oldest instead would spare none at all, since every run asks for all of them in the same order.
    """

    def __init__(self, most: int = MOST_KNOWN) -> None:
        self._most = most
        self._facts: dict[str, Hashable] = {}

    def __len__(self) -> int:
        return len(self._facts)

    def has(self, subject: str, fact: Hashable = None) -> bool:
        """Whether just this is known of `subject`."""
        return subject in self._facts and self._facts[subject] == fact

    def add(self, subject: str, fact: Hashable = None) -> None:
        """Keep `fact` of `subject`, if there is room."""
        if subject in self._facts or len(self._facts) < self._most:
            self._facts[subject] = fact

    def drop(self, subject: str) -> None:
        """What was known of `subject` may no longer be so."""
        self._facts.pop(subject, None)


@dataclass(slots=True)
class Notes:
    """The notes of one sweep.

    Attributes:
        known: What need not be looked at again for now.
        after: How far it has gone through its history: behind this it goes on.
    """

    known: Known = field(default_factory=Known)
    after: str = ""
