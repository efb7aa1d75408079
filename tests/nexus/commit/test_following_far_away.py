"""Files that follow their slots where answers are slow: with the batches of other writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from nexus_bounty import AgentIdentity, BountyStatus, NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.racing import DOCUMENT, QUIRKS, ZONE, racing
from tests.support.transports import Carrier
from tests.support.virtual import virtual

BOB = AgentIdentity(agent_id="bob")
DELAY = 0.5
FAR = 0.2
OTHER = ZONE.bounty("b-2")


class Counted(Carrier):
    """Takes `seconds` for a request; `first_ride` for the first batch that carries the document."""

    def __init__(self, mock: MockNexus, seconds: float, first_ride: float = 0) -> None:
        super().__init__(mock.transport())
        self.sent: list[tuple[str, list[str]]] = []
        self.seconds = seconds
        self.first_ride = first_ride

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        method = request.url.path.rsplit("/", 1)[-1]
        params = json.loads(await request.aread())["params"]
        paths = [each[0] for each in params.get("files", [])] or [params.get("path", "")]
        self.sent.append((method, paths))
        seconds = self.seconds
        if self.first_ride and method == "write_batch" and DOCUMENT in paths:
            seconds, self.first_ride = self.first_ride, 0
        await asyncio.sleep(seconds)
        return await super().handle_async_request(request)

    def that_write(self, path: str) -> list[str]:
        """The methods of the requests that wrote the file at `path`."""
        return [method for method, paths in self.sent if path in paths and "write" in method]


@asynccontextmanager
async def a_store(
    mock: MockNexus, transport: httpx.AsyncBaseTransport, **settings: Any
) -> AsyncIterator[NexusBountyStore]:
    given = NexusSettings(**{"url": "http://nexus", "cleanup_delay": DELAY, **settings})
    async with NexusClient(settings=given, transport=transport) as client:
        commit = RenameCommit(client, QUIRKS[mock.personality.name])
        store = NexusBountyStore(client, commit=commit, clock=wall_clock)
        yield store.cleaning_up(later=True)


def status_in_file(mock: MockNexus) -> str | None:
    content = mock.read_file(DOCUMENT)
    return msgspec.json.decode(content)["status"] if content else None


def another() -> Any:
    return msgspec.structs.replace(make_bounty(), bounty_id="b-2")


@pytest.mark.parametrize("release", ["0.7.0", "0.9"])
@virtual
async def test_a_file_rides_with_the_next_batch(release: str) -> None:
    """And nothing is sent for it alone any more."""
    mock = racing(release)
    line = Counted(mock, FAR)
    async with a_store(mock, line) as store:
        await store.create_bounty(make_bounty())
        await store.create_bounty(another())
        assert status_in_file(mock) == "open"
        await asyncio.sleep(10 * DELAY)
        assert line.that_write(DOCUMENT) == ["write_batch"]


@virtual
async def test_near_a_server_a_file_waits_for_the_commits_of_a_moment() -> None:
    """It is written once for all of them, by nobody's batch that somebody waits for."""
    mock = racing()
    async with a_store(mock, Counted(mock, 0.001)) as store:
        await store.create_bounty(make_bounty())
        await store.create_bounty(another())
        await store.claim_bounty("b-1", BOB, "c-1")
        assert status_in_file(mock) is None
        await asyncio.sleep(2 * DELAY)
        assert status_in_file(mock) == "claimed"
        assert len(mock.history(DOCUMENT)) == 1


@pytest.mark.parametrize(("away", "at_most"), [(0.001, DELAY), (FAR, 3 * FAR), (60, 20 * DELAY)])
@virtual
async def test_other_programs_see_a_commit_within_the_delay_or_three_round_trips(
    away: float, at_most: float
) -> None:
    """Whether or not anything is sent besides, and never later than said; its own trip aside."""
    mock = racing()
    settings = {"request_timeout": 100, "operation_timeout": 1000}
    async with a_store(mock, Counted(mock, away), **settings) as store:
        await store.create_bounty(make_bounty())
        assert status_in_file(mock) is None
        await asyncio.sleep(at_most + away + 0.01)
        assert status_in_file(mock) == "open"


@virtual
async def test_a_newer_file_waits_for_an_older_one_that_rides() -> None:
    """Or the older one might arrive last, and stay for those who know no slots."""
    mock = racing()
    line = Counted(mock, FAR, first_ride=5)
    async with a_store(mock, line) as store:
        await store.create_bounty(make_bounty())
        other = asyncio.create_task(store.create_bounty(another()))  # takes the file along
        await asyncio.sleep(FAR / 2)
        assert line.that_write(DOCUMENT) == ["write_batch"]
        await store.claim_bounty("b-1", BOB, "c-1")
        await other
        await asyncio.sleep(10)
        assert status_in_file(mock) == "claimed"


@virtual
async def test_a_file_that_is_written_at_once_waits_for_an_older_one_that_rides() -> None:
    mock = racing()
    line = Counted(mock, FAR, first_ride=2)
    async with a_store(mock, line) as store:
        await store.create_bounty(make_bounty())
        other = asyncio.create_task(store.create_bounty(another()))
        await asyncio.sleep(FAR / 2)
        await store.cleaning_up(later=False).claim_bounty("b-1", BOB, "c-1")
        assert status_in_file(mock) == "claimed"
        await other
        await asyncio.sleep(10)
        assert status_in_file(mock) == "claimed"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.STATUS_BEFORE, status=403),
        Fault(FaultKind.STATUS_BEFORE, status=413),
        Fault(FaultKind.STATUS_BEFORE, status=503),
        Fault(FaultKind.DROP_BEFORE),
        Fault(FaultKind.DROP_AFTER),
    ],
    ids=lambda fault: fault.name,
)
@virtual
async def test_what_is_wrong_with_a_file_that_rides_stops_nobody(fault: Fault) -> None:
    """The batch that took it along is written without it, and the file by itself."""
    mock = racing()
    line = Counted(mock, FAR)
    async with a_store(mock, line) as store:
        await store.create_bounty(make_bounty())
        mock.inject(fault.on(RequestMatch("write_batch", DOCUMENT)))
        assert (await store.create_bounty(another())).status is BountyStatus.OPEN
        mock.clear_faults()
        await asyncio.sleep(10)
        assert status_in_file(mock) == "open"


@virtual
async def test_a_large_document_rides_with_nobody() -> None:
    """Somebody waits for that batch."""
    mock = racing()
    line = Counted(mock, FAR)
    async with a_store(mock, line) as store:
        await store.create_bounty(msgspec.structs.replace(make_bounty(), title="x" * 70_000))
        await store.create_bounty(another())
        assert line.that_write(DOCUMENT) == []
        await asyncio.sleep(10)
        assert status_in_file(mock) == "open"
