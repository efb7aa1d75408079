"""One listing serves all who ask about the same time, and nobody for longer."""

import asyncio

import pytest

from nexus_bounty.nexus.client import Page, classification
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.shared_names import SharedNames
from tests.support.virtual import virtual

AGE = 60.0


def a_minute_ago() -> float:
    return asyncio.get_running_loop().time() - AGE


class Directory:
    """Lists its names, which takes a second, and counts how often."""

    def __init__(self) -> None:
        self.paths = ["a", "b", "c"]
        self.listed = 0
        self.fails = False

    async def ask(self, after: str) -> Page:
        assert after == ""
        self.listed += 1
        await asyncio.sleep(1)
        if self.fails:
            raise NexusError(classification.LATE, method="list", path="d")
        return Page(list(self.paths), None)


@virtual
async def test_who_asks_meanwhile_waits_for_the_same_listing() -> None:
    """Each gets what comes after the path that it names."""
    directory, names = Directory(), SharedNames()
    pages = await asyncio.gather(
        *(names.page(directory.ask, after, a_minute_ago()) for after in ("", "a", "bb"))
    )
    assert [page.paths for page in pages] == [["a", "b", "c"], ["b", "c"], ["c"]]
    assert [page.goes_on_after for page in pages] == [None] * 3
    assert directory.listed == 1


@virtual
async def test_a_listing_is_as_old_as_its_beginning_and_then_made_anew() -> None:
    """What was written while it ran may be on neither of its pages."""
    directory, names = Directory(), SharedNames()
    await names.page(directory.ask, "", a_minute_ago())
    directory.paths.append("d")
    await asyncio.sleep(58.5)
    assert (await names.page(directory.ask, "", a_minute_ago())).paths == ["a", "b", "c"]
    await asyncio.sleep(1)
    assert (await names.page(directory.ask, "", a_minute_ago())).paths == ["a", "b", "c", "d"]


@virtual
async def test_names_are_let_go_of_when_nobody_wants_them_any_more() -> None:
    """A directory may have a great many."""
    directory, names = Directory(), SharedNames()
    await names.page(directory.ask, "", a_minute_ago())
    assert names._paths
    await asyncio.sleep(60)
    assert names._paths == []


@virtual
async def test_a_listing_that_began_before_is_not_gone_by() -> None:
    """Whoever needs to see what was written since asks for that."""
    directory, names = Directory(), SharedNames()
    await names.page(directory.ask, "", a_minute_ago())
    written = asyncio.get_running_loop().time()
    directory.paths.append("d")
    assert (await names.page(directory.ask, "", written)).paths == ["a", "b", "c", "d"]
    assert (await names.page(directory.ask, "b", written)).paths == ["c", "d"]
    assert directory.listed == 2


@virtual
async def test_a_directory_that_comes_in_pages_is_not_shared() -> None:
    """The first page is not taken for all of it."""
    asked = []

    async def ask(after: str) -> Page:
        asked.append(after)
        return Page(["a", "b"], "b") if after < "b" else Page(["c"], None)

    names = SharedNames()
    assert await names.page(ask, "b", a_minute_ago()) == Page(["c"], None)
    assert (await names.page(ask, "", a_minute_ago())).goes_on_after == "b"
    assert asked == ["", "b", "", ""]


@virtual
async def test_a_listing_that_fails_is_nobodys() -> None:
    """Who asks next lists it anew."""
    directory, names = Directory(), SharedNames()
    directory.fails = True
    with pytest.raises(NexusError):
        await names.page(directory.ask, "", a_minute_ago())
    directory.fails = False
    assert (await names.page(directory.ask, "b", a_minute_ago())).paths == ["c"]
    assert directory.listed == 2
