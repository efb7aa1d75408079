"""Listings in pages: what each release returns, and what one of them loses."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_bounty.mock import MockNexus
from tests.support.rpc import Rpc, talking_to


async def fill(rpc: Rpc, count: int) -> list[str]:
    """Write some files; their paths in order."""
    paths = [f"/z/{number:02}" for number in range(count)]
    for path in paths:
        await rpc("write", path=path, content=path)
    return paths


async def pages(rpc: Rpc, limit: int, **params: Any) -> list[list[str]]:
    """Follow the cursors from the first page to the last."""
    found: list[list[str]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = (await rpc("list", path="/z", limit=limit, **cursor, **params))["result"]
        found.append(page["files"])
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            return found
        cursor = {"cursor": page["next_cursor"]}


def joined(found: list[list[str]]) -> list[str]:
    """All pages as one listing."""
    return [path for page in found for path in page]


@pytest.mark.parametrize("release", ["0.7.0", "0.9.26", "0.10"])
@pytest.mark.parametrize("recursive", [True, False])
async def test_pages_put_together_are_the_whole_listing(release: str, recursive: bool) -> None:
    """No entry is lost or repeated, and no page is longer than asked for."""
    async with talking_to(MockNexus(release)) as rpc:
        paths = await fill(rpc, 10)
        found = await pages(rpc, 3, recursive=recursive)
    assert [len(page) for page in found] == [3, 3, 3, 1]
    assert joined(found) == paths


async def test_pages_of_0_9_lose_what_was_written_late() -> None:
    """Its pages are in the order of writing, its cursor compares paths; one page has everything."""
    async with talking_to(MockNexus("0.9")) as rpc:
        for name in (4, 5, 6, 7, 8, 1, 2):
            await rpc("write", path=f"/z/{name}", content="x")
        found = await pages(rpc, 4)
        whole = await pages(rpc, 100)
    assert found == [["/z/4", "/z/5", "/z/6", "/z/7"], ["/z/8"]]
    assert joined(whole) == [f"/z/{name}" for name in (4, 5, 6, 7, 8, 1, 2)]


async def test_the_oldest_release_refuses_a_limit() -> None:
    """-32602, as for any parameter that it does not know."""
    async with talking_to(MockNexus("0.5.6")) as rpc:
        answer = await rpc("list", path="/z", limit=3)
    assert answer["error"]["code"] == -32602
    assert "'limit'" in answer["error"]["message"]


async def test_a_broken_cursor_is_an_internal_error_on_0_7_0_and_restarts_0_9() -> None:
    """Neither says that the cursor is the problem's cause in a way to rely on."""
    async with talking_to(MockNexus("0.7.0")) as rpc:
        await fill(rpc, 3)
        broken = await rpc("list", path="/z", limit=2, cursor="zzz")
    assert broken["error"]["message"].startswith("Internal error: Malformed cursor: ")
    async with talking_to(MockNexus("0.9")) as rpc:
        await fill(rpc, 3)
        restarted = await rpc("list", path="/z", limit=3, cursor="zzz")
    assert len(restarted["result"]["files"]) == 3


async def test_a_path_that_sorts_between_a_directory_and_its_files_is_not_beneath_it() -> None:
    """`/z.txt` and `/z0` frame `/z/…` in path order."""
    async with talking_to(MockNexus("0.7.0")) as rpc:
        for path in ("/z.txt", "/z/a", "/z0", "/z/b/c"):
            await rpc("write", path=path, content="x")
        beneath = (await rpc("list", path="/z"))["result"]["files"]
        children = (await rpc("list", path="/z", recursive=False))["result"]["files"]
    assert beneath == ["/z/a", "/z/b/c"]
    assert children == ["/z/a", "/z/b"]


@pytest.mark.parametrize("release", ["0.7.0", "0.10"])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_are_cut_out_of_what_lies_in_the_directory(release: str, limit: int) -> None:
    """Whatever lies beneath it, and however names sort around a slash."""
    names = ["a", "a!", "a/b", "a/c/d", "a.b", "a0", "b/x", "c", "c%2Fd", "d/1", "d/2", "ä", "z/z"]
    async with talking_to(MockNexus(release)) as rpc:
        for path in [*(f"/z/{name}" for name in names), "/z0", "/y"]:
            await rpc("write", path=path, content="")
        found = await pages(rpc, limit, recursive=False)
    files = sorted(f"/z/{name}" for name in names if "/" not in name)
    assert joined(found) == files
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)


async def test_the_newest_release_lists_directories_among_the_files() -> None:
    """In a recursive listing, and with details in a flat one, also page by page."""
    async with talking_to(MockNexus("0.10")) as rpc:
        for path in ("/z/a", "/z/b/c"):
            await rpc("write", path=path, content="x")
        beneath = (await rpc("list", path="/z"))["result"]["files"]
        paged = joined(await pages(rpc, 2))
        children = (await rpc("list", path="/z", recursive=False))["result"]["files"]
        detailed = (await rpc("list", path="/z", recursive=False, details=True))["result"]["files"]
    assert beneath == paged == ["/z/a", "/z/b", "/z/b/c"]
    assert children == ["/z/a"]
    assert [(each["path"], each["entry_type"]) for each in detailed] == [("/z/a", 0), ("/z/b", 1)]
