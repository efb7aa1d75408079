"""What the how-to shows is run, and says what the page says it does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nexus_bounty import events
from nexus_bounty.mock import MockNexus
from tests.support.served import served

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "observe.md").read_text("utf-8")
SHOWN = re.findall(
    r'^```python title="(\S+)"\n(.*?)^```\n(?:\n```text title="output"\n(.*?)^```)?',
    PAGE,
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.parametrize(("name", "program", "output"), SHOWN, ids=[each[0] for each in SHOWN])
def test_every_program_of_the_how_to_runs_and_says_what_it_says(
    name: str, program: str, output: str, tmp_path: Path
) -> None:
    with served(MockNexus()) as url:
        program = program.replace("http://127.0.0.1:2026", url)
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == output


def test_the_how_to_names_every_type_of_event_that_its_table_is_made_of() -> None:
    """Or says nothing of it on purpose: what only begins, or is only sent, counts nothing."""
    silent = {events.OperationBegan, events.RequestSent}
    for kind in set(events.Event.__subclasses__()) - silent:
        assert f"`{kind.__name__}" in PAGE
