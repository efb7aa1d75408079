"""The table of reports names tests that exist, of every kind."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.pages import ROOT, Page

PAGE = Page(ROOT / "docs/explanation/reports.md")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.text.splitlines()
    if line.startswith("| ") and not line.startswith("| the report")
]


def _tests_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {each.name for each in ast.walk(tree) if isinstance(each, functions)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_what_holds_a_report_is_a_test_that_there_is(row: list[str]) -> None:
    """By its file and name."""
    _, kind, held_by = row
    assert kind
    ((path, name),) = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", held_by)
    assert name in _tests_in(path)


def test_every_file_of_the_folder_holds_a_report() -> None:
    """What was found by reports is in a folder of its own, named by kind."""
    files = {str(each.relative_to(ROOT)) for each in ROOT.glob("tests/unstoppable/test_*.py")}
    assert files <= {path for row in ROWS for path in re.findall(r"tests/[\w/]+\.py", row[2])}
