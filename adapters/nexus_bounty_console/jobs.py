"""What takes longer than a request may: it runs in the background, one thing at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from nexus_bounty.events.log import logger_of
from nexus_bounty.models import utc_now

logger = logger_of("nexus_bounty.console")

ANYBODY: Final = "whoever is at this machine"

Tell = Callable[[str], None]
"""Is told how far it has got."""
Work = Callable[[Tell], Awaitable[Any]]
AtRest = Callable[[], AbstractAsyncContextManager[None]]
"""Is entered once no step is under way any more, and lets none begin while it is open."""


class JobKind(StrEnum):
    """What can run."""

    DRY_RUN = "dry run"
    REPAIR = "repair"
    AUDIT = "audit"
    DOCTOR = "doctor"


CHANGING: Final = frozenset({JobKind.REPAIR, JobKind.DOCTOR})
"""What writes something, and so is logged with who has begun it, whatever else is."""


class BusyError(Exception):
    """Something is running already."""


@dataclass
class Job:
    """One thing that runs, or has run.

    Attributes:
        kind: What it is.
        what: The same, more closely, for people.
        who: Who has started it; empty where nobody has to log in.
        started_at: When; aware.
        finished_at: When; `None` while it runs.
        progress: How far it has got.
        result: What it has found.
        error: What has stopped it.
    """

    kind: JobKind
    what: str
    who: str
    started_at: datetime
    finished_at: datetime | None = None
    progress: str = ""
    result: Any = None
    error: BaseException | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.finished_at is None


@dataclass
class JobRunner:
    """Runs one job at a time, and remembers the last one of each kind.

    Attributes:
        changed: Is called when one has begun, got further, or ended.
        clock: The current time, aware.
    """

    changed: Callable[[], None]
    clock: Callable[[], datetime] = utc_now
    last: dict[JobKind, Job] = field(default_factory=dict)
    _current: Job | None = None
    _at_rest: AtRest | None = None
    _task: asyncio.Task[None] | None = None

    @property
    def running(self) -> Job | None:
        """What runs, if anything does."""
        return self._current if self._current and self._current.is_running else None

    def start(
        self, kind: JobKind, what: str, who: str, work: Work, at_rest: AtRest | None = None
    ) -> Job:
        """Begin it; `at_rest` says when it can be stopped without cutting a step short.

        Raises:
            BusyError: Something else is running; it was not begun.
        """
        if self.running is not None:
            raise BusyError(self.running.what)
        job = self._current = self.last[kind] = Job(kind, what, who, self.clock())
        self._at_rest = at_rest
        level = logging.WARNING if kind in CHANGING else logging.INFO
        logger.log(level, "%s: begun by %s", what, who or ANYBODY)
        self._task = asyncio.ensure_future(self._run(job, work))
        self.changed()
        return job

    async def wait(self) -> None:
        """Wait until what runs has ended."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def close(self, within: timedelta) -> None:
        """Stop what runs, between two steps if one ends in time.

        What a repair that was cut short has begun is found again by the next one.
        """
        if self._task is None:
            return
        async with AsyncExitStack() as stack:
            if self._at_rest is not None and not self._task.done():
                with suppress(TimeoutError):
                    async with asyncio.timeout(within.total_seconds()):
                        await stack.enter_async_context(self._at_rest())
            self._task.cancel()
            await self.wait()

    async def _run(self, job: Job, work: Work) -> None:
        def tell(progress: str) -> None:
            job.progress = progress
            self.changed()

        try:
            job.result = await work(tell)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever looks is told
            job.error = error
            logger.warning("%s: %s: %s", job.what, type(error).__name__, error)
        except asyncio.CancelledError as error:
            job.error = error
            raise
        finally:
            job.finished_at = self.clock()
            logger.info("%s: ended", job.what)
            self.changed()
