"""Shows how far a long run has got: a moving line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from time import monotonic
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_LINES: Final = 10


class Steps(Progress):
    """A bar for each kind of work.

    Args:
        console: Where to show it.
    """

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
        )
        super().__init__(*columns, console=console)
        self._began = self._told = monotonic()

    def of(self, what: str, total: int) -> TaskID:
        """Begin something that takes so many steps."""
        return self.add_task(what, total=total, figures="")

    def step(self, task: TaskID, what: str, figures: str) -> None:
        """One step more is done."""
        self.update(task, advance=1, description=what, figures=figures)
        now = monotonic()
        if not self.console.is_terminal and now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            line = f"{now - self._began:6.0f} s  {what}: {figures}"
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)
