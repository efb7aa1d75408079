"""Schedules kept as files, to be run again."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from tests.simulation.scenario import Schedule

_SCHEDULES: Final = Path(__file__).parent / "schedules"

KEPT: Final = sorted((_SCHEDULES / "kept").glob("*.json"))
"""Schedules that showed a violation once, or show a mutant that is hard to find."""
OPEN: Final = sorted((_SCHEDULES / "open").glob("*.json"))
"""Schedules that still show a violation: each is a bug to be mended."""


def write(path: Path, schedule: Schedule) -> None:
    """Keep a schedule as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(schedule)) + b"\n")


def read(path: Path) -> Schedule:
    """A schedule that was kept as a file."""
    return msgspec.json.decode(path.read_bytes(), type=Schedule)
