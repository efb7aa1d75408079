"""What a sweep remembers from run to run, so that a run costs what is new to it.

Nothing here is needed to find a problem: a reconciler that starts with nothing finds all of them,
and whatever is not remembered is looked at again.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, Final

from msgspec.structs import replace

from nexus_bounty.models import Wire

MOST_KNOWN: Final = 2**18
"""Some 50 MB for a sweep, and only where there is that much to remember."""
_A_DAY: Final = timedelta(days=1)


class Known:
    """Facts about bounties, by their ids, at most `most` of them.

    When it is full it takes no more: those that are kept go on to spare requests. To forget the
    oldest instead would spare none at all, since every run asks for all of them in the same order.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = MOST_KNOWN if most is None else most
        self._facts: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._facts)

    def get(self, bounty_id: str) -> Any:
        """What is known of a bounty; `None` if nothing is."""
        return self._facts.get(bounty_id)

    def add(self, bounty_id: str, fact: object) -> None:
        """Keep `fact` of a bounty, if there is room."""
        if bounty_id in self._facts or len(self._facts) < self._most:
            self._facts[bounty_id] = fact

    def drop(self, *bounty_ids: str) -> None:
        """What was known of these bounties may no longer be so, or is asked for no more."""
        for bounty_id in bounty_ids:
            self._facts.pop(bounty_id, None)

    def keep_only(self, bounty_ids: Container[str]) -> None:
        """What was known of all other bounties may no longer be so."""
        self._facts = {each: fact for each, fact in self._facts.items() if each in bounty_ids}

    def drop_oldest(self, number: int) -> None:
        """What has been known for longest is to be looked at again: so many bounties."""
        for bounty_id in list(islice(self._facts, number)):
            del self._facts[bounty_id]


@dataclass(slots=True)
class ClosedDays:
    """The days in which nothing ends any more, and of which all was seen to be well.

    Attributes:
        since: The first day that is still to be looked at; `None` for all of them.
        left: The first day on which something was met, in the walk under way, that is not well.
        first_open: The first day that was still open when that walk began; `None` if its end is to
            tell nothing.
    """

    since: date | None = None
    left: date | None = None
    first_open: date | None = None

    def begin(self, first_open: date | None) -> None:
        """Begin a walk; `first_open` is the first day that is still open, if there are days.

        Nobody can have seen a day well that is still open. Who says so had a clock that was ahead,
        and what it remembers is given up; by a day the clocks of two hosts differ around midnight.
        """
        self.first_open, self.left = first_open, None
        if first_open is None or (self.since and self.since - first_open > _A_DAY):
            self.since = None
        elif self.since is not None:
            self.since = min(self.since, first_open)

    def found(self, day: date | None) -> None:
        """Note that something is not well on `day`; of what lies in no day it is not known when."""
        first = day or date.min
        self.left = first if self.left is None else min(self.left, first)

    def is_closed(self, day: date | None) -> bool:
        """Whether nothing ends on `day` any more."""
        return day is not None and self.first_open is not None and day < self.first_open

    def give_up(self) -> None:
        """Conclude nothing from the walk under way: a part of it was another's."""
        self.first_open = None

    def close(self) -> None:
        """End a walk that has gone through all days from `since` on."""
        if self.first_open is not None:
            self.since = min(self.first_open, self.left or date.max)


class SweepMemory(Wire, frozen=True, kw_only=True):
    """What outlives the process of what a sweep remembers: for which days it need not look again.

    Attributes:
        since: See `ClosedDays`.
        left: See `ClosedDays`.
        first_open: The first day that was still open when the walk under way began, if one is.
        reads_documents: See `SweepState`.
        read_documents_at: See `SweepState`.
    """

    since: date | None = None
    left: date | None = None
    first_open: date | None = None
    reads_documents: bool = True
    read_documents_at: datetime | None = None

    @property
    def spares_nothing(self) -> bool:
        """Whether a sweep that recalls it looks at everything anyway."""
        return self.since is None and self.first_open is None

    def between_walks(self) -> SweepMemory:
        """The same without the walk under way: of a part of it nobody knows what was met."""
        return replace(self, first_open=None, reads_documents=False)


@dataclass(slots=True)
class SweepState:
    """What one sweep remembers.

    Attributes:
        known: What need not be looked at again for now.
        after: How far it has gone through its history: it goes on after this.
        is_through: Whether it has gone through all of it.
        days: Of which days it need not look at what ended then.
        reads_documents: Whether an audit of markers reads the documents, too.
        read_documents_at: When it did that last, to the end.
    """

    known: Known = field(default_factory=Known)
    after: str = ""
    is_through: bool = False
    days: ClosedDays = field(default_factory=ClosedDays)
    reads_documents: bool = True
    read_documents_at: datetime | None = None

    @property
    def memory(self) -> SweepMemory:
        """What a sweep in another process may go by, once it knows where this one has got."""
        days = self.days
        return SweepMemory(
            since=days.since,
            left=days.left,
            first_open=days.first_open,
            reads_documents=self.reads_documents,
            read_documents_at=self.read_documents_at,
        )

    def recall(self, memory: SweepMemory) -> None:
        """Take over what another process remembers."""
        self.days = ClosedDays(memory.since, memory.left, memory.first_open)
        self.reads_documents = memory.reads_documents
        self.read_documents_at = memory.read_documents_at

    def begin_again(self) -> None:
        """Go through the history from its beginning."""
        self.after, self.is_through = "", False
