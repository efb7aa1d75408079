"""The tables of requests in the documentation, counted anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness.options import Options
from benchmarks.harness.personalities import KINDS
from benchmarks.reconciler import cost_on, table_of_kinds
from benchmarks.request_counts import measure

PAGE = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text()


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
