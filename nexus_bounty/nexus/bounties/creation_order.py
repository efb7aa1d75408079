"""The order of creation: where it is kept, every marker of an open bounty has a dated twin.

Twins list newest first, so that the newest bounties are found without reading the date of every
one. A dated marker is written in the same batch as its marker, before the commit that both
announce, and removed with it; all that makes markers safe holds for twins, see `status_index`.
Three things may stand between the names and the truth:

- A dated marker may be stale, or one too many. Listings check every document, as ever.
- A program of another kind writes none, and no listing can tell without reading every name. So it
  is pinned in the zone whether twins are written, and where others are known to write
  (`follow_at_once`), the order is not gone by.
- A process may not have seen yet what is pinned: it looks every few minutes, and a pin of its own
  that was under way may have taken the other's place for a moment. So the order is gone by only
  when it has been pinned for longer than any request can be under way.
- Bounties may be older than the pin. So the order is gone by only where a file that sorts before
  all dated markers, and names that very pin, says that it is complete. The audit of the index
  decides: it takes a walk through all bounties, begun when the pin was old enough, that meets none
  of another program and no marker without its twin. Whoever meets one later goes by the order no
  more, and the reconciler takes the file away.

A dated marker rides in batches that are sent anyway: a server that knows no batches gets none, and
other statuses have none, as theirs would be requests of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Final

from nexus_bounty.models import BountyStatus
from nexus_bounty.nexus.client import NexusClient, Page
from nexus_bounty.nexus.client.quirks import Extra
from nexus_bounty.nexus.documents import paths
from nexus_bounty.nexus.documents.commits import StrategyChoice
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.statuses import STATUSES

Place = tuple[datetime, str]
"""Where a bounty stands in a listing: by its time of creation, then by its id; newest is last."""

DATED: Final = tuple(status for status, row in STATUSES.items() if row.dated)
ASKED_AGAIN_AFTER: Final = timedelta(minutes=1)
"""How long a zone is taken to have no complete order after it had none."""
FEWEST_NAMES: Final = 64
"""How many names a page has at least: a few stale ones among the newest cost no further page."""


@dataclass(frozen=True, slots=True)
class Dated:
    """A bounty as its dated marker says."""

    place: Place
    path: str


class CreationOrder:
    """The dated markers of one zone, and whether all of its bounties have them."""

    def __init__(
        self,
        client: NexusClient,
        zone: ZonePaths,
        choice: StrategyChoice,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._zone = zone
        self._choice = choice
        self._clock = clock
        self._not_before: datetime | None = None
        self._has_stranger = False
        self._complete: tuple[datetime | None, bool] | None = None
        self._noted: tuple[datetime | None, bool] | None = None

    @property
    def is_kept(self) -> bool:
        """Whether dated markers are written here."""
        can_ride = self._client.capabilities.has(Extra.BULK_WRITES) is not False
        return self._choice.layout.is_dated and can_ride

    @property
    def begun(self) -> datetime | None:
        """Since when it is pinned that it is kept; `None` while that may not be known to all."""
        layout, lasts = self._choice.layout, self._client.settings.tombstone_retention
        if not self.is_kept or layout.since is None or self._clock() - layout.since <= lasts:
            return None
        return layout.since

    def twins(self, markers: Sequence[str], created_at: datetime) -> list[str]:
        """The dated markers that go with `markers`, where and of what they are kept."""
        if not self.is_kept:
            return []
        directories = tuple(f"{self._zone.statuses(status)}/" for status in DATED)
        return [paths.dated(each, created_at) for each in markers if each.startswith(directories)]

    async def page(self, status: BountyStatus, number: int) -> Page | None:
        """The first page of the dated markers of `status`, to find `number` bounties on.

        `None` if it is not known that all bounties are in the order.
        """
        begun = self.begun
        if status not in DATED or begun is None or self._is_not_to_be_asked():
            return None
        size = self._client.settings.page_size + 1  # the file that says so is there, too
        if self._client.capabilities.orders_pages:  # else a page may do for nothing
            size = min(size, max(2 * number, FEWEST_NAMES))
        page = await self._client.page(self._zone.newest_first(status), most=size)
        if self._zone.all_are_dated(status, begun) not in page.paths:
            self._not_before = self._clock() + ASKED_AGAIN_AFTER
            return None
        dated = [each for each in page.paths if not paths.says_that_all_are_dated(each)]
        return Page(dated, page.goes_on_after)

    def _is_not_to_be_asked(self) -> bool:
        if self._client.settings.follow_at_once or self._has_stranger:
            return True
        return self._not_before is not None and self._clock() < self._not_before

    async def newest_first(self, status: BountyStatus, page: Page) -> AsyncIterator[Dated]:
        """The bounties of `page`, and of those after it, in the order of a listing.

        Those that were created at the same moment are held at once: names have their ids the other
        way round.
        """
        same: list[Dated] = []
        async for moment, its in self._by_moment(status, page):
            if same and same[0].place[0] != moment:
                for each in sorted(same, key=lambda dated: dated.place, reverse=True):
                    yield each
                same = []
            same += its
        for each in sorted(same, key=lambda dated: dated.place, reverse=True):
            yield each

    async def _by_moment(
        self, status: BountyStatus, page: Page
    ) -> AsyncIterator[tuple[datetime, list[Dated]]]:
        while True:
            for moment, markers in groupby(
                ((paths.date_of(each), each) for each in page.paths), itemgetter(0)
            ):
                yield moment, [self._dated(moment, marker) for _, marker in markers]
            if page.goes_on_after is None:
                return
            directory = self._zone.newest_first(status)
            page = await self._client.page(directory, page.goes_on_after)

    def _dated(self, moment: datetime, marker: str) -> Dated:
        bounty_id = paths.marked_id(paths.undated(marker))
        return Dated((moment, bounty_id), self._zone.bounty(bounty_id))

    # Whether it is complete

    def saw_stranger(self) -> None:
        """Note that there is a bounty which another program wrote: it may write others."""
        self._has_stranger = True

    def conclude(self, begun: datetime | None, *, is_complete: bool) -> None:
        """Take over what an audit of the whole index found out, for the order that `begun` then."""
        self._complete = begun, is_complete and begun is not None
        if is_complete:
            self._has_stranger = False

    async def note(self) -> None:
        """Write down whether listings may go by the order, if that is to be changed.

        Raises:
            NexusError: It could not be written; another call does.
        """
        begun = self.begun
        says = self._says(begun)
        if begun is None or says is None or self._noted == (begun, says):
            return
        files = [self._zone.all_are_dated(status, begun) for status in DATED]
        if says:
            await self._client.write_many(dict.fromkeys(files, b""))
            self._not_before = None
        else:
            await self._client.delete_many(files)
        self._noted = begun, says

    def _says(self, begun: datetime | None) -> bool | None:
        """Whether the order that `begun` then is complete; `None` if that is not known."""
        if self._has_stranger:
            return False
        return self._complete[1] if self._complete and self._complete[0] == begun else None
