"""Starts real Nexus servers, tests on them, and prints a table for each: `make live`.

    python tools/live.py                # every release whose Python is on this machine
    python tools/live.py 0.5.6 --quick  # what CI does
    python tools/live.py 0.7.0 -- -k races
    python tools/live.py --release 0.10.1 --url http://127.0.0.1:2026   # one that runs already

A server of your own has no zones yet, and takes the key in `NEXUS_LIVE_API_KEY`, or else sk-test.
What comes after -- goes to pytest. Ends after `--minutes` at the latest. `--quick` leaves out what
waits for renames, each of which takes half a minute on 0.5.6: races, kills and probes of ours.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.live.servers import RELEASES  # noqa: E402 - the path comes first
from tools import real_nexus  # noqa: E402


def main() -> int:
    """Run the live tests; returns pytest's exit code."""
    ours, for_pytest = real_nexus.split_at_dashes(sys.argv[1:])
    options = _options(ours)
    environment = {"NEXUS_LIVE_API_KEY": real_nexus.API_KEY} | os.environ
    with ExitStack() as servers:
        if options.url:
            environment[real_nexus.variable(options.release)] = options.url
        else:
            environment |= _started(servers, options)
        quick = ["--ignore=tests/live/test_rename.py"] if options.quick else []
        return _test(environment, [*quick, *for_pytest], options.minutes * 60)


def _started(servers: ExitStack, options: argparse.Namespace) -> dict[str, str]:
    """Where the servers are that were started, by the variables that say so."""
    found = {"NEXUS_LIVE_API_KEY": real_nexus.API_KEY}
    for version in options.version or real_nexus.PYTHONS:
        try:
            url = servers.enter_context(real_nexus.running(version, options.home))
        except real_nexus.NotHereError as error:
            if options.version:
                sys.exit(str(error))
            print(f"Nexus {version} is left out: {error}", flush=True)
            continue
        print(f"Nexus {version} is at {url}", flush=True)
        found[real_nexus.variable(version)] = url
    return found


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("version", nargs="*", help=", ".join(real_nexus.PYTHONS))
    parser.add_argument("--home", type=Path, default=real_nexus.default_home())
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--url", help="a server that runs already; say with --release which it is")
    parser.add_argument("--release", choices=RELEASES)
    options = parser.parse_args(arguments)
    if unknown := set(options.version) - set(real_nexus.PYTHONS):
        parser.error(f"no such release here: {', '.join(sorted(unknown))}")
    if bool(options.url) != bool(options.release) or (options.url and options.version):
        parser.error("--url and --release belong together, and name the only server")
    return options


def _test(environment: dict[str, str], for_pytest: list[str], seconds: float) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "live", "tests/live", *for_pytest]
    try:
        ended = subprocess.run(command, env=environment, cwd=ROOT, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        print(f"the live tests did not end within {seconds / 60:g} minutes", flush=True)
        return 1
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
