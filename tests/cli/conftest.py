"""A served mock, a ledger of its own, and a shell that knows both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexus_bounty.mock import MockNexus
from tests.cli.shell import Life, Shell
from tests.support.served import served

API_KEY = "sk-very-secret-0123456789"


@pytest.fixture
def mock() -> MockNexus:
    """The server."""
    return MockNexus("0.10-hypothetical", api_key=API_KEY)


@pytest.fixture
def url(mock: MockNexus) -> Iterator[str]:
    """Where the server is."""
    with served(mock) as where:
        yield where


@pytest.fixture
def environment(url: str, tmp_path: Path) -> dict[str, str]:
    """What a person has exported, and the one way to commit that asks nothing before it does."""
    return {
        "NEXUS_BOUNTY_COMMIT": "conditional",
        "NEXUS_URL": url,
        "NEXUS_API_KEY": API_KEY,
        "NEXUS_OPERATION_TIMEOUT": "20",
        "NEXUS_REQUEST_TIMEOUT": "5",
        "NEXUS_RETRY_ATTEMPTS": "3",
        "NEXUS_RETRY_BASE": "0.001",
        "NEXUS_BOUNTY_CREDITS": f"sqlite:///{tmp_path / 'ledger.db'}",
        "XDG_DATA_HOME": str(tmp_path),
    }


@pytest.fixture
def shell(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
) -> Shell:
    """Runs commands against the server."""
    return Shell(monkeypatch, capsys, environment)


@pytest.fixture
def work(tmp_path: Path) -> str:
    """A file with work that meets every criterion."""
    file = tmp_path / "work.json"
    file.write_text(json.dumps({"cid": "cid-1", "tags": ["sorted"], "scores": {"speed": 2}}))
    return str(file)


@pytest.fixture
def life(shell: Shell, work: str) -> Life:
    """The steps of a bounty's life."""
    return Life(shell, work)
