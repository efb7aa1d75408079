"""Where status markers lie: written as the zone is laid out, read wherever they are.

The directories of days and hours, in which the markers of ended bounties lie in a dated zone, are
within that of the status, whose recursive listing has the flat ones, too: to read both takes no
request more, and nobody needs to know the layout to miss nothing. Flat ones come first, so that
a listing meets a marker that is moved meanwhile in one of its places.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Final

from nexus_bounty.lifecycle import TERMINAL
from nexus_bounty.models import BountyStatus
from nexus_bounty.nexus.client import NexusClient, Page
from nexus_bounty.nexus.client.pages import Ask
from nexus_bounty.nexus.client.shared_names import SharedNames
from nexus_bounty.nexus.documents import paths, windows
from nexus_bounty.nexus.documents.commits import StrategyChoice
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.windows import Window
from nexus_bounty.partition import Partition

FEW: Final = 16
"""How many names are asked for where none are expected."""
_END: Final = "\U0010ffff"
"""After every name."""


class MarkerPlaces:
    """The places of the markers of one zone."""

    def __init__(self, client: NexusClient, zone: ZonePaths, choice: StrategyChoice) -> None:
        self._client = client
        self._zone = zone
        self._choice = choice
        self._names: defaultdict[str, SharedNames] = defaultdict(SharedNames)

    @property
    def are_by_date(self) -> bool:
        """Whether markers of ended bounties are written in directories of hours."""
        return self._choice.layout.is_dated

    @property
    def are_pinned(self) -> bool:
        """Whether it is said where markers are to lie; else they are well wherever they do."""
        return self._choice.layout.since is not None

    def of(self, status: BountyStatus, bounty_id: str, generation: int | None, at: datetime) -> str:
        """The marker of a bounty that enters `status` at that time, as the zone is laid out now."""
        by_date = status in TERMINAL and self.are_by_date
        return self._zone.marker(status, bounty_id, generation, ended_at=at if by_date else None)

    def elsewhere(self, marker: str, at: datetime) -> str | None:
        """Where the marker of a bounty that ended at that time lies in the other layout."""
        status = BountyStatus(paths.status_of(marker))
        if status not in TERMINAL:
            return None
        generation = paths.marker_generation(marker)
        ended_at = None if paths.day_of(marker) else at
        return self._zone.marker(status, paths.marked_id(marker), generation, ended_at=ended_at)

    def is_met_before_days(self, marker: str) -> bool:
        """Whether `marker` is a flat one that a listing meets before those of hours."""
        status = BountyStatus(paths.status_of(marker))
        return marker < f"{self._zone.statuses(status)}/{paths.DAYS}"

    def window(self, status: BountyStatus, partition: Partition) -> Window:
        """Where the markers of `status` are; those of ended bounties are not in their order."""
        if status in TERMINAL:
            return Window("", None, (), partition, is_sparse=not partition.is_everything)
        return windows.of_markers(self._zone.statuses(status), partition)

    def ask(
        self,
        status: BountyStatus,
        partition: Partition,
        since: date | None = None,
        names_since: float | None = None,
    ) -> Ask:
        """What asks for a page of the markers of `status`, after a path.

        Of ended bounties it leaves out those that did before the day `since`, where they lie by
        days, and passes over what the range has no part in, an hour at a time. Of a server that
        lists all names it goes by those that somebody listed since then, see `SharedNames`.
        """
        directory = self._zone.statuses(status)
        if status not in TERMINAL:
            return partial(self._page, directory, names_since)
        begins = self._zone.day(status, since) if since else ""
        stretch = _Stretch(directory, partition, begins)

        async def ask(after: str) -> Page:
            first = stretch.goes_on_after(after)
            if first is None:
                return Page([], None)
            # of days that are passed over a few names will do, to see what lies flat before them
            few = FEW if begins and not after and self._client.capabilities.orders_pages else None
            page = await self._page(directory, names_since, first, recursive=True, most=few)
            files = [each for each in page.paths if stretch.has(each)]
            goes_on = page.goes_on_after
            return Page(files, goes_on and stretch.goes_on_after(goes_on))

        return ask

    async def _page(
        self,
        directory: str,
        names_since: float | None,
        after: str,
        *,
        recursive: bool = False,
        most: int | None = None,
    ) -> Page:
        ask = partial(self._client.page, directory, recursive=recursive, most=most)
        if names_since is None or not self._client.capabilities.lists_whole:
            return await ask(after)
        return await self._names[directory].page(ask, after, names_since)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The part of a directory, and of those of its hours, in which the markers of a range are."""

    directory: str
    partition: Partition
    begins: str
    """The directory of the first day; empty for all of them."""

    def has(self, path: str) -> bool:
        """Whether it is a marker of the range, and not of a day before."""
        is_of_a_day_before = paths.day_of(path) is not None and path < self.begins
        if is_of_a_day_before or paths.is_day_or_hour(path):
            return False
        return self.partition.is_everything or paths.marked_id(path) in self.partition

    def goes_on_after(self, after: str) -> str | None:
        """After which path the next marker may come; `None` if none does."""
        days, hour = f"{self.directory}/{paths.DAYS}", after.rpartition("/")[0]
        if days <= after < self.begins:
            return self._before_those_of(f"{self.begins}/00")
        if not after or self.partition.is_everything or paths.is_day_or_hour(after):
            return after
        window = windows.of_markers(hour, self.partition)
        is_over = window.until is not None and after >= window.until
        if hour != self.directory:
            return self._next_after(hour) if is_over else max(after, window.after)
        if after < days:  # the days are in between, with markers of any id
            return days if is_over else min(max(after, window.after), days)
        return None if is_over else max(after, window.after)

    def _next_after(self, hour: str) -> str:
        """What comes before the markers of the range in the hour after the one in directory `hour`.

        If none has ended in that hour, a listing goes on from there all the same.
        """
        following = paths.hour_after(hour)
        return f"{hour}/{_END}" if following is None else self._before_those_of(following)

    def _before_those_of(self, hour: str) -> str:
        """What comes before the markers of the range in the directory of an hour."""
        return windows.of_markers(hour, self.partition).after or hour
