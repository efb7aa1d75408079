"""The connections of a worker to the database with its jobs, and what is said when they break.

procrastinate writes a traceback for whatever the database interrupts: each part of a worker, each
job. The worker itself says in a line what has happened, and begins again; so of these tracebacks
none of ours is shown.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any, Final, Self

import psycopg
from procrastinate import PsycopgConnector
from procrastinate.worker import WORKER_NAME
from psycopg_pool import AsyncConnectionPool

from nexus_bounty_postgres.absence import Absence, Told, is_away, quiet

WAIT: Final = 5.0
"""How many seconds a connection is waited for: by then others take over from who has none."""
_LOGGERS: Final = (
    "procrastinate.utils",
    "procrastinate.worker",
    f"procrastinate.worker.{WORKER_NAME}",
    "psycopg",
    "psycopg.transaction",
)
_JOBS: Final = "process job nexus_bounty.", "Ranges.give_back()"
"""How asyncio calls them."""
_AS_IT_IS_READ: Final = """
    SET DateStyle TO 'ISO'; SET IntervalStyle TO 'postgres'; SET extra_float_digits TO 1
"""
_is_ours: Final[ContextVar[bool]] = ContextVar("_is_ours", default=False)


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    """Make a session of procrastinate's understand times and numbers as the driver does.

    Its statements and ours go by these settings, which anybody may change for a role or a database.

    Raises:
        psycopg.Error: The database did not do it.
    """
    await connection.execute(_AS_IT_IS_READ)
    await connection.commit()


class JobConnector(PsycopgConnector):
    """A connector that tells when no connection can be opened, and when one can be again.

    Args:
        conninfo: What libpq is given.
        absence: Is told.
    """

    def __init__(self, conninfo: str, absence: Absence) -> None:
        self._absence = absence
        super().__init__(
            pool_factory=self._quiet_pool,
            conninfo=conninfo,
            kwargs={"prepare_threshold": None},
            configure=_configure,
            timeout=WAIT,
        )

    def _quiet_pool(self, **how: Any) -> AsyncConnectionPool[Any]:
        absence = self._absence

        class Opened(Told, psycopg.AsyncConnection[Any]):
            @classmethod
            async def connect(cls, *words: Any, **settings: Any) -> Self:
                try:
                    opened = await super().connect(*words, **settings)
                except psycopg.Error as error:
                    absence.began(error)
                    raise
                absence.ended()
                return opened

        pool = AsyncConnectionPool(connection_class=Opened, **how)
        quiet.add(pool.name)
        return pool

    async def open_async(self, pool: AsyncConnectionPool[Any] | None = None) -> None:
        """Open the connections; of what could not be opened nothing is left to be used again.

        Raises:
            ConnectorException: They could not be opened.
        """
        try:
            await super().open_async(pool)
        except BaseException:
            await self.close_async()
            raise

    async def close_async(self) -> None:
        """Close all connections."""
        name = self._async_pool.name if self._async_pool is not None else ""
        await super().close_async()
        quiet.drop(name)


def say_it_ourselves() -> None:
    """Show no traceback of procrastinate from here on, of what a database that is away interrupts.

    In this task and in those that it begins: other users of procrastinate in this process are
    shown theirs.
    """
    _is_ours.set(True)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_worth_saying)  # which is there once, however often
    logging.getLogger("asyncio").addFilter(_is_no_job_of_ours)


def _is_worth_saying(record: logging.LogRecord) -> bool:
    if not _is_ours.get():
        return True
    words = record.args if isinstance(record.args, tuple) else ()
    raised = record.exc_info[1] if record.exc_info else None
    return not any(isinstance(each, Exception) and is_away(each) for each in (raised, *words))


def _is_no_job_of_ours(record: logging.LogRecord) -> bool:
    """Of a job that could not say how it ended, nobody asks for its error.

    The database was away, or another worker had taken the job from one that was slow, and was done.
    """
    is_job = any(each in record.getMessage() for each in _JOBS)
    error = record.exc_info[1] if is_job and record.exc_info else None
    was_taken = error is not None and isinstance(error.__cause__, psycopg.errors.RaiseException)
    return not (was_taken or is_away(error))
