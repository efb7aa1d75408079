"""The program as a shell sees it: processes, signals, terminals, completion."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import nexus_bounty
from nexus_bounty.mock import FaultKind, MockNexus
from tests.cli.program import INTERRUPTED, in_terminal, run, started, until
from tests.cli.shell import Life, Shell, on

DOCUMENT = "/zones/default/bounties/*"


def test_without_its_extra_the_program_says_in_one_line_what_to_install() -> None:
    """Whichever of the two is missing, and whenever it is found to be."""
    for missing in ("typer", "rich"):
        blocked = f"import sys; sys.modules[{missing!r}] = None; "
        ended = subprocess.run(
            [
                sys.executable,
                "-c",
                f"{blocked}from nexus_bounty.cli import main; main()",
                "show",
                "b",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 1
        assert ended.stdout == ""
        assert "pip install 'nexus-bounty[cli]'" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_the_version_is_the_package_s() -> None:
    """`--version` needs no server and no ledger."""
    assert run("--version").stdout.strip() == nexus_bounty.__version__


def test_every_command_has_examples_in_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the list of commands is complete."""
    shell = Shell(monkeypatch, capsys, {})
    overview = shell("--help").out
    commands = [
        *("create", "list", "show", "claim", "renew", "release", "settle", "cancel", "expire"),
        *("balance", "top-up", "reconcile", "history", "explain", "doctor"),
        *("mock-server", "demo"),
    ]
    for command in commands:
        assert re.search(rf"^  {command} ", overview, re.MULTILINE)
        shown = shell(command, "-h").out
        assert f"$ nexus-bounty {command}" in shown
        assert "--json" in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_is_there_for_every_common_shell(shell: str) -> None:
    """The script that `--install-completion` installs names the program."""
    env = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    ended = run("--show-completion", shell, env=env)
    assert ended.returncode == 0
    assert "nexus-bounty" in ended.stdout
    assert "_NEXUS_BOUNTY_COMPLETE" in ended.stdout


def test_completion_completes_commands_and_values() -> None:
    """What the installed script asks for while somebody types."""

    def completed(line: str) -> list[str]:
        words = line.split(" ")
        env = {
            "_NEXUS_BOUNTY_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        return run(env=env).stdout.split()

    assert completed("nexus-bounty re") == ["renew", "release", "reconcile", "rescue"]
    assert "pending_settlement" in completed("nexus-bounty list --status pend")


def test_ctrl_c_in_a_commit_tells_the_key_and_how_to_find_out(
    environment: dict[str, str], life: Life, mock: MockNexus
) -> None:
    """Nothing is claimed about what may have happened."""
    bounty_id = life.post()
    environment |= {"NEXUS_REQUEST_TIMEOUT": "60", "NEXUS_OPERATION_TIMEOUT": "60"}
    mock.inject(on(FaultKind.TIMEOUT_AFTER, "write", DOCUMENT))
    with started("claim", bounty_id, "--agent", "bob", env=environment) as process:
        until(lambda: any(each.fault for each in mock.requests))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    assert out == ""
    assert "Traceback" not in err
    told = " ".join(err.split())
    assert "Interrupted: the claim may have happened, or may yet" in told
    key = re.search(r"Repeat the command with --key (\w+)", told)
    assert key is not None
    assert life.claim(bounty_id, key=key.group(1))["bounty"]["status"] == "claimed"


def test_ctrl_c_tells_a_program_the_same(
    environment: dict[str, str], life: Life, mock: MockNexus
) -> None:
    """One document, with the key."""
    bounty_id = life.post()
    environment |= {"NEXUS_REQUEST_TIMEOUT": "60", "NEXUS_OPERATION_TIMEOUT": "60"}
    mock.inject(on(FaultKind.TIMEOUT_BEFORE, "write", DOCUMENT))
    arguments = ("cancel", bounty_id, "--key", "k-cancel", "--json")
    with started(*arguments, env=environment) as process:
        until(lambda: any(each.fault for each in mock.requests))
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    document = json.loads(out)
    assert document["outcome"] == "unknown"
    assert document["idempotencyKey"] == "k-cancel"
    assert document["bountyId"] == bounty_id


@pytest.mark.thorough
def test_a_watching_reconciler_reports_each_run_and_ends_by_ctrl_c(
    environment: dict[str, str],
) -> None:
    """That is how it is meant to end: exit code 0."""
    with started("reconcile", "--watch", "--every", "1s", "--json", env=environment) as process:
        assert process.stdout is not None
        runs = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert all(each["sweeps"] for each in runs)
    assert json.loads(out.splitlines()[-1])["health"]["runs"] >= 2


def test_the_mock_server_says_where_it_is_and_serves_until_ctrl_c() -> None:
    """One document as soon as it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with started("mock-server", "--port", port, "--json", env={}) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        until(lambda: _answers(url))
        assert run("list", "--url", url, "--json").stdout == '{"bounties":[],"total":0}\n'
        taken = run("mock-server", "--port", port)
        assert taken.returncode == 1
        assert "Address already in use; choose another port" in taken.stderr
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.thorough
def test_the_tests_of_ctrl_c_work_where_a_shell_has_everything_ignore_it() -> None:
    """As with `make test &`: what is started inherits that."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with started("reconcile", "--watch", "--url", "http://127.0.0.1:9", env={}) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
    finally:
        signal.signal(signal.SIGINT, before)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_mock/requests", timeout=1):
            return True
    except OSError:
        return False


def test_on_a_terminal_the_key_is_shown_before_anything_is_sent(
    environment: dict[str, str], life: Life
) -> None:
    """Whatever happens to the process, the key is on the screen."""
    bounty_id = life.post()
    seen = in_terminal("claim", bounty_id, "--agent", "bob", "--key", "k-seen", env=environment)
    assert seen.index("k-seen") < seen.index("has claimed")


@pytest.mark.thorough
def test_progress_is_shown_on_a_terminal_and_never_in_a_file(
    environment: dict[str, str], life: Life, mock: MockNexus
) -> None:
    """It counts on stderr while a listing is long."""
    life.post()
    mock.inject(on(FaultKind.DELAY, "read", DOCUMENT, times=None, seconds=0.3))
    assert "Reading bounties" in in_terminal("list", env=environment)
    ended = run("list", env=environment)
    assert ended.stderr == ""
    assert "Reading" not in ended.stdout


def test_no_id_is_cut_where_the_width_is_not_a_person_s(
    environment: dict[str, str], life: Life
) -> None:
    """A file gets whole ids; a terminal folds them."""
    bounty_id = life.post("--bounty-id", "b-" + "7" * 80)
    assert bounty_id in run("list", env=environment).stdout
    assert Path(environment["XDG_DATA_HOME"]).is_dir()
