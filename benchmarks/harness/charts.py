"""Charts with their spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.harness.rounds import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def bars(axes: Axes, names: Sequence[str], spreads: Sequence[Spread]) -> None:
    """One bar a name, its median high, with a line from low to high."""
    axes.bar(list(names), [each.median for each in spreads], 0.5, yerr=_errors(spreads))


def lying_bars(axes: Axes, names: Sequence[str], spreads: Sequence[Spread]) -> None:
    """The same, lying down, the first on top: for long names."""
    axes.barh(list(names), [each.median for each in spreads], 0.6, xerr=_errors(spreads))
    axes.invert_yaxis()


def grouped_bars(
    axes: Axes, groups: Sequence[str], series: Sequence[tuple[str, Sequence[Spread]]]
) -> None:
    """Groups of bars: in each group one of every series."""
    width = 0.8 / len(series)
    for index, (name, spreads) in enumerate(series):
        at = [place + index * width for place in range(len(groups))]
        axes.bar(at, [each.median for each in spreads], width, yerr=_errors(spreads), label=name)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(groups))], list(groups))
    axes.legend(fontsize=7)


def _errors(spreads: Sequence[Spread]) -> list[list[float]]:
    return [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
