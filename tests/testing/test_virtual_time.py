"""The loop on which waiting costs no time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from nexus_bounty.testing.virtual_time import EPOCH, VirtualTimeLoop, wall_clock


@pytest.mark.parametrize("days", [0, 194, 195, 1_000, 100_000])
def test_a_timer_comes_however_long_the_loop_has_run(days: int) -> None:
    """After 2**24 seconds, 194 days, its clock counts in steps of more than a nanosecond."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(start=86400.0 * days)) as runner:
        assert runner.run(_after_some_waits()) >= EPOCH + timedelta(days=days, seconds=29)


async def _after_some_waits() -> datetime:
    for _ in range(100):
        await asyncio.sleep(0.3)
    return wall_clock()
