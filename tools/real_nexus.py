"""Runs a command against real, released Nexus servers on loopback ports.

    python tools/real_nexus.py 0.5.6 0.7.0 -- pytest -m live

Installs each release from the package index, pinned by `tests/live/requirements-*.txt`, into an
environment of its own that is kept for the next time, starts it on fresh data, and stops it
afterwards. The command finds them by `NEXUS_LIVE_0_5_6_URL` and its like, and the key that 0.9.18
wants in `NEXUS_LIVE_API_KEY`; the others run open.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

PINS: Final = Path(__file__).resolve().parent.parent / "tests" / "live"
PYTHONS: Final[Mapping[str, str]] = {"0.5.6": "3.11", "0.7.0": "3.13", "0.9.18": "3.13"}
"""Which Python each release runs on."""
API_KEY: Final = "sk-test"
SECONDS_TO_START: Final = 90
SECONDS_TO_STOP: Final = 10


class NotHereError(Exception):
    """A release cannot run on this machine, or did not start."""


def main() -> int:
    """Run the command; returns its exit code."""
    options = _options()
    with ExitStack() as servers:
        environment = os.environ | {"NEXUS_LIVE_API_KEY": API_KEY}
        for version in options.version:
            url = servers.enter_context(running(version, options.home))
            print(f"Nexus {version} is at {url}", flush=True)
            environment[variable(version)] = url
        return subprocess.run(options.command, env=environment, check=False).returncode


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("version", nargs="+", choices=sorted(PYTHONS))
    parser.add_argument("--home", type=Path, default=default_home())
    ours, command = split_at_dashes(sys.argv[1:])
    options = parser.parse_args(ours)
    if not command:
        parser.error("what to run goes after --")
    options.command = command
    return options


def split_at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What is before and after the first `--`."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def variable(version: str) -> str:
    """The environment variable that names a release's URL."""
    return f"NEXUS_LIVE_{version.replace('.', '_')}_URL"


def default_home() -> Path:
    """Where installed releases are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "nexus-bounty" / "servers"


def find_python(series: str) -> str | None:
    """A Python of that series: on the path, or one of pyenv's; `None` if there is none."""
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{series}.*/bin/python"))
    for python in (f"python{series}", *map(str, pyenv)):
        found = shutil.which(python)  # pyenv puts commands on the path that only say "not set"
        if (
            found
            and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return found
    return None


def installed(version: str, home: Path) -> Path:
    """The directory of the release's programs; installed on first use.

    Raises:
        NotHereError: There is no Python that it runs on.
    """
    pins = PINS / f"requirements-{version}.txt"
    venv, stamp = home / version, home / version / "installed"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        python = find_python(PYTHONS[version])
        if python is None:
            raise NotHereError(f"Nexus {version} needs Python {PYTHONS[version]}")
        print(f"installing Nexus {version} into {venv}, once ...", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", str(venv)], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "-q", "--no-deps", "-r", str(pins)], check=True)
        stamp.write_text(wanted)
    return venv / "bin"


@contextmanager
def running(
    version: str, home: Path | None = None, *, closed_to_all: bool = False
) -> Iterator[str]:
    """The URL of a server on fresh data; it is stopped at the end.

    0.9.18 wants `API_KEY`. 0.5.6 and 0.7.0 cannot be started with a key of one's own: they run
    open, or `closed_to_all`, with a database of keys that has none.

    Raises:
        NotHereError: It cannot run here, or did not start.
    """
    programs = installed(version, home or default_home())
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="nexus-", ignore_cleanup_errors=True) as data:
        log = Path(data) / "server.log"
        command = _command(programs, version, port, data, closed_to_all=closed_to_all)
        environment = {"NEXUS_DATABASE_URL": f"sqlite:///{data}/keys.db"} if closed_to_all else {}
        with log.open("wb") as output, _process(command, data, environment, output) as server:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, server, log)
            yield url


def _command(
    programs: Path, version: str, port: int, data: str, *, closed_to_all: bool
) -> Sequence[str]:
    listening = ["--host", "127.0.0.1", "--port", str(port), "--data-dir", f"{data}/files"]
    if version.startswith(("0.5.", "0.6.", "0.7.")):
        keys = ["--auth-type", "database"] if closed_to_all else []
        return [str(programs / "nexus"), "serve", *listening, *keys]
    keys = ["--api-key", API_KEY, "--auth-type", "static"]
    return [str(programs / "nexusd"), *listening, "--profile", "embedded", *keys]


@contextmanager
def _process(
    command: Sequence[str], data: str, more: Mapping[str, str], output: BinaryIO
) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "HOME": data,  # 0.9 keeps a file there that lets only one server run
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NEXUS_API_KEY": "",
        "NEXUS_GRPC_PORT": str(_free_port()),
        "NEXUS_RATE_LIMIT_AUTHENTICATED": "1000000/minute",  # tests write more than 300 times
        "NEXUS_RECORD_STORE_PATH": f"{data}/records.db",
        **more,
    }
    server = subprocess.Popen(command, env=environment, cwd=data, stdout=output, stderr=output)
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers."""
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end:
        if server.poll() is not None:
            said = log.read_text(errors="replace")[-2000:]
            raise NotHereError(f"the server ended with {server.returncode}:\n{said}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise NotHereError(f"the server did not answer within {SECONDS_TO_START} s")


if __name__ == "__main__":
    sys.exit(main())
