"""The verdict survives the terminal: full disks, closed pipes, encodings that lack a sign."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

from nexus_bounty.cli.options import OutputOptions
from nexus_bounty.cli.screen import Screen
from nexus_bounty.cli.session import Session
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.bounties.store import NexusBountyStore
from nexus_bounty_sqlite import SqliteCredits
from tests.cli.conftest import environment, life, mock, shell, url, work
from tests.cli.program import PROGRAM, started
from tests.cli.shell import Life, Shell
from tests.support.sampling import every_nth

__all__ = ["environment", "life", "mock", "shell", "url", "work"]  # fixtures

TOP_UP = ("top-up", "bob", "100", "--key", "pay-bob")
FULL = Path("/dev/full")


def onto(
    stdout: IO[Any] | int | None, arguments: tuple[str, ...], env: Mapping[str, str]
) -> tuple[int, str]:
    """The exit code and stderr of the program, writing to `stdout`; closed if it is `None`."""
    ended = subprocess.run(
        [*PROGRAM, *arguments],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=(lambda: os.close(1)) if stdout is None else None,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, " ".join(ended.stderr.split())


def onto_a_full_disk(arguments: tuple[str, ...], env: Mapping[str, str]) -> tuple[int, str]:
    if not FULL.exists():
        pytest.skip("this system has no /dev/full")
    with FULL.open("w") as full:
        return onto(full, arguments, env)


def onto_a_closed_pipe(arguments: tuple[str, ...], env: Mapping[str, str]) -> tuple[int, str]:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return onto(writing, arguments, env)
    finally:
        os.close(writing)


def onto_nothing(arguments: tuple[str, ...], env: Mapping[str, str]) -> tuple[int, str]:
    return onto(None, arguments, env)


Onto = Callable[[tuple[str, ...], Mapping[str, str]], tuple[int, str]]
EVERY_LOSS = pytest.mark.parametrize(
    "lost", every_nth(3, [onto_a_full_disk, onto_a_closed_pipe, onto_nothing])
)
AS_JSON = pytest.mark.parametrize("as_json", [(), ("--json",)])


@EVERY_LOSS
@AS_JSON
def test_a_commit_whose_answer_nobody_gets_is_a_commit_and_tells_its_key(
    shell: Shell, environment: dict[str, str], lost: Onto, as_json: tuple[str, ...]
) -> None:
    """A script that repeats what failed with its key pays once; nothing failed, though."""
    for _ in range(2):
        code, said = lost((*TOP_UP, *as_json), environment)
        assert code == 0
        assert "could not be written" in said
        assert "exit code 0" in said
        assert "pay-bob" in said
    assert shell.json("balance", "bob")["available"] == 100


@EVERY_LOSS
@pytest.mark.thorough
def test_a_refusal_keeps_its_exit_code(environment: dict[str, str], lost: Onto) -> None:
    """3 is what a program waits for, and stderr says the rest."""
    for as_json in ((), ("--json",)):
        assert lost(("show", "b-none", *as_json), environment)[0] == 3
        assert lost(("top-up", "bob", "0", *as_json), environment)[0] == 2


@pytest.mark.parametrize("lost", [onto_a_full_disk, onto_nothing])
@pytest.mark.thorough
def test_a_read_whose_answer_is_lost_has_failed(environment: dict[str, str], lost: Onto) -> None:
    """The answer was all there was to it; so it is with a page of help."""
    for arguments in (("balance", "bob"), ("balance", "bob", "--json")):
        code, said = lost(arguments, environment)
        assert code == 1
        assert "could not be written" in said
    assert lost(("--version",), environment)[0] == 1


def test_a_reader_that_has_seen_enough_is_no_failure(environment: dict[str, str]) -> None:
    """As with `nexus-bounty list | head -n 1`: nothing is said."""
    assert onto_a_closed_pipe(("list",), environment) == (0, "")
    assert onto_a_closed_pipe(("--help",), environment) == (0, "")


def test_with_both_streams_closed_the_exit_code_still_tells(
    shell: Shell, environment: dict[str, str]
) -> None:
    """And no file or socket gets the number of a stream."""
    ended = subprocess.run(
        [*PROGRAM, *TOP_UP],
        env={**os.environ, **environment},
        preexec_fn=lambda: os.closerange(0, 3),
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0
    assert shell.json("balance", "bob")["available"] == 100


@pytest.mark.thorough
def test_a_reconciler_whose_reader_has_gone_ends(environment: dict[str, str]) -> None:
    """It does not work on unheard for ever; a full disk does not stop it."""
    with started("reconcile", "--watch", "--every", "1s", "--json", env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        process.stdout = None


@pytest.mark.parametrize(
    "encoding", every_nth(5, ["ascii", "cp1252", "latin-1", "utf-8", "utf-16"])
)
@AS_JSON
def test_what_cannot_be_encoded_is_replaced(
    life: Life, environment: dict[str, str], encoding: str, as_json: tuple[str, ...]
) -> None:
    """The commit stands, and says so; JSON loses nothing."""
    life.funds()
    create = ("create", "Größer 💰", "--amount", "1", "--creator", "alice", *as_json)
    ended = subprocess.run(
        [*PROGRAM, *create],
        env={**os.environ, **environment, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.decode(encoding)
    if as_json:
        assert json.loads(said)["bounty"]["title"] == "Größer 💰"
    else:
        assert "credits" in said


def test_a_byte_that_is_no_text_is_refused_in_a_line(environment: dict[str, str]) -> None:
    r"""As a shell passes `$'\xe9'` on."""
    for options in ((), ("--json",)):
        ended = subprocess.run(
            [os.fsencode(each) for each in (*PROGRAM, "top-up", "bob", "1", *options)]
            + [b"--key", b"\xe9"],
            env={**os.environ, **environment},
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert ended.returncode == 2
        said = (ended.stdout if options else ended.stderr).decode()
        assert len(said.splitlines()) == 1
        assert "idempotency_key" in said


def test_a_user_whom_the_system_does_not_know_has_no_home(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in many a container."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_DATA_HOME", "NEXUS_BOUNTY_CREDITS"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(Path, "home", unknown)
    ended = shell("balance", "bob")
    assert ended.code == 2
    assert "there is no home directory" in ended.said


def test_a_user_without_a_home_is_told_what_to_give(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """No ledger is made in the directory that one happens to be in."""
    bare = {
        name: value
        for name, value in environment.items()
        if name not in ("XDG_DATA_HOME", "NEXUS_BOUNTY_CREDITS")
    }
    ended = subprocess.run(
        [*PROGRAM, "balance", "bob"],
        env={**os.environ, **bare, "HOME": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert "--credits" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@AS_JSON
def test_a_socks_proxy_without_its_extra_is_wrong_configuration(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, as_json: tuple[str, ...]
) -> None:
    """One line says what to install."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    shell.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    ended = shell("list", "--url", "http://example.invalid", *as_json)
    assert ended.code == 2
    assert "httpx[socks]" in ended.said
    assert len((ended.out + ended.err).splitlines()) == 1


@pytest.mark.parametrize("closing", [OSError("no"), KeyboardInterrupt(), RuntimeError("no")])
def test_what_fails_while_everything_is_closed_changes_no_verdict(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, closing: BaseException
) -> None:
    """The credits are there: neither an error nor Ctrl-C after the commit hides it."""
    close = SqliteCredits.close

    async def close_badly(credit: SqliteCredits) -> None:
        await close(credit)
        raise closing

    with monkeypatch.context() as patch:
        patch.setattr(SqliteCredits, "close", close_badly)
        ended = shell(*TOP_UP)
    assert ended.code == 0
    assert "Added 100 credits" in ended.said
    assert shell.json("balance", "bob")["available"] == 100


def test_an_error_that_nobody_has_thought_of_leaves_a_commit_unknown(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, life: Life, mock: MockNexus
) -> None:
    """Not "nothing was changed": its key is told, and both ways to find out."""
    bounty_id = life.post()

    async def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(NexusBountyStore, "claim_bounty", broken)
    claim = ("claim", bounty_id, "--agent", "bob", "--key", "k-claim")
    told, shown = shell(*claim), shell(*claim, "--json")
    assert told.code == shown.code == 5
    assert "Traceback" not in told.err
    assert "explain k-claim" in told.said
    assert shown.document["idempotencyKey"] == "k-claim"


def test_one_before_anything_was_begun_is_a_plain_error(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, and one document."""

    async def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(NexusBountyStore, "get_bounty", broken)
    told, shown = shell("show", "b-1"), shell("show", "b-1", "--json")
    assert told.code == shown.code == shown.document["exitCode"] == 1
    assert len(told.err.splitlines()) == 1


async def test_ctrl_c_while_the_answer_is_written_changes_no_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What has happened has happened."""
    from nexus_bounty.cli import command
    from nexus_bounty.cli.output import Reply

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "say", interrupted)
    command._finish(Session(OutputOptions()), Reply({}, ""))


class Refusing(io.StringIO):
    """A stream that takes nothing."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("closed file")])
def test_a_stream_that_refuses_is_given_up(error: Exception) -> None:
    """And says why."""
    screen = Screen(Refusing(error))
    assert screen.write("verdict") == 7
    assert screen.problem is error
    screen.write("more")
    screen.flush()
