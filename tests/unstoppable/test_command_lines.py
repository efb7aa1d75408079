"""Whatever is typed: no traceback, an exit code of the table, one line or one document."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.cli.failures import OURS
from nexus_bounty.cli.service import stopping
from nexus_bounty_postgres.connections import Connections
from tests.cli.conftest import environment, mock, shell, url
from tests.cli.shell import Ended, Shell
from tests.unstoppable.command_lines import SECRET, a_line, put_files

__all__ = ["environment", "mock", "shell", "url"]  # fixtures

QUICK, ALL = 120, 2_000
CODES = frozenset(int(code) for code in ExitCode)


def is_told(line: list[str], ended: Ended) -> str | None:
    """What is wrong with how a command line ended, if something is."""
    if ended.code not in CODES:
        return "an exit code that is not in the table"
    if "Traceback" in ended.out + ended.err or OURS in ended.out + ended.err:
        return "an error that nobody has thought of"
    if SECRET in ended.out + ended.err:
        return "a secret is shown"
    is_page = ended.code == 0 and ("-h" in line or "--version" in line)
    if is_page:
        return None
    if "--json" in takewhile(lambda each: each != "--", line) and ended.code != 0:
        return None if _is_one_document(ended.out) else "not one document"
    if "--json" in line and _is_one_document(ended.out):
        return None  # that `--` was the value of an option
    if ended.code == 2 and (ended.out or len(ended.err.splitlines()) != 1):
        return "not one line"
    return None


def _is_one_document(out: str) -> bool:
    try:
        json.loads(out)
    except ValueError:
        return False
    return out.count("\n") == 1


def try_lines(shell: Shell, monkeypatch: pytest.MonkeyPatch, seed: int, count: int) -> None:
    """Run `count` command lines that follow from `seed`."""
    drawn = random.Random(seed)
    shell("top-up", "alice", 1000)
    codes = set()
    for _ in range(count):
        line, variables = a_line(drawn)
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            ended = shell(*line)
        wrong = is_told(line, ended)
        said = ended.out[-2_000:] + ended.err[-2_000:]
        shown = [each[:200] for each in line]
        assert wrong is None, f"{wrong}: {shown} {variables}\nexit code {ended.code}\n{said}"
        codes.add(ended.code)
    assert {0, 1, 2, 3} <= codes  # not only refusals


def stopped_soon(signals: asyncio.Queue[str]) -> None:
    """Stop a service as SIGTERM does, once it has begun."""
    asyncio.get_running_loop().call_later(0.05, signals.put_nowait, "SIGTERM")


def ctrl_c(_server: uvicorn.Server) -> None:
    raise KeyboardInterrupt


wait_for_connections = Connections.__init__


def impatient(pool: Connections, url: str, **given: Any) -> None:
    wait_for_connections(pool, url, **given | {"wait": timedelta(seconds=0.2)})


@pytest.fixture
def patient(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    """A shell that waits for nothing that is not there, nor for services that serve."""
    monkeypatch.chdir(tmp_path)
    put_files(tmp_path)
    shell.setenv("NEXUS_RETRY_ATTEMPTS", "1")
    shell.setenv("NEXUS_OPERATION_TIMEOUT", "2")
    monkeypatch.setattr(stopping, "_take_signals", stopped_soon)
    monkeypatch.setattr(uvicorn.Server, "run", ctrl_c)
    monkeypatch.setattr(Connections, "__init__", impatient)
    return shell


def test_no_command_line_ends_in_a_traceback_or_an_undocumented_code(
    patient: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample of those below."""
    try_lines(patient, monkeypatch, seed=3, count=QUICK)


@pytest.mark.exhaustive
def test_none_of_two_thousand_command_lines_does(
    patient: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded: what fails, fails again."""
    try_lines(patient, monkeypatch, seed=2, count=ALL)
