"""The table of what Grove can do on which server: played on mocks, and as its own code did it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from nexus_bounty.mock.personality import PERSONALITIES, Release
from tests.contract.grove import on_servers
from tests.contract.grove.older import Grove, GroveError
from tests.contract.grove.on_servers import COLUMNS, ROWS
from tests.contract.grove.shared_zone import NOW, ZONE, changes, files_of

PAGE: Final = (Path(__file__).parents[3] / "docs/how-to/share-a-zone-with-grove.md").read_text()
SECTION: Final = "## What Grove's client can do on which server"

DOCUMENTS: Final = ("bounties/", "claims/")
OTHERS: Final = {
    "indexes/bounties/status/": "marker",
    "indexes/claims/active/": "marker",
    "indexes/claims/target-lock/": "lock",
}


async def played(release: Release, row: str) -> dict[str, Any]:
    """What a row of Grove's calls does on a mock of this release."""
    server = on_servers.a_zone(release)
    before, errors = files_of(server), []
    async with httpx.AsyncClient(transport=server.transport(), base_url="http://nexus") as http:
        grove = Grove(http, ZONE, NOW)
        for each in ROWS[row]:
            try:
                await grove.call(each["on"], each["call"], each["args"])
            except GroveError:
                errors.append("NexusConnectionError")
    return on_servers.as_recorded(changes(before, files_of(server)), errors)


def said_of(row: str, done: dict[str, Any]) -> str:
    """The words of the table for what a row of calls did."""
    if done["errors"]:
        assert len(done["errors"]) == len(ROWS[row]), "some of the calls work, and some do not"
        assert not done["files"], "an error, and not without effect"
        return "fails"
    files = {path.removeprefix(f"/zones/{ZONE}/"): text for path, text in done["files"].items()}
    reads = row.startswith(("read", "learn"))
    if reads or any(each.startswith(DOCUMENTS) for each in files):
        return "works"
    written = _named(path for path, text in files.items() if text is not None)
    removed = _named(path for path, text in files.items() if text is None)
    effects = [f"its {written} written"] if written else []
    effects += [f"the old {removed} removed"] if removed else []
    return ", ".join(["not stored", *effects])


def _named(paths: Any) -> str:
    kinds = {kind for path in paths for start, kind in OTHERS.items() if path.startswith(start)}
    return " and ".join(sorted(kinds, reverse=True))


def table() -> dict[str, dict[str, str]]:
    """The table of the page: cells by the heads of its columns and rows."""
    section = PAGE[PAGE.index(SECTION) :].partition("\n## ")[0]
    lines = re.findall(r"^\|(.+)\|$", section, re.MULTILINE)
    heads, _, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    return {row[0]: dict(zip(heads[1:], row[1:], strict=True)) for row in rows}


def test_the_table_has_a_row_for_what_is_played_and_a_column_for_each_server() -> None:
    """And nothing else."""
    assert list(table()) == list(ROWS)
    for cells in table().values():
        assert list(cells) == list(COLUMNS)
    known = {release for column in COLUMNS.values() for release in column}
    assert known == set(PERSONALITIES) - {Release.HYPOTHETICAL}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize(
    ("column", "release"),
    [(column, release) for column, releases in COLUMNS.items() for release in releases],
)
async def test_each_cell_is_what_grove_does_there(column: str, release: Release, row: str) -> None:
    """By its own code, recorded, and by what the mock answers to its requests today."""
    done = await played(release, row)
    assert done == on_servers.recorded()[release.value][row]
    assert table()[row][column] == said_of(row, done)
