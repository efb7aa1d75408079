"""Tests on virtual time: sleeps and timeouts are exact, cost nothing, and mind no busy machine."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from nexus_bounty.testing.virtual_time import run

P = ParamSpec("P")


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test that uses neither sockets nor threads on virtual time."""

    @functools.wraps(test)
    def wrapped(*args: P.args, **named: P.kwargs) -> None:
        run(test(*args, **named))

    return wrapped


def elapsed() -> float:
    """Seconds since the test began, waiting included."""
    return asyncio.get_running_loop().time()
