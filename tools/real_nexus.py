"""Runs a command against a real, released Nexus server on a loopback port.

    python tools/real_nexus.py 0.5.6 -- pytest -m live

Installs the release from the package index, pinned, into an environment of its own that is kept
for the next time (`--home`, by default `.cache/real-nexus`), starts it on fresh data, sets
`NEXUS_LIVE_URL` and `NEXUS_LIVE_VERSION` for the command, and stops it afterwards.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tests" / "live"
PYTHONS = {"0.5.6": (3, 11)}
SECONDS_TO_START = 90


def main() -> int:
    """Run the command; returns its exit code."""
    options = _options()
    wanted = PYTHONS[options.version]
    if sys.version_info[:2] != wanted:
        sys.exit(f"Nexus {options.version} needs Python {'.'.join(map(str, wanted))}")
    nexus = _installed(options.version, options.home / options.version)
    with tempfile.TemporaryDirectory(prefix="nexus-") as data, _running(nexus, data) as url:
        print(f"Nexus {options.version} is at {url}", flush=True)
        environment = os.environ | {
            "NEXUS_LIVE_URL": url,
            "NEXUS_LIVE_VERSION": options.version,
        }
        return subprocess.run(options.command, env=environment, check=False).returncode


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("version", choices=sorted(PYTHONS))
    parser.add_argument("--home", type=Path, default=ROOT / ".cache" / "real-nexus")
    parser.add_argument("command", nargs="+", help="what to run, after --")
    return parser.parse_args()


def _installed(version: str, home: Path) -> Path:
    """The server's executable; installed on first use."""
    nexus = home / "bin" / "nexus"
    stamp = home / "installed"
    if not stamp.exists():
        print(f"installing Nexus {version} into {home}, once ...", flush=True)
        venv.create(home, with_pip=True, clear=True)
        pins = PINS / f"requirements-{version}.txt"
        install = [home / "bin" / "python", "-m", "pip", "install", "-q", "--no-deps", "-r", pins]
        subprocess.run([str(each) for each in install], check=True)
        stamp.touch()
    return nexus


@contextmanager
def _running(nexus: Path, data: str) -> Iterator[str]:
    """The URL of a server on fresh data; it is stopped at the end."""
    port = _free_port()
    environment = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NEXUS_API_KEY": ""}
    serve = [str(nexus), "serve", "--host", "127.0.0.1", "--port", str(port), "--data-dir", data]
    log = Path(data).with_suffix(".log")
    with log.open("wb") as output:
        server = subprocess.Popen(serve, env=environment, stdout=output, stderr=output)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, server, log)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            log.unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers.

    Raises:
        SystemExit: It ended, or does not answer in time.
    """
    for _ in range(SECONDS_TO_START * 5):
        if server.poll() is not None:
            sys.exit(f"the server ended with {server.returncode}:\n{log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit(f"the server did not answer within {SECONDS_TO_START} s")


if __name__ == "__main__":
    sys.exit(main())
