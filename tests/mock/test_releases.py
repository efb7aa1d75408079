"""What single releases have of their own, beyond what the recordings hold."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from nexus_bounty.mock import PERSONALITIES, MockNexus
from tests.support.rpc import talking_to
from tests.support.virtual import virtual

SUNSET = {"deprecation": "true", "sunset": "Wed, 25 Jun 2026 00:00:00 GMT"}


@pytest.mark.parametrize("release", PERSONALITIES)
async def test_only_the_newest_release_announces_that_it_will_shut_off_its_routes(
    release: str,
) -> None:
    """With every answer to JSON-RPC, refusals included."""
    mock = MockNexus(release)
    async with httpx.AsyncClient(transport=mock.transport(), base_url="http://nexus") as http:
        answers = [
            await http.post(f"/api/nfs/{method}", json={"params": {"path": "/a"}})
            for method in ("exists", "read", "nothing")
        ]
        health = await http.get("/health")
    expected = SUNSET if release.startswith("0.10") else {}
    for answer in answers:
        assert {key: answer.headers[key] for key in SUNSET if key in answer.headers} == expected
    assert "sunset" not in health.headers


async def test_without_a_kernel_everything_works_but_reading() -> None:
    """So that a program finds out only when it has written something."""
    async with talking_to(MockNexus("0.9.20-without-kernel")) as rpc:
        assert "result" in await rpc("write", path="/a", content="x")
        assert (await rpc("exists", path="/a"))["result"] == {"exists": True}
        for path in ("/a", "/none"):
            answer = await rpc("read", path=path)
            assert answer["error"] == {"code": -32603, "message": "Internal server error"}


async def test_stale_etags_are_those_that_were_shown_first() -> None:
    """By `read` and `sys_stat`, until the file is deleted; every other answer has the right one."""
    async with talking_to(MockNexus("0.9.26")) as rpc:
        tags = []
        for content in ("1", "2", "3"):
            written = (await rpc("write", path="/a", content=content))["result"]["etag"]
            read = (await rpc("read", path="/a", return_metadata=True))["result"]
            stat = (await rpc("sys_stat", path="/a"))["result"]["metadata"]
            listed = (await rpc("list", path="/", details=True))["result"]["files"][0]
            batch = (await rpc("metadata_batch", paths=["/a"]))["result"]["/a"]
            bulk = (await rpc("read_bulk", paths=["/a"], return_metadata=True))["result"]["/a"]
            assert {each["etag"] for each in (listed, batch, bulk)} == {written}
            tags.append((written, read["etag"], stat["etag"]))
        await rpc("delete", path="/a")
        again = (await rpc("write", path="/a", content="4"))["result"]["etag"]
        assert (await rpc("read", path="/a", return_metadata=True))["result"]["etag"] == again
    first = tags[0][0]
    assert [each[1:] for each in tags] == [(first, first)] * 3
    assert len({each[0] for each in tags}) == 3


@pytest.mark.parametrize("release", PERSONALITIES)
async def test_only_the_newest_release_reads_in_batches(release: str) -> None:
    """In the order asked for."""
    async with talking_to(MockNexus(release)) as rpc:
        await rpc("write", path="/a", content="x")
        answer = await rpc("read_batch", paths=["/a"])
    assert ("result" in answer) is release.startswith("0.10")


@virtual
async def test_a_rate_limit_counts_calls_by_method_and_minute() -> None:
    """Then it says 429 outside JSON-RPC, and to wait for a minute; nothing was done."""
    mock = MockNexus("0.9", rate_limit=3)
    async with httpx.AsyncClient(transport=mock.transport(), base_url="http://nexus") as http:

        async def write(name: str) -> httpx.Response:
            params = {"path": f"/{name}", "content": "x"}
            return await http.post("/api/nfs/write", json={"id": 1, "params": params})

        statuses = [(await write(f"f{number}")).status_code for number in range(4)]
        refused = (await write("late")).json()
        other = await http.post("/api/nfs/exists", json={"params": {"path": "/f3"}})
        await asyncio.sleep(60)
        later = await write("later")
    assert statuses == [200, 200, 200, 429]
    assert refused["retry_after"] == 60
    assert other.json()["result"] == {"exists": False}
    assert later.status_code == 200
    assert sorted(mock.files) == ["/f0", "/f1", "/f2", "/later"]
