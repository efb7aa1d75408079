"""How answers are laid out for people: what can be copied is never cut into lines.

An id or a key that does not fit where it belongs gets a line of its own, which the terminal itself
may wrap: a wrapped line is copied as one, lines of ours are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_GAP: Final = 2
_PROSE: Final = 20
"""Columns that a text which may be wrapped needs to be read with ease."""


def _widest(texts: Sequence[Text]) -> int:
    return max((cell_len(line) for text in texts for line in text.plain.splitlines()), default=0)


def _longest_word(text: Text) -> int:
    return max((cell_len(word) for word in text.plain.split()), default=0)


def _uncut(text: Text, indent: int = 0) -> Text:
    """The text on lines of its own, which nothing wraps but the terminal."""
    shown = Text(" " * indent) + text if indent else text.copy()
    shown.no_wrap, shown.overflow = True, "ignore"
    return shown


@dataclass(frozen=True)
class Paragraph:
    """Text that is wrapped between its words, unless one of them is longer than a line."""

    text: Text

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        yield _uncut(self.text) if _longest_word(self.text) > options.max_width else self.text


@dataclass(frozen=True)
class FactTable:
    """Names and values side by side; below each other where one of them is too long for that."""

    rows: Sequence[tuple[Text, Text]]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        names = _widest([name for name, _ in self.rows])
        room = options.max_width - names - _GAP
        stacked = names > options.max_width // 2
        for name, value in self.rows:
            if not stacked and _longest_word(value) <= room:
                grid = Table.grid(padding=(0, _GAP, 0, 0))
                grid.add_column(width=names, no_wrap=True)
                grid.add_column(overflow="fold")
                grid.add_row(name, value)
                yield grid
                continue
            yield _uncut(name)
            is_long = _longest_word(value) > options.max_width - _GAP
            yield _uncut(value) if is_long else Padding(value, (0, 0, 0, _GAP))


@dataclass(frozen=True)
class Column:
    """One column of a `Listing`.

    Attributes:
        name: What heads it.
        label: What precedes its values where nothing heads them.
        whole: Whether it holds what people copy.
        prose: Whether its texts may be wrapped.
        right: Whether it holds numbers.
    """

    name: str
    label: str = ""
    whole: bool = False
    prose: bool = False
    right: bool = False


@dataclass(frozen=True)
class Listing:
    """A table, or a few lines for each of its rows where the table is too wide.

    What people copy has a line of its own then.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Text]]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        if self._least_width() <= options.max_width:
            yield self._table()
            return
        for row in self.rows:
            yield from self._block(row)

    def _least_width(self) -> int:
        headed = [[Text(column.name) for column in self.columns], *self.rows]
        widths = [_widest([row[at] for row in headed]) for at in range(len(self.columns))]
        least = [
            min(width, _PROSE) if column.prose else width
            for column, width in zip(self.columns, widths, strict=True)
        ]
        return sum(least) + _GAP * (len(least) - 1)

    def _block(self, row: Sequence[Text]) -> RenderResult:
        given = [each for each in zip(self.columns, row, strict=True) if each[1].plain]
        told = [
            Text(f"{column.label} ", "dim") + text if column.label else text
            for column, text in given
            if not column.whole
        ]
        whole = [text for column, text in given if column.whole]
        details = Paragraph(Text("  ").join(told))
        if self.columns[0].whole:
            yield from map(_uncut, whole)
            yield Padding(details, (0, 0, 0, _GAP))
        else:
            yield details
            yield from (_uncut(text, _GAP) for text in whole)

    def _table(self) -> Table:
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, _GAP, 0, 0))
        for column in self.columns:
            table.add_column(
                column.name,
                justify="right" if column.right else "left",
                no_wrap=not column.prose,
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*row)
        return table
