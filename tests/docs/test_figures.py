"""The documentation has the figures of the results that are kept; requests are counted anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.harness import page
from benchmarks.harness.options import RESULTS, Options
from benchmarks.harness.personalities import KINDS
from benchmarks.reconciler import cost_on, table_of_kinds
from benchmarks.request_counts import measure

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "benchmarks.md").read_text()


def test_every_figure_that_a_benchmark_makes_is_that_of_the_results_that_are_kept() -> None:
    """`python -m benchmarks.harness.page` rewrites the pages that differ."""
    made = {path: page.rewritten(path.read_text(), RESULTS) for path in DOCS.rglob("*.md")}
    assert [path.name for path, text in made.items() if text != path.read_text()] == []


def test_what_was_timed_stands_beside_when_it_was_and_how_busy_the_machine() -> None:
    """No rate without it; what is counted is the same on any machine."""
    parts = page.parts(PAGE)
    assert len(parts) > 20
    timed = {name for name, _ in parts} - {"request_counts"}
    assert {name for name, part in parts if part == "when"} == timed


def test_ours_make_more_than_bare_statements_on_postgresql_as_the_page_says() -> None:
    """In words beside the table: with 8 callers and with 32, whatever bare statements promise."""
    kept = json.loads((RESULTS / "postgres_throughput.json").read_text())["postgres_throughput"]
    crowded = {where: each for where, each in kept.items() if not where.endswith(" 1 callers")}
    assert len(crowded) == 4
    for where, found in crowded.items():
        rate = {name: each["per_second"]["median"] for name, each in found.items()}
        bare = max(rate[name] for name in page.BARE_ON_POSTGRESQL)
        assert min(rate["ours, one process"], rate["ours, a process for each caller"]) > bare, where


def test_lives_near_and_far_are_told_for_every_kind_of_server() -> None:
    """What users have to know before they choose: by distance, beside the obvious client."""
    _, _, after = PAGE.partition("<!-- from kinds: table 1 -->")
    table, _, _ = after.partition("<!-- end -->")
    assert "| server | 0 ms away | 5 ms away | 50 ms away |" in table
    for kind in KINDS:
        assert f"| {kind} | " in table


@pytest.mark.filterwarnings("default")  # what charts warn of is theirs
@pytest.mark.thorough
async def test_the_tables_of_requests_are_those_that_the_mock_counts() -> None:
    """None is claimed that is not measured here."""
    report = await measure(Options(scale="tiny"), lambda _what: None)
    assert len(report.tables) == 6
    for table in report.tables:
        assert table.markdown in PAGE, f"the page should say:\n{table.markdown}"


@pytest.mark.thorough
def test_the_table_of_runs_of_the_reconciler_is_what_the_mock_counts() -> None:
    """On each kind of server, in zones that the library itself has filled."""
    table = table_of_kinds({name: cost_on(name) for name in KINDS})
    assert table.markdown in PAGE, f"the page should say:\n{table.markdown}"
