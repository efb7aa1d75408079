"""When and where something was measured, and whether the machine had other things to do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

from benchmarks.harness.options import Options, Scale

BUSY = 0.25
"""Programs that want a core, for each core there is, from which on rates are not to be trusted."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a figure is worth depends on.

    Attributes:
        date: The day, as in ISO 8601.
        scale: How much was measured.
        cores: How many cores there were for it.
        load: How many programs wanted a core in the minute before; `None` where nobody tells.
    """

    date: str
    scale: Scale
    cores: int
    load: float | None

    @classmethod
    def now(cls, options: Options) -> Self:
        """Before the first measurement: later ones would see the load that those before made."""
        load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
        return cls(datetime.now(UTC).date().isoformat(), options.scale, _cores(), load)

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Self:
        """Those that were saved."""
        return cls(saved["date"], saved["scale"], saved["cores"], saved["load"])

    @property
    def in_words(self) -> str:
        """For people."""
        day = date.fromisoformat(self.date)
        said = f"Measured on {day.day} {day:%B %Y}, {self.cores} cores, {self._how_much}"
        if self.load is None or self.load < BUSY * self.cores:
            return f"{said}."
        return (
            f"{said}, **on a loaded machine**: {self.load:g} programs wanted a core. "
            "Trust roughly what is beside each other, and no rate."
        )

    @property
    def _how_much(self) -> str:
        if self.scale == "tiny":
            return "`--tiny`, which only shows that it runs"
        return "`--full`" if self.scale == "full" else "`make bench`"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
