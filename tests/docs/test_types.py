"""Every program of the README and of the documentation passes a type checker, strictly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, Block, Page

pytestmark = pytest.mark.thorough

LENIENT = ("--allow-untyped-defs", "--allow-untyped-calls", "--disable-error-code=override")
"""Tests take fixtures whose types nobody writes down."""


def _module(page: Page, name: str) -> str:
    """A name that no other page's file has."""
    return re.sub(r"\W", "_", f"{page.name.removesuffix('.md')}__{name}")


def _programs(page: Page) -> dict[str, Block]:
    """The programs of a page, by the names of their modules."""
    found = [each for each in page.blocks if each.language == "python" and not each.reason]
    return {
        each.title.removesuffix(".py") or f"line_{each.line}": each
        for each in found
        if not each.is_output
    }


def _written(folder: Path, page: Page, *, tests: bool) -> list[str]:
    """The files of a page's programs, importing each other as they are called here."""
    programs = _programs(page)
    paths = []
    for name, block in programs.items():
        text = block.text
        for other in programs:
            named = rf"^(\s*from) {re.escape(other)} import"
            text = re.sub(named, rf"\1 {_module(page, other)} import", text, flags=re.MULTILINE)
        path = folder / f"{_module(page, name)}.py"
        path.write_text(text)
        if block.is_test == tests:
            paths.append(str(path))
    return paths


@pytest.mark.parametrize("tests", [False, True], ids=["programs", "tests"])
def test_every_program_of_a_page_passes_a_type_checker(tests: bool, tmp_path: Path) -> None:
    paths = [path for page in PAGES for path in _written(tmp_path, page, tests=tests)]
    assert len(paths) >= (5 if tests else 20)
    path = os.pathsep.join(map(str, (ROOT, ROOT / "adapters", tmp_path)))
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *(LENIENT if tests else ()), *paths],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
