"""AutoCommit: commits in the way that a probe found to be safe on the server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast
from weakref import WeakValueDictionary

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events.log import logger_of
from nexus_bounty.models import utc_now
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.nexus.commit.conditional import ConditionalCommit
from nexus_bounty.nexus.commit.single_writer import SingleWriter
from nexus_bounty.nexus.documents.commits import CommitStrategy, StrategyChoice, ZoneReads
from nexus_bounty.nexus.documents.marker_layout import Layout, ZoneLayout
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.probe import Verdict
from nexus_bounty.nexus.selection.strategy_selection import (
    MAX_AGE,
    NotPinnedError,
    PinnedVerdict,
    choose,
    pinned_verdict,
    reader_for,
    strategy_for,
)
from nexus_bounty.outcomes import InvalidInputError, UnsupportedServerError
from nexus_bounty.transactions import Clock

logger = logger_of("nexus_bounty.nexus")

CommitOption = CommitStrategy | StrategyChoice | Literal["auto", "conditional"]
"""How a store commits: in a way of its own, as a probe finds to be safe, or by preconditions."""

Choice = CommitStrategy | UnsupportedServerError

RECHECK_MAY_LAST: Final = 5.0
"""Seconds; what is known already will do if the server is slow to say its version."""
UNPINNED_RECHECK: Final = timedelta(seconds=5)
RECHECK: Final = timedelta(minutes=5)
"""How often what is pinned is looked at again."""

_NEVER = datetime.min.replace(tzinfo=UTC)
_shared: WeakValueDictionary[tuple[int, str], AutoCommit] = WeakValueDictionary()


def strategy_choice(
    option: CommitOption, client: NexusClient, zone_id: str, clock: Clock = utc_now
) -> StrategyChoice:
    """The choice that `option` stands for, which goes by the `clock` of the store.

    Stores on one client and zone share what they find, unless each was given a clock of its own.

    Raises:
        InvalidInputError: It stands for none.
    """
    if option == "conditional":
        return Fixed(ConditionalCommit(client), client.settings)
    if option == "auto":
        # the id of a client is its own for as long as this, which refers to it, is kept
        return _shared_by(client, zone_id, clock)
    if hasattr(option, "for_writing"):  # which is quicker to see than the whole protocol
        return cast("StrategyChoice", option)
    if not hasattr(option, "ready"):  # likewise
        raise InvalidInputError("commit", option, "must be auto, conditional or a strategy")
    return Fixed(option, client.settings)


def _shared_by(client: NexusClient, zone_id: str, clock: Clock) -> AutoCommit:
    """What stores share that go by the same clock, or by whichever another was given."""
    found = _shared.get((id(client), zone_id))
    if found is not None and found.clock == utc_now:
        found.go_by(clock)
    if found is None or clock not in (found.clock, utc_now):
        found = _shared[id(client), zone_id] = AutoCommit(client, zone_id, clock=clock)
    return found


class Fixed:
    """No choice: always the same strategy, whatever is pinned.

    So the zone is laid out as the settings say, flat if they leave it open: whoever commits unseen
    sees to it that all programs of the zone do the same.
    """

    def __init__(self, strategy: CommitStrategy, settings: NexusSettings) -> None:
        self._strategy = strategy
        self.layout = ZoneLayout(
            kind=Layout("flat" if settings.layout == "auto" else settings.layout)
        )

    async def for_reading(self, deadline: Deadline) -> CommitStrategy:  # noqa: ARG002
        """The strategy."""
        return self._strategy

    async def for_writing(self, deadline: Deadline) -> CommitStrategy:
        """The strategy, ready."""
        await self._strategy.ready(deadline)
        return self._strategy


class FixedAsPinned(Fixed):
    """The same strategy always, in a zone that is laid out as is pinned: that is looked up once."""

    def __init__(self, strategy: CommitStrategy, client: NexusClient, zone_id: str) -> None:
        super().__init__(strategy, client.settings)
        self._client = client
        self._zone = ZonePaths(zone_id)
        self._has_looked = False

    async def for_reading(self, deadline: Deadline) -> CommitStrategy:
        """The strategy.

        Raises:
            NexusError: What is pinned in the zone could not be read.
        """
        if not self._has_looked:
            pinned = await pinned_verdict(self._client, self._zone, deadline)
            self.layout = pinned.layout if pinned else self.layout
            self._has_looked = True
        return self._strategy

    async def for_writing(self, deadline: Deadline) -> CommitStrategy:
        """The strategy, ready.

        Raises:
            NexusError: What is pinned in the zone could not be read.
        """
        await self.for_reading(deadline)
        return await super().for_writing(deadline)


class AutoCommit:
    """Finds out before the first write how commits are safe, and commits in that way.

    What it finds is pinned in the zone, for every other program that uses it, and looked at
    again when the server becomes another version or the verdict is old. On an unsafe server it
    reads, and refuses every commit with `UnsupportedServerError` before anything is written.

    A read goes by what is pinned, and finds out nothing: it writes nothing but what was committed
    by rename and whose writer died before its file was up to date.

    It is not in the way of what it chose: whoever asks gets the strategy itself.

    Args:
        client: The server.
        zone_id: The zone; the client's setting if not given.
        wanted: The strategy to insist on. `SINGLE_WRITER` says that no other process writes the
            zone; close this then, to let the next one have it.
        max_age: How old a pinned verdict may be.
        recheck: How often the server is asked for its version.
        clock: The current time, aware.
    """

    def __init__(
        self,
        client: NexusClient,
        zone_id: str | None = None,
        *,
        wanted: Verdict | None = None,
        max_age: timedelta = MAX_AGE,
        recheck: timedelta = RECHECK,
        clock: Clock = utc_now,
    ) -> None:
        self._client = client
        self._zone = ZonePaths(zone_id if zone_id is not None else client.settings.zone_id)
        self._wanted = wanted
        self._max_age = max_age
        self._recheck = recheck
        self.clock = clock
        self._finding_out = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._checked = self._looked = _NEVER
        self._chosen: Choice | None = None
        self._pinned: PinnedVerdict | None = None
        self._has_told_of_layout = False
        self._reader = reader_for(None, client)
        self.verdict: PinnedVerdict | None = None
        """What it goes by, once it has found out."""

    @property
    def layout(self) -> ZoneLayout:
        """How the zone is laid out, as it was pinned when it was looked at last; flat before."""
        return self._pinned.layout if self._pinned else ZoneLayout()

    def go_by(self, clock: Clock) -> None:
        """Go by another clock from now on; what was found is looked at once more by that one."""
        if clock != self.clock:
            self.clock = clock
            self._checked = self._looked = _NEVER

    async def close(self) -> None:
        """Give the zone back, if it was held for this process alone."""
        if isinstance(self._chosen, SingleWriter):
            await self._chosen.close()

    async def for_writing(self, deadline: Deadline) -> CommitStrategy:
        """The strategy to commit with; found out, or looked at again, if it is time.

        Raises:
            UnsupportedServerError: There is none; nothing was written (pre-commit).
            NexusError: It could not be found out.
        """
        self._client.check_home("probe", self._zone.pinned_verdict)
        clock = asyncio.get_running_loop().time
        began = clock()
        async with self._finding_out:
            chosen = self._chosen
            if chosen is None or self._is_due(self._checked):
                chosen = await self._find_out(chosen, deadline)
        if isinstance(chosen, UnsupportedServerError):
            raise UnsupportedServerError(chosen.message, evidence=chosen.evidence)
        await chosen.ready(deadline.put_off(clock() - began))
        return chosen

    async def for_reading(self, deadline: Deadline) -> ZoneReads:
        """What sees all that was committed, by the verdict that is pinned.

        Raises:
            NexusError: The pinned verdict could not be read.
        """
        self._client.check_home("read", self._zone.pinned_verdict)
        async with self._looking:
            looked = self._looked
            is_known = self._pinned is not None and self._pinned.strategy is not None
            every = self._recheck if is_known else UNPINNED_RECHECK
            if self.clock() - looked > every:
                pinned = await pinned_verdict(self._client, self._zone, deadline)
                if self._looked == looked:  # nothing newer was found out, or pinned, meanwhile
                    self._read_by(pinned)
        return self._reader

    def _is_due(self, last: datetime) -> bool:
        return self.clock() - last > self._recheck

    async def _find_out(self, before: Choice | None, deadline: Deadline) -> Choice:
        """What is safe now; what was chosen `before` if the server cannot be asked."""
        try:
            within = deadline.within(RECHECK_MAY_LAST) if before else deadline
            chosen = self._chosen = await self._choose(before, within)
        except NexusError:
            if before is None:
                raise
            return before  # it will hardly commit now; ask again next time
        self._checked = self.clock()
        if self.verdict is not None:
            self._read_by(self.verdict)
        if isinstance(before, SingleWriter) and before is not chosen:
            await before.close()
        return chosen

    async def _choose(self, before: Choice | None, deadline: Deadline) -> Choice:
        known = self.verdict
        try:
            found = await choose(
                self._client,
                self._zone,
                deadline,
                wanted=self._wanted,
                max_age=self._max_age,
                clock=self.clock,
            )
        except NotPinnedError as error:  # which the next operation may do
            raise UnsupportedServerError(error.message, evidence=error.evidence) from error
        except UnsupportedServerError as error:
            self.verdict = None
            return error
        self.verdict = found
        same = known and (known.strategy, known.quirks) == (found.strategy, found.quirks)
        return before if same and before else self._strategy_for(found)

    def _strategy_for(self, found: PinnedVerdict) -> CommitStrategy:
        return strategy_for(found, self._client, self._zone, self.clock)

    def _read_by(self, pinned: PinnedVerdict | None) -> None:
        self._pinned = pinned
        if pinned and pinned.layout.differs_from(self._client.settings):
            self._tell_of_layout(pinned.layout)
        self._reader = reader_for(pinned, self._client)
        self._looked = self.clock()

    def _tell_of_layout(self, layout: ZoneLayout) -> None:
        if not self._has_told_of_layout:
            self._has_told_of_layout = True
            logger.warning(
                "the zone %s is laid out %s, which is gone by, and not NEXUS_LAYOUT=%s; "
                "nexus-bounty layout changes it for all",
                self._zone.zone_id,
                layout.kind.value,
                self._client.settings.layout,
            )
