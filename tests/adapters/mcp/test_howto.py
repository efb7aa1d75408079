"""What the how-to shows is run, and names what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nexus_bounty.mock import MockNexus
from nexus_bounty_mcp.answers import Outcomes
from tests.adapters.mcp.office import an_office
from tests.cli.program import run
from tests.support.served import served
from tools.pages import files_of

pytestmark = pytest.mark.thorough

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "serve-agents.md"


def test_the_client_of_the_how_to_says_what_the_page_says(tmp_path: Path) -> None:
    """With the program that is installed, in a folder of its own."""
    shown = files_of(PAGE)
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    assert run("top-up", "alice", "1000", "--credits", ledger).returncode == 0
    program = Path(sys.executable).parent
    with served(MockNexus()) as url:
        text = shown["client.py"].replace("http://127.0.0.1:2026", url)
        text = text.replace("sqlite:///ledger.db", ledger)
        ended = subprocess.run(
            [sys.executable, "-c", text],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{program}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ended.returncode, ended.stdout) == (0, shown["output"]), ended.stderr


async def test_the_page_names_every_tool_and_every_outcome() -> None:
    """And none that is not there."""
    page = PAGE.read_text("utf-8")
    async with an_office() as office:
        agent = await office.agent("alice", grove_names=True)
        tools = {tool.name for tool in (await agent.client.list_tools()).tools}
    assert tools == set(re.findall(r"`((?:bounty|grove)_\w+)`", page))
    assert set(Outcomes) <= set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
