"""What an option is given that a shell's variable stands for which is not set: nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from nexus_bounty import NexusSettings
from nexus_bounty.cli.app import app
from nexus_bounty.cli.inputs import AGENT_VARIABLES
from nexus_bounty.cli.overview import command_files
from tests.cli.shell import Life, Shell


def _options_of(command: str) -> list[str]:
    """The options of a command that take a value, by their long names."""
    group: Any = typer.main.get_command(app)
    options = [
        each
        for each in group.get_command(None, command).params
        if not getattr(each, "is_flag", True)
    ]
    longest = [max(each.opts, key=len) for each in options]
    return [name for name in longest if name.startswith("--") and name != "--help"]


@pytest.mark.parametrize("command", command_files())
def test_no_option_of_any_command_may_be_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """It is refused before anything is done, and not taken for what is usual."""
    shell = Shell(monkeypatch, capsys, {})
    options = _options_of(command)
    assert options or command == "demo"
    for option in options:
        for given in ((option, ""), (f"{option}=",)):
            ended = shell(command, *given)
            assert ended.code == 2
            assert f"'{option}'" in ended.said
            assert "must not be empty" in ended.said


def test_a_bounty_whose_id_is_empty_is_not_posted_under_another(shell: Shell, life: Life) -> None:
    life.funds()
    asked = ("create", "x", "--amount", 1, "--creator", "alice", "--bounty-id", "")
    assert shell(*asked).code == 2
    assert not shell.json("list")["bounties"]


def test_an_empty_variable_is_one_that_is_not_set(shell: Shell, monkeypatch: Any) -> None:
    for name in ("NEXUS_ZONE_ID", "NEXUS_BOUNTY_CLAIMS", "NEXUS_BOUNTY_COMMIT"):
        shell.setenv(name, "")
    assert shell("list").code == 0
    for field in NexusSettings.model_fields:
        monkeypatch.setenv(f"NEXUS_{field.upper()}", "")
    with_none = {
        name: field.get_default(call_default_factory=True)
        for name, field in NexusSettings.model_fields.items()
    }
    assert NexusSettings().model_dump() == with_none


def test_nor_may_what_a_file_with_settings_says(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('zone = ""\n')
    ended = shell("list", "--config", file)
    assert ended.code == 2
    assert "zone must not be empty" in ended.said


@pytest.mark.parametrize("command", ["claim", "release", "renew"])
def test_of_several_variables_an_error_names_each_as_a_person_would(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for name in AGENT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    said = Shell(monkeypatch, capsys, {})(command, "b-1").said
    assert "(env var: 'NEXUS_BOUNTY_AGENT' or 'GROVE_AGENT_ID')" in said
