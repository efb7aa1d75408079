"""Writing and deleting many files with one request, where the server can."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from nexus_bounty.mock import PERSONALITIES, MockNexus
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.sending import Requests
from tests.support.clients import client_of

ALL = list(PERSONALITIES)
PATHS = [f"/d/f{number}" for number in range(4)]
FILES = {path: path.encode() for path in PATHS}


def methods(mock: MockNexus) -> list[str]:
    return [request.method for request in mock.requests]


@pytest.mark.parametrize("personality", ALL)
async def test_many_files_are_written_and_deleted_on_every_release(personality: str) -> None:
    """In bulk or one by one; deleting what is not there is no failure."""
    mock = MockNexus(personality)
    client = client_of(mock)
    await client.write_many(FILES)
    assert {path: mock.read_file(path) for path in mock.files} == FILES
    assert await client.delete_many([*PATHS, "/d/none"]) == []
    assert not mock.files


async def test_what_0_7_0_refuses_in_bulk_is_written_one_by_one() -> None:
    """It stores none of a batch when one of its files was deleted before."""
    mock = MockNexus("0.7.0")
    client = client_of(mock)
    await client.write("/d/f1", b"")
    await client.delete("/d/f1")
    mock.reset_counts()
    await client.write_many(FILES)
    assert {path: mock.read_file(path) for path in mock.files} == FILES
    assert methods(mock) == ["write_batch", *["write"] * 4]


@pytest.mark.parametrize(
    ("personality", "expected"),
    [
        ("0.5.6", ["write_batch", *["write"] * 4, "delete_batch", "delete_bulk", *["delete"] * 4]),
        ("0.7.0", ["write_batch", "delete_batch", "delete_bulk"]),
        ("0.9", ["write_batch", "delete_batch"]),
        ("0.10", ["write_batch", "delete_batch"]),
    ],
)
async def test_what_a_server_cannot_do_in_bulk_is_asked_once(
    personality: str, expected: list[str]
) -> None:
    """The second time the client knows."""
    mock = MockNexus(personality)
    client = client_of(mock)
    await client.write_many(FILES)
    await client.delete_many(PATHS)
    assert methods(mock) == expected
    known = len(mock.requests)
    await client.write_many({f"{path}-2": b"" for path in PATHS})
    await client.delete_many([f"{path}-2" for path in PATHS])
    bulk = {"write_batch", "delete_batch" if personality[:3] != "0.7" else "delete_bulk"}
    single = {"write", "delete"}
    assert set(methods(mock)[known:]) == (single if personality == "0.5.6" else bulk)


async def test_one_file_needs_no_bulk() -> None:
    """And none needs no request."""
    mock = MockNexus()
    client = client_of(mock)
    await client.write_many({})
    await client.delete_many([])
    assert not mock.requests
    await client.write_many({"/a": b"1"})
    await client.delete_many(["/a"])
    assert methods(mock) == ["write", "delete"]


async def test_more_than_a_batch_takes_several_requests() -> None:
    """As many as the settings let one hold."""
    mock = MockNexus()
    client = client_of(mock, bulk_size=3)
    await client.write_many(FILES)
    await client.delete_many(PATHS)
    assert methods(mock) == ["write_batch", "write", "delete_batch", "delete"]


class Busy(httpx.AsyncBaseTransport):
    """Counts how many requests were under way at most."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._now = 0
        self.most = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0)
        response = await self._inner.handle_async_request(request)
        self._now -= 1
        return response


async def test_where_bulk_is_missing_files_are_written_one_after_the_other() -> None:
    """What 0.5.6 takes at the same moment it cannot delete any more."""
    mock = MockNexus("0.5.6")
    line = Busy(mock.transport())
    async with NexusClient("http://nexus", transport=line) as client:
        await client.write_many(FILES)
        assert line.most == 1
        await client.delete_many(PATHS)
        assert line.most > 1


async def test_what_could_not_be_deleted_is_returned() -> None:
    """One of them is a directory that is not empty."""
    mock = MockNexus()
    client = client_of(mock)
    await client.write_many(FILES)
    assert await client.delete_many(["/d", PATHS[0]]) == ["/d"]
    assert set(mock.files) == set(PATHS[1:])


@pytest.mark.parametrize("answer", [[{"etag": "1"}], []])
async def test_an_acknowledgement_of_fewer_writes_is_not_believed(
    answer: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of them were stored is not known."""
    client = client_of(MockNexus())

    async def fewer(*_: object, **__: object) -> object:
        return answer

    monkeypatch.setattr(Requests, "if_understood", fewer)
    with pytest.raises(NexusError) as caught:
        await client.write_many(FILES)
    assert caught.value.reason is Reason.UNREADABLE
