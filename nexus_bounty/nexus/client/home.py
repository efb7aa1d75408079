"""Where connections belong: to one event loop of one process."""

from __future__ import annotations

import asyncio
import os
from typing import NamedTuple


class Home(NamedTuple):
    """The process and the event loop in which connections were opened."""

    process: int
    loop: asyncio.AbstractEventLoop

    def why_not(self, here: Home) -> str | None:
        """Why connections of this home cannot be used `here`; `None` if they can."""
        if self.process != here.process:
            return "was used in another process, before a fork: make one for each process"
        if self.loop is not here.loop:
            return "was used in another event loop before: make one for each loop"
        return None


def here() -> Home:
    """This process and the event loop that runs."""
    return Home(os.getpid(), asyncio.get_running_loop())
