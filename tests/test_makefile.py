"""Each command installs what it needs, when it is first used, and nothing after that."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tools.versions import PLAIN, POSTGRES, SERVICES

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
STAMP_OF = dict(re.findall(r"^([a-z-]+): \$\(VENV\)/(\.\w+) ##", MAKEFILE, re.MULTILINE))
WANTED = dict(re.findall(r"^\$\(VENV\)/(\.\w+): EXTRAS := (\S+)$", MAKEFILE, re.MULTILINE))

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which nothing but an empty environment was made."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(ROOT / name, tmp_path / name)
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    return tmp_path


def _would_run(checkout: Path, target: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", target],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    return done.stdout


@pytest.mark.parametrize("target", sorted(STAMP_OF))
def test_a_command_installs_what_its_stamp_stands_for_and_the_second_time_nothing(
    target: str, checkout: Path
) -> None:
    stamp = STAMP_OF[target]
    assert f"'.[{WANTED[stamp]}]'" in _would_run(checkout, target)
    (checkout / ".venv" / stamp).touch()
    assert "pip" not in _would_run(checkout, target)


def test_a_stamp_is_made_again_when_the_dependencies_may_have_changed(checkout: Path) -> None:
    stamp = checkout / ".venv/.demo"
    stamp.touch()
    os.utime(checkout / "pyproject.toml")
    os.utime(stamp, (2, 2))
    assert "pip install" in _would_run(checkout, "demo")


def test_where_everything_is_installed_no_command_installs_anything(checkout: Path) -> None:
    """The environment of this test has no pip: a command that called it would fail."""
    (checkout / ".venv/.ready").touch()
    for stamp in WANTED:
        subprocess.run(["make", f".venv/{stamp}"], cwd=checkout, check=True, capture_output=True)
        assert (checkout / ".venv" / stamp).exists()


def test_every_stamp_has_extras_and_every_extra_of_them_exists() -> None:
    (listed,) = re.findall(
        r"^STAMPS := \$\(addprefix \$\(VENV\)/\.,([\w ]+)\)", MAKEFILE, re.MULTILINE
    )
    assert {f".{name}" for name in listed.split()} == set(WANTED) >= set(STAMP_OF.values())
    assert {extra for each in WANTED.values() for extra in each.split(",")} <= set(EXTRAS)


def test_the_developers_extra_holds_all_others() -> None:
    """So that `make .venv/.ready` is the whole of it."""
    held, waiting = set[str](), ["dev"]
    while waiting:
        held.add(extra := waiting.pop())
        for inner in re.findall(r"nexus-bounty\[([\w,]+)\]", " ".join(EXTRAS[extra])):
            waiting += inner.split(",")
    assert held == set(EXTRAS)


def test_the_demo_needs_neither_tests_nor_peers() -> None:
    """It is the first thing that anybody runs."""
    needed = [each for extra in WANTED[".demo"].split(",") for each in EXTRAS[extra]]
    names = {re.split(r"[>=]", each)[0] for each in needed}
    assert names == {"python-json-logger", "rich", "typer", "starlette", "uvicorn"}


def test_what_the_tests_run_comes_with_what_make_test_installs() -> None:
    """The sync faces are generated anew, and formatted, in a set-up that checks nothing else."""
    assert "ruff" in {re.split(r"[<>=\[;]", each)[0].strip() for each in EXTRAS["test"]}


def test_versions_tries_every_extra_that_people_install() -> None:
    """Those for developers are tried by whoever develops."""
    tried = {name for each in (PLAIN, SERVICES, POSTGRES) for name in each.names}
    for_developers = set(",".join(WANTED.values()).split(",")) - {"cli", "mock"}
    assert tried == EXTRAS.keys() - for_developers - {"all"}
