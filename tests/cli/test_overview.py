"""The overview of commands is read from their files, and says what they say of themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nexus_bounty.cli.overview import command_files
from tests.cli.shell import Shell

HEAVY = (
    "nexus_bounty.nexus",
    "nexus_bounty.operations",
    "httpx",
    "pydantic",
    "rich",
    "aiohttp",
    "tenacity",
)


@pytest.mark.parametrize("name", command_files())
def test_a_summary_is_the_first_sentence_of_the_command_s_own_help(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though it is read without importing the command."""
    helped = " ".join(Shell(monkeypatch, capsys, {})(name, "--help").out.split())
    assert command_files()[name].summary in helped


def test_the_overview_imports_neither_the_library_nor_what_is_slow() -> None:
    """Or a help page would take as long as a request."""
    code = (
        "import sys; from nexus_bounty.cli import main\n"
        "try: main()\n"
        f"except SystemExit: print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "Bounties:" in shown
    assert shown.splitlines()[-1] == "[]"
