"""A lease on a whole zone, for the one process that may write it.

    indexes/bounties/writer/{n}              won once, by rename: who holds lease number n
    indexes/bounties/writer-renewed/{n}/{t}  says by its name until when: no name is written twice,
                                             so that nothing that arrives late shortens a lease
    indexes/bounties/writer-renewed/{n}/released

The highest number counts. It is taken over, by winning the next one, when it was released or ran
out longer ago than clocks may differ.
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events.log import logger_of
from nexus_bounty.events.stream import detached
from nexus_bounty.models import Stored, utc_now
from nexus_bounty.nexus.client import NexusClient, classification
from nexus_bounty.nexus.client.classification import Disposition
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import RenameQuirks
from nexus_bounty.nexus.commit.slots import Slots
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.outcomes import Evidence, Proof, UnsupportedServerError

logger = logger_of("nexus_bounty.nexus")

CLOCKS_MAY_DIFFER: Final = timedelta(seconds=30)
TAKING_MAY_LAST: Final = 150.0
"""Seconds; a rename may block the server for half a minute, and find it blocked by another."""
_RELEASED: Final = "released"
_RENEWALS_KEPT: Final = 2  # others may be reading the one before
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class LeaseHolder(Stored, frozen=True, kw_only=True):
    """Who holds a lease: `holder` is unique, the rest is for people."""

    holder: str
    host: str
    process: int
    since: datetime


class ZoneLease:
    """The lease on one zone, as one holder of it.

    Args:
        client: The server; its rename must have one winner.
        zone: The zone.
        lasts: How long the lease lasts without renewal.
        quirks: What is odd about the server's rename.
        clock: The current time, aware.
    """

    def __init__(
        self,
        client: NexusClient,
        zone: ZonePaths,
        *,
        lasts: timedelta = timedelta(seconds=120),
        quirks: RenameQuirks | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._zone = zone
        self._lasts = lasts
        self._clock = clock
        self._slots = Slots(client, quirks)
        self.holder = uuid.uuid4().hex
        self._number = 0
        self._safe_until = _EPOCH
        self._safe_until_tick = 0.0
        self._turn = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None
        self._renewed: list[str] = []

    @property
    def remaining(self) -> float:
        """For how many seconds what is sent now is covered, with a margin to arrive in."""
        by_clock = (self._safe_until - self._clock()).total_seconds()
        by_tick = self._safe_until_tick - asyncio.get_running_loop().time()
        return max(min(by_clock, by_tick), 0.0)  # a suspended machine stops one of the two

    async def hold(self) -> None:
        """Make sure that the lease is held, and go on renewing it until it is released.

        To take it may last `TAKING_MAY_LAST` seconds.

        Raises:
            UnsupportedServerError: Another process holds it (pre-commit).
            NexusError: That could not be found out.
        """
        self._client.check_home("rename", self._zone.writer_leases)
        if self.remaining:
            return
        async with self._turn:
            if not self.remaining:
                logger.info("taking zone %r for this process alone …", self._zone.zone_id)
                try:
                    await self._acquire(Deadline.after(TAKING_MAY_LAST))
                except BaseException:
                    self._safe_until_tick = 0.0  # won, perhaps, but nobody would renew it
                    raise
                # of no operation: it outlives the one that takes the zone
                self._renewing = asyncio.create_task(self._keep_renewing(), context=detached())

    async def release(self) -> None:
        """Let the next process have the zone at once.

        Raises:
            NexusError: That could not be said.
        """
        self._client.check_home("write", self._zone.writer_leases)
        self._stop_renewing()
        if self._number:
            self._safe_until_tick = 0.0
            path = self._renewal(self._number, _RELEASED)
            await self._client.write(path, b"", idempotent=True)

    async def _acquire(self, deadline: Deadline) -> None:
        """Win the next lease, unless the newest is another's."""
        self._stop_renewing()
        self._safe_until_tick = 0.0
        retries = self._client.retries
        for attempt in range(retries.attempts + 1):  # whoever tries looks once more
            newest = await self._newest(deadline)
            holder = await self._holder(newest, deadline) if newest else None
            if holder and holder.holder == self.holder and newest > self._number:
                self._number = newest
                self._covered_from(holder.since)
                # a rename may block the server for long: this waits until it takes writes again
                await self._renew(newest, deadline)
                if self.remaining:
                    return
            if holder and holder.holder != self.holder:
                await self._refuse_while_held(newest, holder, deadline)
            if attempt and not await retries.rest(attempt, deadline, why="no lease won yet"):
                break
            await self._try_for(newest + 1, deadline)
        raise NexusError(
            classification.UNLISTED,
            method="rename",
            path=self._zone.writer_leases,
            detail="the lease on the zone was won by nobody",
        )

    async def _try_for(self, number: int, deadline: Deadline) -> None:
        """Try to win lease `number`; the caller reads back who won."""
        slot = self._slot(number)
        holder = LeaseHolder(
            holder=self.holder,
            host=socket.gethostname(),
            process=os.getpid(),
            since=self._clock(),
        )
        try:
            content = msgspec.json.encode(holder)
            staged = await self._slots.stage(slot, {self.holder: content}, deadline)
            await self._slots.take(staged.get(self.holder), slot, content, deadline)
        except NexusError as error:
            if error.disposition in (Disposition.NEVER_SENT, Disposition.REFUSED):
                raise

    async def _newest(self, deadline: Deadline) -> int:
        """The number of the newest lease; 0 if there never was one."""
        names = await self._client.list(self._zone.writer_leases, deadline=deadline)
        numbers = [name.rsplit("/", 1)[-1] for name in names]
        return max((int(each) for each in numbers if each.isdecimal()), default=0)

    async def _holder(self, number: int, deadline: Deadline) -> LeaseHolder | None:
        slot = self._slot(number)
        won = await self._slots.read(slot, slot, deadline)
        if won is None:
            return None
        try:
            return msgspec.json.decode(won.content, type=LeaseHolder)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            detail = f"whoever holds the zone cannot be understood: {error}"
            raise NexusError(
                classification.UNREADABLE, method="read", path=slot, detail=detail
            ) from error

    async def _refuse_while_held(
        self, number: int, holder: LeaseHolder, deadline: Deadline
    ) -> None:
        until = await self._held_until(number, holder, deadline)
        if until >= self._clock():
            raise UnsupportedServerError(
                f"another process writes zone {self._zone.zone_id!r} alone, until "
                f"{until:%Y-%m-%d %H:%M:%S} UTC at least: {holder.process} on {holder.host}",
                evidence=Evidence(proof=Proof.NEVER_SENT),
            )

    async def _held_until(self, number: int, holder: LeaseHolder, deadline: Deadline) -> datetime:
        names = await self._client.list(self._renewals(number), deadline=deadline)
        ends = [name.rsplit("/", 1)[-1] for name in names]
        if _RELEASED in ends:
            return _EPOCH
        times = [_EPOCH + int(end) * _MILLISECOND for end in ends if end.isdecimal()]
        # one that was never renewed has been won, and its winner may be about to renew it
        return max(times, default=holder.since + self._lasts) + CLOCKS_MAY_DIFFER

    async def _renew(self, number: int, deadline: Deadline) -> None:
        """Prolong the lease from now on."""
        now = self._clock()
        end = (now + self._lasts - _EPOCH) // _MILLISECOND
        path = self._renewal(number, str(end))
        await self._client.write(path, b"", idempotent=True, deadline=deadline)
        self._renewed.append(path)
        if self.remaining:  # or others may have seen the lease run out meanwhile
            self._covered_from(now)

    def _covered_from(self, since: datetime) -> None:
        """Go by a lease or a renewal made at that time."""
        self._safe_until = (
            since + self._lasts * 3 / 4
        )  # the rest is for what is sent last to arrive
        left = (self._safe_until - self._clock()).total_seconds()
        self._safe_until_tick = asyncio.get_running_loop().time() + left

    async def _keep_renewing(self) -> None:
        pause = self._lasts.total_seconds() / 6
        while self.remaining:
            await asyncio.sleep(pause)  # no back-off: a lease is renewed at its own pace
            try:
                await self._renew(self._number, Deadline.after(pause))
                while len(self._renewed) > _RENEWALS_KEPT:
                    await self._client.delete(self._renewed[0], deadline=Deadline.after(pause))
                    del self._renewed[0]
            except NexusError:
                continue  # a later one may do; without any the lease runs out

    def _stop_renewing(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None

    def _slot(self, number: int) -> str:
        return f"{self._zone.writer_leases}/{number}"

    def _renewals(self, number: int) -> str:
        return f"{self._zone.writer_leases}-renewed/{number}"

    def _renewal(self, number: int, end: str) -> str:
        return f"{self._renewals(number)}/{end}"
