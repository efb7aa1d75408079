"""Runs the blocks of a page one after the other, as a reader would who types them in."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import DEFAULT_URL, Block, Page, is_as_shown

SHIM: Final = Path(__file__).with_name("shim.py")
METRICS: Final = "127.0.0.1:9464"
PROGRAMS: Final = ("nexus-bounty", "pytest", "python")

UNTIL_IT_SPEAKS: Final = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run with &
with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True) as process:
    print(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    print(process.stdout.read())
sys.exit(0 if process.returncode in (0, 130) else process.returncode)
"""


def install_shims(folder: Path, warm: Path) -> None:
    """Programs of these names that run in the process at `warm`."""
    folder.mkdir()
    for name in PROGRAMS:
        command = shlex.join([sys.executable, "-I", "-S", str(SHIM), str(warm), name])
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)


class Session:
    """A reader in an empty folder, with a server at `url`.

    Args:
        page: What is read.
        folder: Where it is tried.
        environment: What programs see.
        url: Where the server is that the page calls by its default URL.
    """

    def __init__(self, page: Page, folder: Path, environment: Mapping[str, str], url: str) -> None:
        self._page = page
        self._folder = folder / "work"
        self._folder.mkdir()
        self._exported = folder / "exported"
        self._exported.touch()
        self._environment = dict(environment)
        self._url = url
        self._free = _free_port()
        self.said = ""

    def run_all(self) -> None:
        """Every block, in order; the test fails at the first that does not do what it says.

        Tests that the page shows are run at the end, unless a command of the page does it.
        """
        for block in self._page.blocks:
            if block.is_output:
                self._compare(block)
            elif not block.reason:
                self.run(block)
        if tests := [each for each in self._page.blocks if each.is_test]:
            self._ends_well(tests[0], ["pytest", "-q"])

    def run(self, block: Block) -> None:
        """One block, which must end well."""
        text = self._here(block.text)
        if block.title:
            path = self._folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if block.language == "sh":
            self._shell(block)
        elif block.language == "python" and not self._page.is_run_later(block):
            self._ends_well(block, ["python", "-c", text])

    def _here(self, text: str) -> str:
        """`text` with the server that there is, and a port of its own for what it serves."""
        return text.replace(DEFAULT_URL, self._url).replace(METRICS, f"127.0.0.1:{self._free}")

    def _shell(self, block: Block) -> None:
        commands = self._here(block.commands)
        until_it_speaks = shlex.join([sys.executable, "-I", "-S", "-c", UNTIL_IT_SPEAKS])
        lines = [
            f"{until_it_speaks} {line}" if "--watch" in line else line
            for line in commands.splitlines()
        ]
        keeping = f"trap 'export -p > {shlex.quote(str(self._exported))}' EXIT"
        restoring = f"source {shlex.quote(str(self._exported))}"
        self._ends_well(block, ["bash", "-eu", "-c", "\n".join([restoring, keeping, *lines])])

    def _ends_well(self, block: Block, command: list[str]) -> None:
        ended = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.said = ended.stdout
        if ended.returncode != 0:
            said = f"{ended.stdout}{ended.stderr}"
            where = f"{self._page.name}:{block.line}"
            pytest.fail(f"{where} ended with {ended.returncode}:\n{block.text}\n{said}", False)

    def _compare(self, block: Block) -> None:
        """Compare what was said with the page; `…` stands for anything within a line."""
        if not is_as_shown(block.text, self.said):
            where = f"{self._page.name}:{block.line}"
            pytest.fail(f"{where} shows\n{block.text}\nbut it was\n{self.said}", False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
