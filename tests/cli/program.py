"""The program as a process of its own, with and without a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

PROGRAM = [sys.executable, "-m", "nexus_bounty.cli"]
INTERRUPTED = 130


def run(
    *arguments: object, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, without a terminal."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def hears_ctrl_c() -> None:
    """Undo what a shell does to whatever it runs in the background, such as `make test &`."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def started(*arguments: object, env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The running program; it is gone afterwards."""
    process = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_ctrl_c,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(condition: object, seconds: float = 30) -> None:
    """Wait until `condition()` holds."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def in_terminal(*arguments: object, env: Mapping[str, str], columns: int = 80) -> str:
    """What a person sees on a terminal, the last picture of each line included."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        env={**os.environ, **env, "TERM": "xterm", "COLUMNS": str(columns)},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ):
        os.close(slave)
        seen = b""
        with contextlib.suppress(OSError):  # how a terminal ends on Linux
            while part := os.read(master, 4096):
                seen += part
    os.close(master)
    return seen.decode()


def without_colours(seen: str) -> str:
    """The letters of what a person sees."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
