"""What the how-to shows is run, and names what is measured."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nexus_bounty_otel.prometheus import watched
from tests.adapters.otel.watching import a_watched_room, everything
from tools.pages import files_of

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "watch.md"


@pytest.mark.parametrize("name", ["app.py", "worker.py"])
def test_every_program_of_the_page_runs(name: str) -> None:
    """And says what the page says, if it says anything."""
    shown = files_of(PAGE)
    program = shown[name].replace("127.0.0.1:9464", "127.0.0.1:0")
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == (shown["output"] if "print" in program else "")


async def test_the_page_names_every_metric_and_its_labels() -> None:
    """Those that a run with faults exports, and no others."""
    async with a_watched_room() as room, watched("127.0.0.1:0", room["credits"]) as exposition:
        await everything(room)
        text = exposition.text()
    page = PAGE.read_text("utf-8")
    measured = set(re.findall(r"^# TYPE (nexus_bounty_\w+)", text, re.MULTILINE))
    table = re.findall(r"^\| (`nexus_bounty_.*) \| (.*)\|$", page, re.MULTILINE)
    named = {name: labels for names, labels in table for name in re.findall(r"`(\w+)`", names)}
    assert named.keys() == measured
    for name, told in named.items():
        series = re.findall(rf"^{name}(?:_bucket|_count|_sum)?\{{(.*)\}}", text, re.MULTILINE)
        labels = {label for each in series for label in re.findall(r"(\w+)=", each)} - {"le"}
        assert {label for label in labels if label not in told} == set(), name
