"""What a service logs: a line for people, or a document for programs, and no secret in either."""

from __future__ import annotations

import json
import logging
import warnings
from typing import Any

import pytest

from nexus_bounty.cli.app import CommandFiles
from nexus_bounty.cli.options import LogFormat, LogLevel
from nexus_bounty.cli.service.logs import _json, logging_to_stderr
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from tests.cli.conftest import API_KEY
from tests.cli.program import run
from tests.cli.shell import Life, Shell

OURS, THEIRS = logging.getLogger("nexus_bounty.test"), logging.getLogger("theirs")


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_line_is_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    """With what the record has besides, and a traceback in the same line."""
    with logging_to_stderr(LogFormat.JSON, LogLevel.INFO):
        OURS.info("kept", extra={"operation": "claim", "step": None})
        OURS.debug("not asked for")
        THEIRS.info("not ours")
        try:
            json.loads("{")
        except ValueError:
            THEIRS.exception("failed")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    kept, failed, warned = documents(capsys.readouterr().err)
    assert kept.pop("time").startswith("20")
    assert kept == {
        "level": "INFO",
        "logger": "nexus_bounty.test",
        "message": "kept",
        "operation": "claim",
    }
    assert "Traceback" in failed["exc_info"]
    assert warned["logger"] == "py.warnings"
    OURS.warning("afterwards nothing is written any more")
    assert "afterwards" not in capsys.readouterr().err


def test_a_sign_that_is_none_is_written_all_the_same() -> None:
    """A byte of a path, say, that is no UTF-8; pytest cannot keep it, so that it is not logged."""
    record = logging.makeLogRecord({"msg": "a lone surrogate \ud800", "levelname": "INFO"})
    line = _json().format(record)
    line.encode()
    assert json.loads(line)["message"] == "a lone surrogate \ud800"


def test_lines_for_people_have_the_time_and_nothing_that_a_terminal_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An escape sequence in a title stays text."""
    with logging_to_stderr(LogFormat.TEXT, None):
        OURS.warning("\x1b[2Jgone [red]not red[/red]")
        OURS.info("only on a terminal")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "WARNING �[2Jgone [red]not red[/red]" in line


def test_what_ends_a_service_is_a_document_of_its_log(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """As is what goes wrong on the way; the key is in none of them."""
    mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("list"), times=None, status=403))
    ended = shell("reconcile", "--log-format", "json")
    assert ended.code == 1
    assert documents(ended.err)[0]["message"].startswith("the sweep of ")
    broken = shell("reconcile", "--watch", "--stop-within", "soon", "--log-format", "json")
    assert (broken.code, broken.out) == (2, "")
    (said,) = documents(broken.err)
    assert (said["level"], said["exitCode"]) == ("ERROR", 2)
    assert "--stop-within" in said["message"]
    assert API_KEY not in ended.err


def test_the_format_is_a_variable_too(environment: dict[str, str]) -> None:
    """As every option of a service is."""
    env = environment | {
        "NEXUS_BOUNTY_LOG_FORMAT": "json",
        "NEXUS_BOUNTY_RECONCILE_WATCH": "true",
        "NEXUS_BOUNTY_RECONCILE_EVERY": "soon",
    }
    ended = run("reconcile", env=env)
    assert ended.returncode == 2
    assert "--every" in json.loads(ended.stderr)["message"]


def test_every_option_of_a_service_is_a_variable_of_its_name(environment: dict[str, str]) -> None:
    """Whatever the code calls it."""
    env = environment | {"NEXUS_BOUNTY_RECONCILE_JSON": "true"}
    ended = run("reconcile", "--every", "soon", env=env)
    assert "--every" in json.loads(ended.stdout)["message"]
    for service in ("reconcile", "mcp", "console", "worker"):
        command = CommandFiles().get_command(None, service)
        for option in command.params:
            called = option.opts[0].removeprefix("--").replace("-", "_").upper()
            if str(option.envvar).startswith(f"NEXUS_BOUNTY_{service.upper()}_"):
                assert option.envvar == f"NEXUS_BOUNTY_{service.upper()}_{called}"
            else:
                assert called == "HELP" or option.envvar is not None, (service, called)
