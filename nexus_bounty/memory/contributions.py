"""Contributions kept in memory."""

from __future__ import annotations

from collections.abc import Iterable

from nexus_bounty.models import Contribution


class MemoryContributionStore:
    """A `ContributionStore` that has what was put into it."""

    def __init__(self, contributions: Iterable[Contribution] = ()) -> None:
        self._contributions = {item.cid: item for item in contributions}

    def add(self, contribution: Contribution) -> None:
        """Make a contribution known; content ids name content, so that it never changes."""
        self._contributions.setdefault(contribution.cid, contribution)

    async def get(self, cid: str) -> Contribution | None:
        """The contribution with content id `cid`, or `None`."""
        return self._contributions.get(cid)
