"""What a reader has: a server, an empty folder, and programs that need not be started anew."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexus_bounty.mock import MockNexus
from tests.docs.pages import ROOT
from tests.docs.session import install_shims
from tests.support.served import served


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of programs that run in one warm process."""
    folder = tmp_path_factory.mktemp("warm")
    socket = folder / "socket"
    install_shims(folder / "bin", socket)
    command = [sys.executable, "-W", "error", "-m", "tests.docs.warm", str(socket)]
    environment = {name: each for name, each in os.environ.items() if name != "NO_COLOR"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "adapters")])
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as warm:
        assert warm.stdout is not None
        assert warm.stdout.readline() == "ready\n"
        yield folder / "bin"
        warm.terminate()
        warm.wait()


@pytest.fixture
def url() -> Iterator[str]:
    """A mock of Nexus, as `nexus-bounty mock-server` serves."""
    with served(MockNexus()) as where:
        yield where


@pytest.fixture
def environment(url: str, programs: Path, tmp_path: Path) -> dict[str, str]:
    """A newcomer's: nothing is set but where the server is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
    kept.pop("PYTHONPATH", None)
    return kept | {
        "NEXUS_URL": url,
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "PATH": f"{programs}{os.pathsep}{kept['PATH']}",
    }
