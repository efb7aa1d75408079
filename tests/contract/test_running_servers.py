"""Who has a server of any release can record it, and run the live tests on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexus_bounty.mock import MockNexus
from tests.contract.scene import API_KEY
from tests.contract.tape import tape_path
from tests.support.served import served

ROOT = Path(__file__).parents[2]
RELEASE = "0.10.1"

pytestmark = pytest.mark.thorough


@pytest.fixture
def there() -> Iterator[tuple[str, ...]]:
    """What says where a server is that nobody started for this, and of which release."""
    with served(MockNexus("0.10", api_key=API_KEY)) as url:
        yield ("--release", RELEASE, "--url", url)


def _run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / f"{tool}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_a_server_that_runs_already_is_recorded(there: tuple[str, ...]) -> None:
    """What it answers is compared with the recording of its release, request by request."""
    found = _run("record", *there, "--check", "--only", "missing", "--only", "create")
    assert found.returncode == 0, found.stderr
    assert "0 would change" in found.stdout


def test_a_server_of_another_release_is_told_by_its_answers(there: tuple[str, ...]) -> None:
    """And nothing is changed by a check."""
    path = tape_path("0.7.0", "missing")
    before = path.read_bytes()
    others = ["0.7.0" if each == RELEASE else each for each in there]
    found = _run("record", *others, "--check", "--only", "missing")
    assert (found.returncode, path.read_bytes()) == (1, before)
    assert "tests/contract/fixtures/0.7.0/missing.json" in found.stdout


def test_the_live_tests_run_on_a_server_that_runs_already(there: tuple[str, ...]) -> None:
    """On that one alone, whatever else could be started."""
    found = _run("live", *there, "--", "-k", "test_whole_life", "-p", "no:cacheprovider")
    assert found.returncode == 0, found.stdout
    assert f"Nexus {RELEASE}" in found.stdout
    assert "passed" in found.stdout
    assert "Nexus 0.7.0" not in found.stdout


@pytest.mark.parametrize("tool", ["record", "live"])
@pytest.mark.parametrize("given", [("--release", RELEASE), ("--url", "http://nexus")])
def test_where_a_server_is_and_which_it_is_belong_together(
    tool: str, given: tuple[str, ...]
) -> None:
    """One without the other is refused before anything is sent."""
    refused = _run(tool, *given)
    assert refused.returncode == 2
    assert "belong together" in refused.stderr
