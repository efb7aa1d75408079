"""Pages of a listing that go on after any path: what takes up long walks where they stopped."""

from __future__ import annotations

import httpx
import pytest

from nexus_bounty import NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client.errors import NexusError
from tests.support.clients import result_for

PERSONALITIES = ("0.5.6", "0.7.0", "0.9", "0.10")
NAMES = [f"/d/{number:02}" for number in range(10)]


def client_of(mock: MockNexus, page_size: int = 3) -> NexusClient:
    settings = NexusSettings(page_size=page_size, retry_attempts=1)
    return NexusClient(settings=settings, transport=mock.transport())


async def filled(personality: str) -> MockNexus:
    mock = MockNexus(personality, atomic=True)
    writer = client_of(mock)
    for path in reversed(NAMES):
        await writer.write(path, b"")
    await writer.write("/d/sub/two", b"")
    return mock


async def all_after(client: NexusClient, after: str) -> list[str]:
    found: list[str] = []
    goes_on: str | None = after
    while goes_on is not None:
        page = await client.page("/d", goes_on)
        found += page.paths
        goes_on = page.goes_on_after
    return found


@pytest.mark.parametrize("after", ["", "/d/04", "/d/04x", "/d/09", "/d/zz"])
@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_a_listing_goes_on_after_any_path(personality: str, after: str) -> None:
    """Of a client that has never asked anything; the path need not exist any more."""
    client = client_of(await filled(personality))
    assert await all_after(client, after) == [path for path in NAMES if path > after]


async def test_a_client_that_knows_the_server_asks_only_for_what_comes_after() -> None:
    """Where a cursor is a path, what went before costs nothing."""
    mock = await filled("0.10")
    client = client_of(mock)
    await client.page("/d")
    before = mock.request_count
    assert await all_after(client, "/d/06") == NAMES[7:]
    assert mock.request_count - before == 1


async def test_a_page_holds_as_much_as_was_asked_for() -> None:
    """So that memory is bounded by it, where the server can do pages."""
    client = client_of(await filled("0.10"))
    page = await client.page("/d")
    assert (page.paths, page.goes_on_after) == (NAMES[:3], NAMES[2])


async def test_a_missing_directory_is_one_empty_page() -> None:
    """Nothing to go on with."""
    page = await client_of(MockNexus()).page("/none")
    assert (page.paths, page.goes_on_after) == ([], None)


async def test_a_page_where_the_whole_was_asked_for_is_an_error() -> None:
    """Better than to take a part for the whole."""

    def answer(request: httpx.Request) -> httpx.Response:
        page = {"files": ["/d/b", "/d/a"], "has_more": True, "next_cursor": "opaque"}
        return result_for(request, page)

    client = NexusClient(
        settings=NexusSettings(retry_attempts=1), transport=httpx.MockTransport(answer)
    )
    with pytest.raises(NexusError, match="not asked for"):
        await client.page("/d")
