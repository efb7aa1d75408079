"""The upper bound on requests in a second: they leave evenly spaced, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nexus_bounty import NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from tests.support.virtual import virtual


async def read_many(number: int, **settings: Any) -> tuple[MockNexus, float]:
    """So many reads at once; the mock, and how long they took."""
    mock = MockNexus("0.10-hypothetical")
    chosen = NexusSettings(retry_attempts=1, **settings)
    clock = asyncio.get_running_loop().time
    async with NexusClient("http://nexus", settings=chosen, transport=mock.transport()) as client:
        began = clock()
        await asyncio.gather(*(client.read(f"/zones/z/{each}") for each in range(number)))
        return mock, clock() - began


@virtual
async def test_no_more_requests_leave_in_a_second_than_is_said() -> None:
    """However many wait, the first leaves at once."""
    mock, took = await read_many(21, max_requests_per_second=4.0)
    assert mock.request_count == 21
    assert took == pytest.approx(5)


@virtual
async def test_without_a_bound_they_leave_at_once() -> None:
    """As ever."""
    _, took = await read_many(21)
    assert took == 0
