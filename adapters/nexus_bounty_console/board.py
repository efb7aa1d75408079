"""All bounties of a zone, held for whoever looks: searched, filtered and cut into pages here.

Nexus knows no search, and a page of a listing there costs as much as the whole: so the whole is
read once for everybody. After that only those are read again that can still change, which in an old
zone are few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Generic, TypeVar

from nexus_bounty.lifecycle import TERMINAL
from nexus_bounty.models import Bounty, BountyQuery, BountyStatus, composed, is_wanted
from nexus_bounty.nexus.bounties.store import NexusBountyStore

T = TypeVar("T")

PAGE: Final = 50
"""How many bounties one page shows."""


@dataclass(frozen=True)
class Search:
    """What to show.

    Attributes:
        words: All of them must be in the id, a title, a description or the name of an agent.
        status: Only these; all if there are none.
        creator: Only what this agent has posted.
    """

    words: str = ""
    status: Sequence[str] = ()
    creator: str | None = None


@dataclass(frozen=True)
class BoardPage(Generic[T]):
    """One page of what was found.

    Attributes:
        items: What it shows.
        total: How many were found in all.
        number: Which page it is, from 1.
        size: How many a page holds.
    """

    items: Sequence[T]
    total: int
    number: int
    size: int = PAGE

    @property
    def count(self) -> int:
        """How many pages there are; one if nothing was found."""
        return max(1, -(-self.total // self.size))

    @property
    def first(self) -> int:
        """The place of its first bounty, from 1."""
        return (self.number - 1) * self.size + 1


def cut(found: Sequence[T], number: int, size: int = PAGE) -> BoardPage[T]:
    """One page of `found`; the last one if there are not so many."""
    last = max(1, -(-len(found) // size))
    number = min(max(number, 1), last)
    first = (number - 1) * size
    return BoardPage(found[first : first + size], len(found), number, size)


@dataclass(frozen=True)
class Board:
    """Every bounty of a zone as it was read.

    Attributes:
        bounties: All of them, newest first.
        unreadable: What is wrong with each document that cannot be understood, by its id.
    """

    bounties: Sequence[Bounty] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_status(self) -> Counter[str]:
        """How many bounties are in each status."""
        return Counter(each.status.value for each in self.bounties)

    def number_of(self, statuses: Iterable[BountyStatus]) -> int:
        """How many bounties are in any of some statuses."""
        return sum(self.by_status[each.value] for each in statuses)

    @cached_property
    def by_id(self) -> Mapping[str, Bounty]:
        """Each bounty by its id."""
        return {each.bounty_id: each for each in self.bounties}

    @cached_property
    def _texts(self) -> Sequence[str]:
        return [_text_of(each) for each in self.bounties]

    def found(self, search: Search) -> list[Bounty]:
        """The bounties that fit, newest first."""
        words = _folded(search.words).split()
        pairs = zip(self.bounties, self._texts, strict=True) if words else ()
        among = [each for each, text in pairs if all(word in text for word in words)]
        return [
            each
            for each in (among if words else self.bounties)
            if (not search.status or each.status.value in search.status)
            and is_wanted(search.creator, each.creator.agent_id)
        ]

    def changed_since(self, before: Board) -> set[str]:
        """The ids of the bounties that are new, other than they were, or gone."""
        earlier = before.by_id
        changed = {name for name, each in self.by_id.items() if earlier.get(name) != each}
        return changed | (earlier.keys() - self.by_id.keys())


async def read_board(store: NexusBountyStore) -> Board:
    """Read every bounty; where the server tells what has changed, not what has not.

    Raises:
        NexusError: They could not be read.
    """
    unreadable: dict[str, str] = {}
    found = [each async for each in store.walk_bounties(unreadable=unreadable)]
    return Board(_newest_first(found), unreadable)


async def read_living(store: NexusBountyStore, before: Board) -> Board:
    """The board as it was `before`, but for the bounties that can still change, and new ones.

    What is created and ended between two looks is not seen, nor what another program does to a
    bounty that has ended.

    Raises:
        NexusError: They could not be read.
    """
    unreadable = dict(before.unreadable)
    living = BountyQuery(status=[each for each in BountyStatus if each not in TERMINAL])
    found = {
        each.bounty_id: each async for each in store.walk_bounties(living, unreadable=unreadable)
    }
    ended = [
        name
        for name, each in before.by_id.items()
        if name not in found and each.status not in TERMINAL
    ]
    kept = {name: each for name, each in before.by_id.items() if each.status in TERMINAL}
    kept |= found
    kept |= await store.get_bounties(ended) if ended else {}
    return Board(_newest_first(kept.values()), unreadable)


def _newest_first(bounties: Iterable[Bounty]) -> list[Bounty]:
    return sorted(bounties, key=lambda each: (each.created_at, each.bounty_id), reverse=True)


def _text_of(bounty: Bounty) -> str:
    claimer = bounty.claimed_by.agent_id if bounty.claimed_by else ""
    parts = bounty.bounty_id, bounty.title, bounty.creator.agent_id, claimer, bounty.description
    return _folded("\n".join(parts))


def _folded(text: str) -> str:
    """`text` as it is searched: neither case nor the way in which accents are stored counts."""
    return composed(text).casefold()
