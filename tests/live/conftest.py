"""The table at the end of a live run: what was checked on each release, and how it ended.

A test that shows a refusal has `refused` in its name, and a figure is noted with `note`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.live import servers

PARTS: Final = {
    "test_contracts": "contract suites",
    "test_faults": "fault proxy",
    "test_races": "races, trusting the server",
    "test_rename": "races and kills, ours; probe",
    "test_kills": "a life killed at each step",
    "test_nexuspay": "credits on NexusPay",
    "test_recordings": "recordings",
    "test_whole_life": "operations, credits, reconciler",
}
HEAD: Final = "| {release} | checked | passed | refusals | left out | seconds | figures |"


@dataclass
class Row:
    """What was tried of one part on one release."""

    checked: int = 0
    passed: int = 0
    refusals: int = 0
    left_out: int = 0
    seconds: float = 0.0
    figures: list[str] = field(default_factory=list)

    def add(self, name: str, report: pytest.TestReport) -> None:
        """Count one test."""
        if report.skipped:
            self.left_out += 1
            return
        self.checked += 1
        self.passed += report.passed
        self.refusals += report.passed and "refused" in name
        self.seconds += report.duration
        self.figures += [str(text) for key, text in report.user_properties if key == "figure"]

    def __str__(self) -> str:
        """The cells."""
        counts = [self.checked, self.passed, self.refusals, self.left_out]
        cells = [*map(str, counts), f"{self.seconds:.0f}", "; ".join(dict.fromkeys(self.figures))]
        return " | ".join(cells)


_rows: Final[dict[str, dict[str, Row]]] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hold the recordings against servers on which nothing has been done yet."""
    items.sort(key=lambda item: item.path.stem != "test_recordings")


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Puts a figure into the table."""
    return lambda figure: record_property("figure", figure)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Start each test with no release asked for."""
    servers.used.clear()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count how the test ended, for the releases that it asked for."""
    report = yield
    if report.when == "call" or (report.when == "setup" and not report.passed):
        module = Path(item.path).stem
        part = PARTS.get(module, module)
        for release in dict.fromkeys(servers.used):
            _rows.setdefault(release, {}).setdefault(part, Row()).add(item.name, report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a table for each release, and write them where `NEXUS_LIVE_TABLE` says."""
    lines: list[str] = []
    for release in servers.RELEASES:
        if parts := _rows.get(release):
            lines += ["", HEAD.format(release=f"Nexus {release}"), "|---" * 7 + "|"]
            lines += [f"| {part} | {row} |" for part, row in parts.items()]
    for line in lines:
        terminalreporter.write_line(line)
    if lines and (path := os.environ.get("NEXUS_LIVE_TABLE")):
        Path(path).write_text("\n".join(lines[1:]) + "\n")
