"""One listing serves all who ask about the same time, and nobody for longer."""

import asyncio
from datetime import timedelta

import pytest

from nexus_bounty.nexus.bounties.shared_names import SharedNames
from nexus_bounty.nexus.client import Page, classification
from nexus_bounty.nexus.client.errors import NexusError
from tests.support.virtual import virtual

AGE = timedelta(minutes=1)


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
        *(names.page(directory.ask, after, AGE) for after in ("", "a", "bb"))
    )
    assert [page.paths for page in pages] == [["a", "b", "c"], ["b", "c"], ["c"]]
    assert [page.goes_on_after for page in pages] == [None] * 3
    assert directory.listed == 1


@virtual
async def test_a_listing_is_as_old_as_its_beginning_and_then_made_anew() -> None:
    """What was written while it ran may be on neither of its pages."""
    directory, names = Directory(), SharedNames()
    await names.page(directory.ask, "", AGE)
    directory.paths.append("d")
    await asyncio.sleep(58.5)
    assert (await names.page(directory.ask, "", AGE)).paths == ["a", "b", "c"]
    await asyncio.sleep(1)
    assert (await names.page(directory.ask, "", AGE)).paths == ["a", "b", "c", "d"]


@virtual
async def test_names_are_let_go_of_when_nobody_wants_them_any_more() -> None:
    """A directory may have a great many."""
    directory, names = Directory(), SharedNames()
    await names.page(directory.ask, "", AGE)
    await asyncio.sleep(60)
    assert names._paths == []


@virtual
async def test_a_directory_that_comes_in_pages_is_not_shared() -> None:
    """The first page is not taken for all of it."""
    asked = []

    async def ask(after: str) -> Page:
        asked.append(after)
        return Page(["a", "b"], "b") if after < "b" else Page(["c"], None)

    names = SharedNames()
    assert await names.page(ask, "b", AGE) == Page(["c"], None)
    assert (await names.page(ask, "", AGE)).goes_on_after == "b"
    assert asked == ["", "b", "", ""]


@virtual
async def test_a_listing_that_fails_is_nobodys() -> None:
    """Who asks next lists it anew."""
    directory, names = Directory(), SharedNames()
    directory.fails = True
    with pytest.raises(NexusError):
        await names.page(directory.ask, "", AGE)
    directory.fails = False
    assert (await names.page(directory.ask, "b", AGE)).paths == ["c"]
    assert directory.listed == 2
