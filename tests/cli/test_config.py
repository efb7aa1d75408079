"""Settings from a file: under the command line and the environment, and none silently left out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nexus_bounty.cli.config import client_settings
from nexus_bounty.mock import MockNexus
from tests.cli.conftest import API_KEY
from tests.cli.shell import Shell

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the file."""

    def write(text: str) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(text)
        file.chmod(0o600)
        return file

    return write


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    shell: Shell, write: Write, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is asked for what the one before does not say."""
    for name in ("NEXUS_URL", "NEXUS_API_KEY", "NEXUS_BOUNTY_CREDITS"):
        monkeypatch.delenv(name)
    ledgers = {each: f"sqlite:///{tmp_path / each}.db" for each in ("file", "variable", "option")}
    file = write(f'url = "{url}"\napi-key = "{API_KEY}"\ncredits = "{ledgers["file"]}"\n')
    shell.setenv("NEXUS_BOUNTY_CONFIG", str(file))
    shell.json("top-up", "alice", 1)
    shell.setenv("NEXUS_BOUNTY_CREDITS", ledgers["variable"])
    shell.json("top-up", "alice", 2)
    shell.json("top-up", "alice", 3, "--credits", ledgers["option"])
    found = {
        name: shell.json("balance", "alice", "--credits", ledger)["available"]
        for name, ledger in ledgers.items()
    }
    assert found == {"file": 1, "variable": 2, "option": 3}
    assert shell("list").code == 0  # with the server and the key that only the file names


def test_a_table_is_for_one_command_and_wins_over_what_is_for_all(
    shell: Shell, write: Write
) -> None:
    """Underscores are hyphens, as people may have it from the variables."""
    file = write('zone = "lab"\n[reconcile]\ndry_run = true\nzone = "attic"\n[list]\nlimit = 3\n')
    report = shell.json("reconcile", "--config", file)
    assert report["dryRun"]
    assert not shell.json("reconcile", "--config", write("")).get("dryRun")


def test_settings_of_the_client_are_in_a_table_of_their_own(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is exported wins, whatever the case of its name."""
    file = write("[nexus]\noperation_timeout = 7\nrequest-timeout = 2.5\nbulk_size = 9\n")
    for name in [each for each in os.environ if each.upper().startswith("NEXUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("nexus_bulk_size", "11")
    assert client_settings(file) == {"operation_timeout": 7, "request_timeout": 2.5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ulr = 'http://x'", "there is no option named ulr; did you mean url?"),
        ("[reconsile]\nevery = '5m'", "no table named reconsile; did you mean reconcile?"),
        ("[reconcile]\nevry = '5m'", "no option of [reconcile] named evry; did you mean every?"),
        ("[nexus]\noperation_timeot = 3", "did you mean operation_timeout?"),
        ("[nexus]\nurl = 'http://x'", "there is no setting of [nexus] named url"),
        ("[nexus]\noperation_timeout = 'soon'", "[nexus] operation_timeout: "),
        ("nexus = 3", "there is no option named nexus"),
        ("[reconcile]\nwatch = 'yes'", "watch must be true or false"),
        ("[reconcile]\nevery = ['5m']", "every must be a value"),
        ("commit = 'never'", "commit: 'never' is not one of"),
        ("url = ", "is no TOML"),
        ("config = 'other.toml'", "no option named config"),
    ],
)
def test_what_nobody_knows_is_refused_and_nothing_sent(
    shell: Shell, write: Write, mock: MockNexus, text: str, said: str
) -> None:
    """With the file, and what was probably meant."""
    ended = shell("reconcile", "--config", write(text))
    assert ended.code == 2
    assert said in ended.said
    assert "config.toml" in ended.said
    assert mock.request_count == 0


@pytest.mark.parametrize(
    "secret",
    [
        'api-key = "{}"',
        'api_key = "{}"',
        '[nexus]\nsigning_keys = ["{}"]',
        'credits = "postgresql://bounties:{}@localhost/bounties"',
        'claims = "postgresql://localhost/bounties?user=bounties&password={}"',
        '[worker]\njobs = "postgresql://bounties:{}@localhost/bounties"',
        '[mock-server]\nrequire-key = "{}"',
    ],
)
def test_a_file_with_a_secret_is_for_nobody_else_to_read(
    shell: Shell, write: Write, secret: str
) -> None:
    """And the secret is not repeated."""
    file = write(secret.format(API_KEY))
    file.chmod(0o640)
    ended = shell("list", "--config", file)
    assert ended.code == 2
    assert f"chmod 600 {file}" in ended.said
    assert API_KEY not in ended.said


def test_a_file_that_is_not_there_is_said(shell: Shell, tmp_path: Path) -> None:
    """With the reason, as JSON if that is asked for."""
    ended = shell("list", "--config", tmp_path / "none.toml", "--json")
    assert ended.code == 2
    assert "none.toml cannot be read: No such file" in json.loads(ended.out)["message"]


def test_a_file_that_is_nested_too_deep_is_wrong_usage(shell: Shell, write: Write) -> None:
    """Python's reader of TOML gives up, and not with an error of TOML."""
    ended = shell("list", "--config", write("a = " + "[" * 5_000))
    assert ended.code == 2
    assert "nested too deep" in ended.said
