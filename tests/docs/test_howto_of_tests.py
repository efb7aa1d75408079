"""What the how-tos of tests and adapters show is run as a user would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nexus_bounty.mock import FaultKind
from nexus_bounty.testing import steps_of
from tools.pages import write_files

HOWTO = Path(__file__).parents[2] / "docs" / "how-to"
OPERATIONS = ("create", "claim", "renew", "release", "settle", "cancel")


@pytest.mark.parametrize("page", ["test-your-code.md", "write-an-adapter.md"])
def test_the_tests_that_a_page_shows_pass(page: str, tmp_path: Path) -> None:
    """In a folder of its own, with nothing but the library."""
    write_files(HOWTO / page, tmp_path)
    (tmp_path / "pyproject.toml").unlink(missing_ok=True)  # of a package, which nobody builds here
    command = [sys.executable, "-m", "pytest", "-q", "-p", "nexus_bounty.testing.plugin"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^\d+ passed", run.stdout, re.MULTILINE), run.stdout


def test_the_page_names_every_step_of_every_operation() -> None:
    """As they are today."""
    page = (HOWTO / "test-your-code.md").read_text("utf-8")
    for operation in OPERATIONS:
        assert f"| {operation} | {', '.join(steps_of(operation))} |" in page


def test_the_page_explains_every_fault() -> None:
    """Under the words that a mark takes."""
    page = (HOWTO / "test-your-code.md").read_text("utf-8")
    assert set(re.findall(r"^\| ([a-z ,]+) \|", page, re.MULTILINE)) >= {
        each.words for each in FaultKind
    }
