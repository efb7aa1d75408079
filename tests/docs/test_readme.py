"""What the README shows is run: every command, every snippet, every figure."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexus_bounty import NexusSettings
from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.mock import MockNexus
from tests.support.served import served

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
SHELL = [text for language, text in BLOCKS if language == "sh"]
DEVELOPERS = {"bench", "check", "dev", "docs", "explore", "package", "test"}
DEFAULT_URL = "http://127.0.0.1:2026"


def _first_word(block: str) -> str:
    return block.split(maxsplit=1)[0]


OURS = [block for block in SHELL if _first_word(block) == "nexus-bounty"]
MAKE = [block for block in SHELL if _first_word(block) == "make"]
INSTALL = [block for block in SHELL if _first_word(block) == "pip"]


@pytest.fixture
def url() -> Iterator[str]:
    """A mock of Nexus 0.10, as `make mock-server` serves."""
    with served(MockNexus()) as where:
        yield where


@pytest.fixture
def environment(url: str, tmp_path: Path) -> dict[str, str]:
    """A newcomer's: nothing is set but where the server is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
    return {
        **kept,
        "NEXUS_URL": url,
        "XDG_DATA_HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
    }


def test_every_block_is_of_a_kind_that_is_run() -> None:
    """None is shown that no test below looks at."""
    assert len(PYTHON) + len(OURS) + len(MAKE) + len(INSTALL) == len(BLOCKS)
    assert PYTHON
    assert OURS


@pytest.mark.parametrize("snippet", PYTHON, ids=range(len(PYTHON)))
def test_every_python_snippet_runs(
    snippet: str, url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """In an empty directory, against a server, with warnings as errors."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet.replace(DEFAULT_URL, url)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "never will be" not in ended.stdout


def test_the_commands_of_the_readme_run_in_their_order(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """One shell, from the first block to the last; the server is there already."""
    lines = "\n".join(OURS).splitlines()
    commands = [_for_a_while(line) for line in lines if "mock-server" not in line]
    assert len(lines) - len(commands) == 1
    ended = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(commands)],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Paid 100 credits to bob" in ended.stdout
    assert "100 paid to bob" in ended.stdout
    assert "never happened, and never will" in ended.stdout


UNTIL_IT_SPEAKS = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run with &
with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True) as process:
    print(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    print(process.stdout.read())
sys.exit(process.returncode)
"""


def _for_a_while(line: str) -> str:
    """What runs for ever gets its Ctrl-C when it has said something, however long that takes."""
    until_it_speaks = shlex.join([sys.executable, "-c", UNTIL_IT_SPEAKS])
    return f"{until_it_speaks} {line}" if "--watch" in line else line


def test_every_make_target_of_the_readme_exists() -> None:
    """And `.ci/run` is there and can be run."""
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z-]+)", "\n".join(MAKE), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_every_extra_of_the_readme_exists_and_none_is_left_out() -> None:
    """The table is the list in pyproject.toml, the developers' own extras aside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    there = set(project["optional-dependencies"]) - DEVELOPERS
    table = README.partition("| extra | for |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == there
    for extras in re.findall(r"\.\[([\w,]+)\]", "\n".join(INSTALL)):
        assert set(extras.split(",")) <= there


def test_the_table_of_exit_codes_is_complete() -> None:
    """Scripts rely on it."""
    table = README.partition("| exit code | |")[2].partition("\n\n")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == list(
        ExitCode
    )


def test_every_variable_of_the_readme_is_read() -> None:
    """By the settings, or by the command line."""
    options = " ".join(path.read_text() for path in (ROOT / "nexus_bounty/cli").glob("*.py"))
    settings = {f"NEXUS_{name.upper()}" for name in NexusSettings.model_fields}
    for name in set(re.findall(r"\bNEXUS_[A-Z_]*[A-Z]\b", README)):
        assert name in settings or f'"{name}"' in options, name


def test_every_link_of_the_readme_leads_to_a_file_that_is_there() -> None:
    """Those into the repository, that is."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
