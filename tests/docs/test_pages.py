"""What the documentation shows is run: every command, every snippet, every file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, PROGRAMS, ROOT, Page
from tests.docs.session import Session
from tests.support.sampling import thorough_unless

ELSEWHERE = {
    "docs/how-to/credits-on-postgresql.md": "tests/adapters/postgres/test_howto.py",
    "docs/how-to/console.md": "tests/adapters/console/test_howto.py",
    "docs/how-to/many-workers.md": "tests/adapters/procrastinate/test_howto.py",
    "docs/how-to/serve-agents.md": "tests/adapters/mcp/test_howto.py",
}
"""Pages that a test beside what they speak of runs."""
RUNNING = [page for page in PAGES if page.runs and page.name not in ELSEWHERE]
NOT_RUN: dict[str, int] = {"docs/how-to/run-as-a-service.md": 2}
"""How many blocks of a page are shown and not run, each of which says why on the page."""

FIRST = ("README.md", "docs/tutorial.md")
"""What a newcomer reads first: the quick run runs these, `make test-thorough` the others."""


@pytest.mark.parametrize(
    "page", [thorough_unless(page.name in FIRST, page, page.name) for page in RUNNING]
)
def test_all_that_a_page_shows_runs_in_its_order_and_says_what_it_shows(
    page: Page, tmp_path: Path, environment: dict[str, str], url: str
) -> None:
    """In an empty folder, with warnings as errors."""
    Session(page, tmp_path, environment, url).run_all()


def test_the_readmes_first_snippet_run_twice_is_done_once_and_says_the_same(
    tmp_path: Path, environment: dict[str, str], url: str
) -> None:
    """Nobody is told that it never will be, of what has happened."""
    readme = Page(ROOT / "README.md")
    (snippet,) = [block for block in readme.blocks if block.language == "python"]
    session = Session(readme, tmp_path, environment, url)
    for _ in range(2):
        session.run(snippet)
        assert session.said == "paid to bob\n"


def test_what_runs_the_other_pages_is_there() -> None:
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text("utf-8")


def test_only_what_is_known_to_be_impossible_here_is_not_run() -> None:
    """The reason is beside it, where no reader sees it, and its number here."""
    silent = {page.name: [block for block in page.blocks if block.reason] for page in PAGES}
    assert {name: len(blocks) for name, blocks in silent.items() if blocks} == NOT_RUN


def test_every_block_has_a_language_that_is_run_or_read() -> None:
    """A fence without a language, or with a new one, would be looked at by nobody."""
    read = {"ini", "json", "sql", "text", "toml"}
    for page in PAGES:
        for block in page.blocks:
            assert block.language in PROGRAMS | read, f"{page.name}:{block.line}"
            if block.language == "json":
                json.loads(block.text)
            if block.language == "toml":
                tomllib.loads(block.text)
