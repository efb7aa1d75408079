"""The server's clock, by the `Date` header of its answers: a second witness beside our own.

What one process takes for over by its clock is over for all who go by what it remembers. That a
clock is ahead nobody sees by that clock, so such things are decided by the earlier of two.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Final

from nexus_bounty.events.log import logger_of

logger: Final = logger_of("nexus_bounty.nexus")

AGREE_WITHIN: Final = timedelta(hours=1)
"""Clocks that differ by more are worth a word; whatever they differ by, the earlier one counts."""


class ServerClock:
    """Tells what the clock of one server shows, once an answer has said so.

    Args:
        server: The address to name in a warning, without credentials.
        elapsed: Seconds by a clock that nobody sets: ours may be put right, or wrong, in between.
    """

    def __init__(self, server: str, elapsed: Callable[[], float] = monotonic) -> None:
        self._server = server
        self._elapsed = elapsed
        self._said: tuple[str, float] | None = None
        self._has_warned = False

    def saw(self, date: str | None) -> None:
        """Keep the `Date` header of an answer that has just come, to be read if anybody asks."""
        if date is not None:
            self._said = date, self._elapsed()

    @property
    def now(self) -> datetime | None:
        """What it shows, aware; `None` if the server did not say so, or nobody can read it."""
        if self._said is None:
            return None
        date, came = self._said
        try:
            moment = parsedate_to_datetime(date)
            if moment.tzinfo is None:  # of no zone, or given twice
                return None
            return moment.astimezone(UTC) + timedelta(seconds=self._elapsed() - came)
        except (ValueError, OverflowError):
            return None

    def earlier(self, now: datetime) -> datetime:
        """`now`, or what the server's clock shows if that is earlier; warns of a clock of ours.

        Where the server's clock is unknown it is `now`. If ours is ahead by more than
        `AGREE_WITHIN`, one warning says so.
        """
        there = self.now
        if there is None or there >= now:
            return now
        if now - there > AGREE_WITHIN and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "the clock of this machine is %s ahead of that of %s: what has ended since is not "
                "taken for over, and is looked at again by each run; set whichever is wrong",
                timedelta(seconds=round((now - there).total_seconds())),
                self._server,
            )
        return there
