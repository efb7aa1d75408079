"""Starts real Nexus servers, tests on them, and prints a table for each: `make live`.

    python tools/live.py                # every release whose Python is on this machine
    python tools/live.py 0.5.6 --quick  # what CI does
    python tools/live.py 0.7.0 -- -k races

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

from tools import real_nexus  # noqa: E402 - the path comes first


def main() -> int:
    """Run the live tests; returns pytest's exit code."""
    ours, for_pytest = real_nexus.split_at_dashes(sys.argv[1:])
    options = _options(ours)
    environment = os.environ | {"NEXUS_LIVE_API_KEY": real_nexus.API_KEY}
    with ExitStack() as servers:
        for version in options.version or real_nexus.PYTHONS:
            try:
                url = servers.enter_context(real_nexus.running(version, options.home))
            except real_nexus.NotHereError as error:
                if options.version:
                    sys.exit(str(error))
                print(f"Nexus {version} is left out: {error}", flush=True)
                continue
            print(f"Nexus {version} is at {url}", flush=True)
            environment[real_nexus.variable(version)] = url
        quick = ["--ignore=tests/live/test_rename.py"] if options.quick else []
        return _test(environment, [*quick, *for_pytest], options.minutes * 60)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("version", nargs="*", help=", ".join(real_nexus.PYTHONS))
    parser.add_argument("--home", type=Path, default=real_nexus.default_home())
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if unknown := set(options.version) - set(real_nexus.PYTHONS):
        parser.error(f"no such release here: {', '.join(sorted(unknown))}")
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
