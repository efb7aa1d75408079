"""What was tried, as a table and as a picture: operation x request x what went wrong x verdict."""

from __future__ import annotations

import html
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from tests.simulation.simulation import CoverageKey

VERDICTS: Final = {
    "committed": "#2e7d32",
    "post_commit": "#9ccc65",
    "pre_commit": "#1e88e5",
    "unknown": "#fb8c00",
    "cancelled": "#8e24aa",
    "crashed": "#546e7a",
    "read": "#b0bec5",
}
"""Every verdict, with its colour."""
OTHER: Final = "#d50000"

_CELL: Final = 15
_LEFT: Final = 210
_TOP: Final = 190

Cells = Mapping[tuple[str, str], Mapping[str, Counter[str]]]
"""(operation, request) → what went wrong → verdicts."""


def cells_of(coverage: Counter[CoverageKey]) -> Cells:
    """The coverage by place and hazard; calm runs left out."""
    cells: dict[tuple[str, str], dict[str, Counter[str]]] = defaultdict(dict)
    for (operation, where, hazard, verdict), count in sorted(coverage.items()):
        if hazard != "-":
            cells[operation, where].setdefault(hazard, Counter())[verdict] += count
    return cells


def columns_of(cells: Cells) -> list[str]:
    """Everything that went wrong somewhere."""
    return sorted({hazard for row in cells.values() for hazard in row})


def table(coverage: Counter[CoverageKey]) -> list[str]:
    """One line an operation and request: how many hazards were tried, and how it ended."""
    cells = cells_of(coverage)
    lines = [f"{'operation':<11} {'request':<20} {'hazards':>7} {'runs':>8}  verdicts"]
    for (operation, where), row in cells.items():
        total: Counter[str] = sum(row.values(), Counter())
        ends = ", ".join(f"{verdict} {count}" for verdict, count in total.most_common())
        lines.append(f"{operation:<11} {where:<20} {len(row):>7} {total.total():>8}  {ends}")
    return lines


def heat_map(coverage: Counter[CoverageKey]) -> str:
    """An HTML page: a row an operation and request, a column a hazard, verdicts as colours."""
    cells = cells_of(coverage)
    columns = columns_of(cells)
    width = _LEFT + _CELL * len(columns) + 20
    height = _TOP + _CELL * len(cells) + 20
    legend = " ".join(
        f'<span style="background:{colour}">&nbsp;&nbsp;&nbsp;</span> {name}'
        for name, colour in {**VERDICTS, "other": OTHER}.items()
    )
    picture = "\n".join([*_headings(columns), *_rows(cells, columns)])
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>What the exploration covered</title>
<style>body {{ font: 13px sans-serif }} text {{ font: 10px sans-serif }}</style></head><body>
<h1>What the exploration covered</h1>
<p>{len(cells)} requests and ledger calls of operations (rows) x {len(columns)} hazards (columns);
a cell is divided by how the operation ended. Point at one for its figures. An empty cell was not
tried.</p>
<p>{legend}</p>
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">
{picture}
</svg></body></html>
"""


def _headings(columns: list[str]) -> Iterator[str]:
    for at, hazard in enumerate(columns):
        turned = f"translate({_LEFT + at * _CELL + 10},{_TOP - 6}) rotate(-60)"
        yield f'<text transform="{turned}">{html.escape(hazard)}</text>'


def _rows(cells: Cells, columns: list[str]) -> Iterator[str]:
    for number, ((operation, where), row) in enumerate(cells.items()):
        y = _TOP + number * _CELL
        label = html.escape(f"{operation}: {where}")
        yield f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">{label}</text>'
        for at, hazard in enumerate(columns):
            if hazard in row:
                yield from _cell(_LEFT + at * _CELL, y, f"{label}, {hazard}", row[hazard])


def _cell(x: float, y: float, label: str, verdicts: Counter[str]) -> Iterator[str]:
    ends = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.most_common())
    yield f"<g><title>{label}: {html.escape(ends)}</title>"
    size = _CELL - 1
    for verdict, count in sorted(verdicts.items()):
        width = size * count / verdicts.total()
        colour = VERDICTS.get(verdict, OTHER)
        yield f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{size}" fill="{colour}"/>'
        x += width
    yield "</g>"
