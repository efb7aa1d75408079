"""The files for systemd and for containers say what the program does, and start it."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.cli.options import ServiceOptions
from tests.cli.program import run, started, until

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "nexus-bounty@.service"
BINARY = "/opt/nexus-bounty/bin/nexus-bounty"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def unit() -> configparser.SectionProxy:
    """What the unit says of the service; of what it says more than once, the last."""
    parser = configparser.RawConfigParser(strict=False, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("service", ["reconcile", "worker", "mcp", "console"])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, service: str) -> None:
    """With a program that is there in the place of the installed one."""
    program = tmp_path / "nexus-bounty"
    program.touch(0o755)
    text = UNIT.read_text().replace(BINARY, str(program))
    file = tmp_path / f"nexus-bounty@{service}.service"
    file.write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_unit_knows_the_exit_codes_and_how_long_a_stop_takes() -> None:
    """Cut short is a clean end, and wrong settings are not tried again for ever."""
    service = unit()
    assert service["ExecStart"] == f"{BINARY} %i"
    assert int(service["SuccessExitStatus"]) == ExitCode.STOPPED_MIDWAY
    assert int(service["RestartPreventExitStatus"]) == ExitCode.USAGE
    assert int(service["TimeoutStopSec"]) > int(ServiceOptions.stop_within.removesuffix("s"))


@pytest.mark.thorough
def test_the_configuration_that_is_shipped_is_accepted(tmp_path: Path) -> None:
    """Every name in it is an option; a service that it is for comes up to where it lacks a file."""
    config = DEPLOY / "config.toml"
    named = tomllib.loads(config.read_text())
    assert named["reconcile"]["watch"]
    ended = run("mcp", "--config", config)
    assert ended.returncode == ExitCode.USAGE
    assert named["mcp"]["tokens"] in ended.stderr
    ended = run("console", "--config", config, "--host", "0.0.0.0")
    assert ended.returncode == ExitCode.USAGE
    assert "it needs --tokens" in ended.stderr
    listed = run("list", "--config", config, "--json", env={"NEXUS_RETRY_ATTEMPTS": "1"})
    assert "config" not in json.loads(listed.stdout).get("message", "")


def instructions() -> list[tuple[str, str]]:
    """Those of the Containerfile."""
    text = (DEPLOY / "Containerfile").read_text()
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    pairs = (line.partition(" ") for line in joined.splitlines() if line)
    return [(name, rest) for name, _, rest in pairs]


def of(name: str) -> list[str]:
    return [rest for each, rest in instructions() if each == name]


def test_the_container_has_every_extra_that_a_service_may_want() -> None:
    """And none that is for tests and trials only."""
    (extras,) = [each.partition("=")[2] for each in of("ARG") if each.startswith("EXTRAS")]
    (everything,) = EXTRAS["all"]
    wanted = set(re.findall(r"[\w-]+", everything.partition("[")[2])) - {"mock", "testing"}
    assert set(extras.split(",")) >= wanted
    assert set(extras.split(",")) <= EXTRAS.keys()


def test_the_container_runs_from_the_wheel_and_as_nobody() -> None:
    """What is copied is what `make wheel` makes; no other user than its own runs it."""
    assert of("COPY") == ["dist/nexus_bounty-*.whl /tmp/wheel/"]
    assert "--outdir dist" in (ROOT / "Makefile").read_text()
    steps = [name for name, _ in instructions()]
    assert steps.index("USER") < steps.index("ENTRYPOINT")
    assert of("USER") != ["root"]
    assert of("STOPSIGNAL") == ["SIGTERM"]


def test_what_the_container_runs_is_healthy_and_stops_in_time(environment: dict[str, str]) -> None:
    """Its command in its environment, its health check, and its signal, on a port of our own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shown = dict(each.split("=", 1) for each in of("ENV"))
    address = shown["NEXUS_BOUNTY_HEALTH"]
    ours = f"127.0.0.1:{port}"
    env = {name: value.replace(address, ours) for name, value in shown.items()}
    env = {**env, **environment, "PATH": os.environ["PATH"]}
    (program,), command = json.loads(of("ENTRYPOINT")[0]), json.loads(of("CMD")[0])
    assert BINARY.endswith(f"/{program}")
    (check,) = of("HEALTHCHECK")
    asking = json.loads(check.partition("CMD ")[2].replace(address, ours))
    assert address in check
    with started(*command, env=env) as process:
        until(lambda: _is_healthy(asking))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "Stopped after" in out
    assert not _is_healthy(asking)


def _is_healthy(asking: list[str]) -> bool:
    python, *rest = asking
    assert python == "python"
    return subprocess.run([sys.executable, *rest], capture_output=True, check=False).returncode == 0
