"""What a client gets that trusts the preconditions of a real server: the counter-example."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from nexus_bounty import NexusClient
from nexus_bounty.nexus.client.errors import NexusError
from tests.live.servers import CONSTANT, DROPPING, RACING, fresh_zone, live_server

pytestmark = pytest.mark.live

WRITERS = 8
ROUNDS = 5


async def told_that_they_won(client: NexusClient, path: str, etag: str | None) -> int:
    """How many of those who write over `etag` at once are told that they have."""

    async def write(number: int) -> bool:
        try:
            await client.write(path, f"by {number}".encode(), if_match=etag)
        except NexusError:
            return False
        return True

    return sum(await asyncio.gather(*(write(number) for number in range(WRITERS))))


@pytest.mark.parametrize("release", [*RACING, CONSTANT])
async def test_several_writers_are_told_that_they_won_the_same_conditional_write(
    release: str, note: Callable[[str], None]
) -> None:
    """Which is why no store commits by preconditions alone here, but for a single writer."""
    async with live_server(release).client() as client:
        path, winners = f"/zones/{fresh_zone()}/raced", []
        for each in range(ROUNDS):
            etag = await client.write(path, f"round {each}".encode())
            winners.append(await told_that_they_won(client, path, etag))
    note(f"{min(winners)} to {max(winners)} of {WRITERS} told that they won one if_match")
    assert max(winners) > 1


@pytest.mark.parametrize("release", DROPPING)
async def test_conditional_writes_are_acknowledged_and_not_stored(
    release: str, note: Callable[[str], None]
) -> None:
    """Every one of them, with HTTP 200: such releases lose what they acknowledge."""
    async with live_server(release).client() as client:
        path = f"/zones/{fresh_zone()}/dropped"
        etag = await client.write(path, b"before")
        winners = await told_that_they_won(client, path, etag)
        file = await client.read(path)
    note(f"{winners} of {WRITERS} told that they won one if_match, none stored")
    assert winners == WRITERS
    assert file is not None
    assert file.content == b"before"
