"""What tidying up behind commits costs, and that what a bulk answer leaves out proves nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from nexus_bounty import NexusBountyStore, NexusClient, RenameCommit
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents.commits import Trail
from nexus_bounty.nexus.documents.paths import commit_slots
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.lives import ended_lives, taking
from tests.support.racing import QUIRKS, ZONE, racing
from tests.support.transports import Carrier, Lying
from tests.support.virtual import elapsed, virtual

ROUND_TRIP = 0.01
LIVES = 40
TWO_DAYS = timedelta(days=2).total_seconds()
LOCKS = [ZONE.target_lock(f"bounty:b-{number}") for number in (1, 2)]
LISTINGS = 13
"""What finding it takes: staged files, slots and copies of four directories, and idle markers."""
AT_ONCE = 32
"""How many requests a client has under way at once."""


class Crowd(Carrier):
    """Knows how many requests were under way at once at most."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        super().__init__(inner)
        self._now = 0
        self.most = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            return await super().handle_async_request(request)
        finally:
            self._now -= 1


@pytest.mark.parametrize(
    ("personality", "a_life", "besides", "round_trips"),
    [
        pytest.param("0.5.6", 17, LISTINGS + 6, LISTINGS + 36, id="nothing in bulk"),
        pytest.param("0.7.0", 0, LISTINGS + 12, LISTINGS + 12, id="all in bulk"),
        pytest.param("0.9", 4, LISTINGS + 10, LISTINGS + 18, id="no reads in bulk"),
        pytest.param("0.9.26", 0, LISTINGS, LISTINGS, id="nothing has a date"),
        pytest.param("0.10", 0, LISTINGS + 12, LISTINGS + 12, id="names created"),
        pytest.param("0.10-hypothetical", 0, 1, 1, id="no names to win"),
    ],
)
@virtual
async def test_an_ended_life_costs_little_to_tidy_up(
    personality: str, a_life: int, besides: int, round_trips: int
) -> None:
    """In bulk where the server can; where it cannot, many at once, and never more than may be."""
    mock = MockNexus(personality, clock=wall_clock)
    crowd = Crowd(mock.transport(pause=taking(ROUND_TRIP)))
    async with NexusClient("http://nexus", transport=crowd) as client:
        lived = await ended_lives(client, LIVES)
        await asyncio.sleep(TWO_DAYS)
        await lived.store.get_bounty("none")  # after so long, what is pinned is looked at again
        before, began = mock.request_count, elapsed()
        gone = [
            *await lived.store.collect_leftovers(),
            *await lived.claims.collect_leftovers(),
        ]
        assert mock.request_count - before <= a_life * LIVES + besides
        assert round((elapsed() - began) / ROUND_TRIP) <= round_trips
        assert crowd.most <= AT_ONCE
        removes = personality not in ("0.9.26", "0.10-hypothetical")
        assert len(gone) >= LIVES * 9 * removes
        assert not set(gone) & mock.files.keys()
        if removes:
            assert not [path for path in mock.files if "commits/" in path or "staged/" in path]


# What a bulk answer leaves out


async def _hold(strategy: RenameCommit, client: NexusClient, holder: str) -> None:
    for path in LOCKS:
        now = await strategy.locks.read(path, client.deadline())
        content = holder.encode()
        assert await strategy.locks.move(
            path, now, content, client.deadline(), Trail(), promptly=True
        )


async def _lagging_locks(release: str) -> MockNexus:
    """Two locks that were moved from `a` to `b` to `c`; the file of the first says `b`.

    The slots before `b` are gone: nothing but the file tells where to look for `c`.
    """
    mock = racing(release)
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        strategy = RenameCommit(client, QUIRKS[release])
        await _hold(strategy, client, "a")
        await _hold(strategy, client, "b")
        await asyncio.sleep(TWO_DAYS)
        directory = ZONE.target_locks
        assert await strategy.leftovers.collect(directory, wall_clock() - timedelta(days=1))
        await _hold(strategy, client, "c")
        await client.write(LOCKS[0], b"b")  # whoever won died before it, or this arrives late
        await asyncio.sleep(TWO_DAYS)
    return mock


def _answering(path: str, *, instead: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """That of one path; `None` as of a server that meets an error when it comes to it."""

    def change(document: dict[str, Any]) -> dict[str, Any]:
        result = document.get("result")
        if isinstance(result, dict) and path in result:
            result[path] = instead
        return document

    return change


@pytest.mark.parametrize(
    ("route", "change"),
    [
        pytest.param("read_bulk", _answering(LOCKS[0], instead=None), id="the file is not shown"),
        pytest.param(
            "exists_batch",
            _answering(f"{commit_slots(LOCKS[0])}/b", instead=False),
            id="the slot is denied",
        ),
    ],
)
@pytest.mark.parametrize("release", ["0.7.0", "0.10"])
@virtual
async def test_a_lock_that_lags_is_not_taken_back_by_what_a_bulk_answer_leaves_out(
    release: str, route: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Its slot was listed, and its file is there: neither is gone for not being shown once."""
    mock = await _lagging_locks(release)
    async with NexusClient("http://nexus", transport=Lying(mock, route, change)) as client:
        strategy = RenameCommit(client, QUIRKS[release])
        before = wall_clock() - timedelta(days=1)
        await strategy.leftovers.collect(ZONE.target_locks, before)
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        strategy = RenameCommit(client, QUIRKS[release])
        for path in LOCKS:
            holder = await strategy.locks.read(path, client.deadline())
            assert holder is not None
            assert holder.content == b"c"
        await strategy.leftovers.collect(ZONE.target_locks, wall_clock() - timedelta(days=1))
        assert not [path for path in mock.files if "-commits/" in path]


class Refusing(Carrier):
    """Carries requests that delete many files, but for one that the server does not delete."""

    def __init__(self, inner: httpx.AsyncBaseTransport, path: str) -> None:
        super().__init__(inner)
        self._path = path
        self.refused = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        if asked["method"] not in ("delete_bulk", "delete_batch"):
            return await super().handle_async_request(request)
        wanted = asked["params"]["paths"]
        asked["params"]["paths"] = [path for path in wanted if path != self._path]
        url, headers = request.url, {"content-type": "application/json"}
        response = await super().handle_async_request(
            httpx.Request("POST", url, headers=headers, json=asked)
        )
        answer = json.loads(await response.aread())
        if self._path not in wanted or "result" not in answer:
            return httpx.Response(response.status_code, json=answer)
        self.refused += 1
        answer["result"][self._path] = {"success": False, "error": "busy"}
        return httpx.Response(response.status_code, json=answer)


@pytest.mark.parametrize("release", ["0.7.0", "0.9", "0.10"])
@virtual
async def test_what_a_request_in_bulk_does_not_take_is_deleted_by_itself(release: str) -> None:
    """And only what is gone is said to be."""
    mock = racing(release)
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        await ended_lives(client, 3)
    await asyncio.sleep(TWO_DAYS)
    slot = f"{commit_slots(ZONE.bounty('b-1'))}/2"
    assert slot in mock.files
    transport = Refusing(mock.transport(), slot)
    async with NexusClient("http://nexus", transport=transport) as client:
        store = NexusBountyStore(client, clock=wall_clock)
        gone = await store.collect_leftovers()
    assert transport.refused == 1
    assert slot in gone
    assert not set(gone) & mock.files.keys()


@virtual
async def test_a_document_that_cannot_be_understood_keeps_its_slots_and_stops_no_others() -> None:
    """Whoever mends it may need them."""
    mock = racing()
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        lived = await ended_lives(client, 3)
        await client.write(ZONE.bounty("b-1"), b"what is this")
        await asyncio.sleep(TWO_DAYS)
        gone = await lived.store.collect_leftovers()
    of_it = commit_slots(ZONE.bounty("b-1"))
    assert not [path for path in gone if path.startswith(f"{of_it}/")]
    assert len([path for path in mock.files if path.startswith(f"{of_it}/")]) == 5
    for other in ("b-0", "b-2"):
        assert f"{commit_slots(ZONE.bounty(other))}/5" in gone
