"""Requests that several callers of one moment share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

import pytest

from nexus_bounty import NexusClient
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.together import both
from tests.support.virtual import virtual

SETTINGS = NexusSettings(retry_attempts=1)
FIRST, SECOND = {"/zones/z/a": b"1"}, {"/zones/z/b": b"2", "/zones/z/c": b"3"}


def a_client(mock: MockNexus) -> NexusClient:
    return NexusClient("http://nexus", settings=SETTINGS, transport=mock.transport())


def stored(mock: MockNexus) -> dict[str, bytes | None]:
    return {path: mock.read_file(path) for path in (*FIRST, *SECOND)}


async def _tells_of_itself(client: NexusClient, files: Mapping[str, bytes]) -> object:
    try:
        return await client.write_many(files)
    except NexusError as error:
        return error


@pytest.mark.parametrize("release", ["0.7.0", "0.9", "0.10"])
@virtual
async def test_writes_of_one_moment_are_one_request_and_each_hears_of_its_own_files(
    release: str,
) -> None:
    mock = MockNexus(release)
    async with a_client(mock) as client:
        first, second = await both(client.write_many(FIRST), client.write_many(SECOND))
    assert mock.request_count == 1
    assert (first.keys(), second.keys()) == (FIRST.keys(), SECOND.keys())
    assert stored(mock) == FIRST | SECOND


@virtual
async def test_checks_of_one_moment_are_one_request_and_each_hears_of_its_own_files() -> None:
    mock = MockNexus("0.7.0")
    async with a_client(mock) as client:
        await client.write_many(FIRST)
        found = await both(client.exist(list(SECOND)), client.exist(list(FIRST)))
    assert list(found) == [[False, False], [True]]
    assert mock.request_count == 2


@virtual
async def test_a_file_that_is_refused_stops_nobody_but_whoever_writes_it() -> None:
    """Whose it was, the refusal of all does not say: so everybody asks for themselves."""
    mock = MockNexus("0.7.0")
    async with a_client(mock) as client:
        refused, told = await both(
            _tells_of_itself(client, {"/zones/../up": b""}), _tells_of_itself(client, SECOND)
        )
    assert isinstance(refused, NexusError)
    assert told == await _etags(SECOND)
    assert stored(mock) == dict.fromkeys(FIRST) | SECOND


async def _etags(files: Mapping[str, bytes]) -> object:
    async with a_client(MockNexus("0.7.0")) as client:
        return await client.write_many(files)


@virtual
async def test_where_nothing_can_be_written_in_bulk_it_is_written_one_after_another() -> None:
    """0.5.6 later denies that files written concurrently exist."""
    mock = MockNexus("0.5.6")
    async with a_client(mock) as client:
        await both(client.write_many(FIRST), client.write_many(SECOND))
    assert stored(mock) == FIRST | SECOND
    assert mock.request_count == 4  # the first was to find out


async def _stopped(work: Coroutine[Any, Any, object], turns: int) -> None:
    """What is begun, and stopped after so many turns of the event loop."""
    task = asyncio.create_task(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@virtual
async def test_callers_that_have_nothing_to_do_with_each_other_share_nothing() -> None:
    """What is told of an operation is its own."""
    mock = MockNexus("0.7.0")
    async with a_client(mock) as client:
        await asyncio.gather(client.write_many(FIRST), client.write_many(SECOND))
    assert mock.request_count == 2


@pytest.mark.parametrize("turns", range(8))
@virtual
async def test_whoever_asks_for_all_may_be_stopped_at_any_time(turns: int) -> None:
    """Nobody waits for ever, and nobody's files are lost."""
    mock = MockNexus("0.7.0")
    async with a_client(mock) as client:
        async with asyncio.timeout(5):
            _, other = await both(
                _stopped(client.write_many(FIRST), turns), client.write_many(SECOND)
            )
            await client.write_many(FIRST)
    assert other.keys() == SECOND.keys()
    assert stored(mock) == FIRST | SECOND


@virtual
async def test_a_lost_answer_to_all_is_made_up_for_by_each() -> None:
    mock = MockNexus("0.7.0")
    mock.inject(Fault(FaultKind.DROP_AFTER, match=RequestMatch("write_batch"), times=1))
    async with a_client(mock) as client:
        await both(client.write_many(FIRST), client.write_many(SECOND))
    assert stored(mock) == FIRST | SECOND
