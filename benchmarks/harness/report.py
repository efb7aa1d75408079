"""What a benchmark found: figures for programs, tables for people, a chart for both."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.harness.circumstances import Circumstances
from benchmarks.harness.rounds import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURED = "measured"
"""The key of the circumstances, in the file of the figures."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; the first column names the row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    @property
    def markdown(self) -> str:
        """The table as it stands in the README."""
        lines = ["| " + " | ".join(self.columns) + " |", "|---" * len(self.columns) + "|"]
        lines += ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in self.rows]
        return "\n".join(lines)

    def show(self, console: Console) -> None:
        """Print it."""
        table = RichTable(title=self.title, title_justify="left")
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="left" if index == 0 else "right")
        for row in self.rows:
            table.add_row(*(_text(cell) for cell in row))
        console.print(table)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return shown(cell) if isinstance(cell, float) else str(cell)


@dataclass(frozen=True, slots=True)
class Report:
    """What one benchmark found.

    Attributes:
        name: The name of its files.
        figures: What goes into the JSON.
        tables: What is printed.
        draw: Draws its chart, if it has one.
    """

    name: str
    figures: dict[str, Any]
    tables: Sequence[Table] = ()
    draw: Callable[[Figure], None] | None = field(default=None, repr=False)

    def show(self, console: Console) -> None:
        """Print the tables."""
        for table in self.tables:
            table.show(console)

    def save(self, directory: Path, circumstances: Circumstances) -> None:
        """Write figures, with when they were measured, tables and chart to `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps({MEASURED: asdict(circumstances), **self.figures}, indent=2) + "\n"
        (directory / f"{self.name}.json").write_text(text)
        tables = "\n\n".join(f"### {each.title}\n\n{each.markdown}" for each in self.tables)
        (directory / f"{self.name}.md").write_text(tables + "\n")
        if self.draw is not None:
            _save_chart(self.draw, directory / f"{self.name}.svg")


def _save_chart(draw: Callable[[Figure], None], path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "nexus-bounty", "font.size": 9, "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 3.5), layout="constrained")
        draw(figure)
        figure.savefig(path, metadata={"Date": None})
