"""Records what a NexusPay server answers to our credits, into `tests/adapters/nexuspay/fixtures`.

    python tools/record_nexuspay.py 0.9.18
    python tools/record_nexuspay.py 0.10.1 --url http://127.0.0.1:2026 --origin 'how it was run'

0.9.18 is installed and started; each scenario gets a server of its own. It forgets half of the
transfers that it acknowledges, at random, so that every recording is another one. 0.10.1 needs
Python 3.14 and a Rust kernel: only the router of its `/api/v2/pay` runs without them, served alone
at `--url`, with fresh data for each scenario (`--only`).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.adapters.nexuspay.pay_scenarios import FIXTURES, RELEASES, SCENARIOS  # noqa: E402
from tests.contract.scene import Recorder, Scene, play  # noqa: E402 - the path comes first
from tests.contract.tape import Tape  # noqa: E402
from tools import real_nexus  # noqa: E402

RECORDED: Final = "recorded from the released server by tools/record_nexuspay.py"


def main() -> int:
    """Record; returns 0."""
    options = _options()
    logging.disable(logging.WARNING)
    for name, (_, releases) in SCENARIOS.items():
        if options.release in releases and name in (options.only or SCENARIOS):
            with _server(options.release, options.url) as url:
                tape = asyncio.run(_record(options.release, name, url, options.origin))
            tape.save(FIXTURES / options.release / f"{name}.json")
            print(f"{options.release} {name}: {len(tape.exchanges)} exchanges", flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("release", choices=RELEASES)
    parser.add_argument("--only", action="append", choices=sorted(SCENARIOS), metavar="scenario")
    parser.add_argument("--url", help="a server that runs already, on fresh data")
    parser.add_argument("--origin", default=RECORDED, help="what the file says of where it is from")
    return parser.parse_args()


@contextmanager
def _server(release: str, url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with real_nexus.running(release) as started:
        yield started


async def _record(release: str, name: str, url: str, origin: str) -> Tape:
    scenario, _ = SCENARIOS[name]
    async with httpx.AsyncHTTPTransport() as transport:
        line = Recorder(transport)
        await play(scenario, Scene(release, line, url))
    shows = " ".join((scenario.__doc__ or "").split())
    return Tape(shows, f"Nexus {release}", origin, line.recorded())


if __name__ == "__main__":
    sys.exit(main())
