"""A database that is away: said in one line, and in one more once it is there again.

A pool tries several times a second while a call waits, and would say so each time, in words that
tell nobody whether there is anything to do.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Final

import psycopg

from nexus_bounty.events.log import logger_of

logger = logger_of("nexus_bounty.postgres")

SAME_WITHIN = 10.0
"""Within how many seconds of the end of an absence nobody is told of another one."""

# The error of the call says why there is no connection. Where nothing is said of logging, Python
# would print each try of the pool besides.
_pool_log: Final = logging.getLogger("psycopg.pool")
_pool_log.addHandler(logging.NullHandler())


class Absence:
    """Tells once that something on a database cannot be reached, until it was reached again.

    What is away again at once is the same absence: a server that starts lets one in and another
    not, and so does one that has too many connections.

    Args:
        what: What it is, as people are told.
        meanwhile: What is done about it.
    """

    def __init__(self, what: str, meanwhile: str) -> None:
        self._what = what
        self._meanwhile = meanwhile
        self._is_told = False
        self._ended_at = -math.inf

    def began(self, why: object) -> None:
        """It could not be reached; only the first line of `why` is for people."""
        if not self._is_told and time.monotonic() >= self._ended_at + SAME_WITHIN:
            self._is_told = True
            reason = str(why).partition("\n")[0]
            logger.warning("%s cannot be reached: %s. %s", self._what, reason, self._meanwhile)

    def ended(self) -> None:
        """It was reached."""
        if self._is_told:
            self._is_told = False
            self._ended_at = time.monotonic()
            logger.warning("%s can be reached again", self._what)


class _OthersAlone(logging.Filter):
    """Lets no pool of ours say that it has no connection: whoever opens them tells it better.

    Pools of others say what they like.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ours: set[str] = set()

    def add(self, pool: str) -> None:
        """Whatever `pool` says of connections is told by us from now on."""
        self._ours.add(pool)

    def drop(self, pool: str) -> None:
        """It is no pool of ours any more."""
        self._ours.discard(pool)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to say it."""
        if record.levelno < logging.WARNING:
            return True
        about = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if isinstance(about, psycopg.BaseConnection):  # which it discards
            return not (isinstance(about, Told) and about.closed)
        return not (isinstance(about, str) and about in self._ours)


class Told:
    """Of connections that mix this in a pool says nothing when it discards them as closed."""


quiet: Final = _OthersAlone()
_pool_log.addFilter(quiet)


def is_away(error: BaseException | None) -> bool:
    """Whether an error says, or one that it came of, that a database could not be used."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return True
        error = error.__cause__ or error.__context__
    return False
