"""Where what waits belongs: connections, locks and tasks are of one event loop of one process.

A lock of asyncio that is freed in one loop wakes nobody in another: who waits there waits for ever.
So whatever keeps any is used in one loop at a time, and refuses another before it waits for
anything.
"""

from __future__ import annotations

import asyncio
import os
from threading import Lock
from typing import NamedTuple


class Home(NamedTuple):
    """The process and the event loop in which something is used."""

    process: int
    loop: asyncio.AbstractEventLoop

    def why_not(self, here: Home) -> str | None:
        """Why what is at home in this one cannot be used `here`; `None` if it can."""
        if self.process != here.process:
            return "was used in another process, before a fork: make one for each process"
        if self.loop is not here.loop:
            return "was used in another event loop before: make one for each loop"
        return None

    def is_gone(self, here: Home) -> bool:
        """Whether, as it looks from `here`, nothing runs there any more."""
        return self.process != here.process or self.loop.is_closed()


def here() -> Home:
    """This process and the event loop that runs."""
    return Home(os.getpid(), asyncio.get_running_loop())


class HomeLoop:
    """The event loop that something is used in: the first one in which anybody asks.

    Args:
        moves: Whether that may be another loop once the first is closed, or the process forked:
            nothing is left there that would be missed.
    """

    def __init__(self, *, moves: bool = False) -> None:
        self._moves = moves
        self._home: Home | None = None
        self._settling = Lock()  # two loops may ask first in the same moment

    @property
    def is_here_or_nowhere(self) -> bool:
        """Whether it is this loop, or none so far."""
        return self._home is None or self._home.why_not(here()) is None

    def why_not(self) -> str | None:
        """Why it cannot be this loop; `None` if it is, or becomes it now."""
        now, home = here(), self._home
        if home is None or (self._moves and home.why_not(now) and home.is_gone(now)):
            with self._settling:
                if self._home is home:
                    self._home = now
                home = self._home
        return home.why_not(now) if home else None
