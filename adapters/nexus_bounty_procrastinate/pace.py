"""How many requests all workers together send to a server in a second.

Turns are leased from a row of the database, some at a time: whoever takes them moves the next turn
of everybody on. A worker that has nothing to send takes none, so that the others may send more; a
turn that was not used at its time is gone, or several workers could send what each had saved at
once.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import psycopg

from nexus_bounty.home import HomeLoop
from nexus_bounty.nexus.client import classification
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.retry import RetryPolicy
from nexus_bounty_postgres.absence import Absence
from nexus_bounty_postgres.conninfo import conninfo_of, place_of

LEASED_FOR: Final = 0.5
"""For how many seconds turns are leased at once: often enough to share, and seldom enough."""
_OTHERS: Final = 20
"""How many may have turns besides twice the workers that are known: some have only just begun."""
_TICK: Final = 1e-6
"""No clock need be read more finely than this."""
_PATIENT: Final = RetryPolicy(attempts=sys.maxsize, base=0.5, cap=2.0)

_UNTIL: Final = "No request is sent until it is there again, which is waited for"

Lease = Callable[[float], Awaitable[float]]
"""Takes all turns of so many seconds; returns in how many seconds from now they begin."""


class FleetPace:
    """Says when a request may leave, evenly spaced among all who lease from the same place.

    Each turn is used before the next one begins, or not at all. So in no second, whenever it
    begins, more leave than the bound and one: the last moment of a turn, and the first of another.
    When they arrive is the network's.

    Args:
        per_second: How many may leave in a second at most; the same wherever it is said.
        lease: Takes turns.
    """

    def __init__(self, per_second: float, lease: Lease) -> None:
        self._apart = 1 / per_second
        self._at_once = max(1, math.floor(per_second * LEASED_FOR))
        self._lease = lease
        self._next = 0.0
        self._left = 0
        self._order = asyncio.Lock()
        self._home = HomeLoop()

    async def turn(self) -> None:
        """Wait for the next turn, after all of this process who asked before.

        A turn lasts until the next one. Who wakes up later than that has missed it, and takes
        another: several that were late would else be used at once.

        Raises:
            NexusError: It is for requests of another event loop.
        """
        if why := self._home.why_not():
            detail = f"this pace {why}"
            raise NexusError(classification.OTHER_LOOP, method="turn", path="", detail=detail)
        now = asyncio.get_running_loop().time
        async with self._order:
            while not self._is_on(now()):
                if self._left:
                    await asyncio.sleep(self._next - now())
                else:
                    begins_in = await self._lease(self._at_once * self._apart)
                    self._next, self._left = now() + begins_in, self._at_once
            self._next += self._apart
            self._left -= 1

    def _is_on(self, now: float) -> bool:
        """Whether the next turn has begun, after those that were missed are dropped."""
        while self._left and self._next + self._apart <= now:
            self._next += self._apart
            self._left -= 1
        return self._left > 0 and self._next <= now + _TICK


class LeasedTurns:
    """Leases turns from a row of the table `nexus_bounty_paces`.

    Args:
        url: The database with the jobs.
        server: Whom the requests are for.

    Raises:
        InvalidInputError: libpq can make nothing of the URL.
    """

    def __init__(self, url: str, server: str) -> None:
        self._conninfo = conninfo_of(url)
        self._absence = Absence(f"The row of {place_of(url)} that says when requests leave", _UNTIL)
        self._server = server
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def lease(self, seconds: float) -> float:
        """Take all turns of the next `seconds` that nobody has; returns in how many they begin.

        Where the database cannot be reached it is asked again, and nothing may leave meanwhile.
        Turns so far ahead that nobody can have them, as after its clock was set back, are dropped.
        """
        return await _PATIENT.persist(
            lambda: self._taken_or_told(seconds), lambda error: isinstance(error, psycopg.Error)
        )

    async def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _taken_or_told(self, seconds: float) -> float:
        try:
            begins_in = await self._taken(seconds)
        except psycopg.Error as error:
            self._absence.began(error)
            await self.close()
            raise
        self._absence.ended()
        return begins_in

    async def _taken(self, seconds: float) -> float:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                self._conninfo, autocommit=True, prepare_threshold=None
            )
        values = {"server": self._server, "seconds": seconds, "others": _OTHERS}
        found = await (await self._connection.execute(_TAKE, values)).fetchone()
        return 0.0 if found is None else max(float(found[0]), 0.0)


_TAKE: Final = """
    INSERT INTO nexus_bounty_paces AS pace (server, next_at)
    VALUES (%(server)s, clock_timestamp() + make_interval(secs => %(seconds)s))
    ON CONFLICT (server) DO UPDATE SET
        next_at = make_interval(secs => %(seconds)s) + CASE
            WHEN pace.next_at > clock_timestamp() + make_interval(secs => %(seconds)s) * (
                %(others)s + 2 * (SELECT count(*) FROM procrastinate_workers)
            ) THEN clock_timestamp()
            ELSE greatest(pace.next_at, clock_timestamp())
        END
    RETURNING extract(epoch FROM next_at - clock_timestamp()) - %(seconds)s::numeric
"""
"""What lies further ahead than all who are there can have taken was put there by a wrong clock.

Each takes no more until it has used what it has.

Of a number of the floating kind, settings of the database decide how many digits are told.
"""
