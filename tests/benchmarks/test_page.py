"""Tables of the documentation are made from results, and what differs is seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.harness import page
from benchmarks.harness.circumstances import Circumstances
from benchmarks.harness.report import Report, Table

IDLE = Circumstances("2026-11-30", "quick", 2, 0.1)
BUSY = Circumstances("2026-11-30", "tiny", 2, 7.5)
TEXT = """# Page

<!-- from some: when -->
<!-- end -->

Written by a person.

<!-- from some: table 2 -->

| old | 1 |

<!-- end -->
"""


def saved(directory: Path, circumstances: Circumstances = IDLE, rate: float = 2.0) -> None:
    """Results of a benchmark with two tables."""
    tables = [Table("First", ["a"], [[1.0]]), Table("Second", ["server", "x"], [["0.7.0", rate]])]
    Report("some", {"rate": rate}, tables).save(directory, circumstances)


def test_a_page_gets_the_table_and_keeps_what_people_wrote(tmp_path):
    """And is the same when it is rewritten once more."""
    saved(tmp_path)
    made = page.rewritten(TEXT, tmp_path)
    assert "| server | x |\n|---|---|\n| 0.7.0 | 2 |" in made
    assert "old" not in made
    assert "Written by a person." in made
    assert "Measured on 30 November 2026, 2 cores, `make bench`." in made
    assert page.rewritten(made, tmp_path) == made


def test_another_run_makes_another_page(tmp_path):
    """So that a page which was not rewritten after a run is found."""
    saved(tmp_path)
    made = page.rewritten(TEXT, tmp_path)
    saved(tmp_path, rate=3.0)
    assert page.rewritten(made, tmp_path) != made


def test_a_loaded_machine_is_told(tmp_path):
    """A rate that was measured beside other work is worth little."""
    saved(tmp_path, BUSY)
    assert json.loads((tmp_path / "some.json").read_text())["measured"]["load"] == 7.5
    made = page.rewritten(TEXT, tmp_path)
    assert "**on a loaded machine**: 7.5 programs wanted a core" in made
    assert "only shows that it runs" in made


@pytest.mark.parametrize("load", [None, 0.4])
def test_an_idle_machine_is_not_called_loaded(load):
    """Nor one whose system does not tell."""
    assert "loaded" not in Circumstances("2026-12-01", "full", 2, load).in_words


def test_a_check_writes_nothing_and_says_which_page_differs(tmp_path, monkeypatch, capsys):
    """For those who only want to know."""
    results, docs = tmp_path / "results", tmp_path / "docs"
    docs.mkdir()
    (docs / "page.md").write_text(TEXT)
    saved(results)
    monkeypatch.setattr(page, "DOCS", docs)
    monkeypatch.setattr(page, "RESULTS", results)
    assert page.main(["--check"]) == 1
    assert (docs / "page.md").read_text() == TEXT
    assert "page.md differs" in capsys.readouterr().out
    assert page.main([]) == 0
    assert page.main(["--check"]) == 0
