"""Records what Nexus releases answer to our client and store: `make record`.

    python tools/record.py                       # every release that the package index has
    python tools/record.py 0.7.0 --only create   # one scenario of one release
    python tools/record.py --check               # say what would change, and change nothing
    python tools/record.py --release 0.10.1 --url http://127.0.0.1:2026   # one that runs already

Plays the scenarios of `tests/contract` on real servers and writes
`tests/contract/fixtures/{release}/{scenario}.json`. Recording again changes nothing, unless our
requests or the server's answers have changed.

A server of your own must have no zones yet, take the key `sk-test`, and refuse another. 0.9.19 and
later need a kernel that is in no package index: build it, start it, and say where it is.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import httpx

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.contract import conversation  # noqa: E402, F401 - the path comes first
from tests.contract.scenarios import ALL, EARLIER, SCENARIOS  # noqa: E402
from tests.contract.scene import Recorder, Scene, play  # noqa: E402
from tests.contract.tape import Tape, origin, tape_path  # noqa: E402
from tools import real_nexus  # noqa: E402


class Server(NamedTuple):
    """A release that can be reached."""

    release: str
    url: str
    closed: str
    """The URL of one that knows no key."""
    transport: Callable[[], httpx.AsyncBaseTransport]


def main() -> int:
    """Record; returns 1 where a check finds differences."""
    options = _options()
    logging.disable(logging.WARNING)
    changed: list[str] = []
    for release in options.release or real_nexus.PYTHONS:
        try:
            with _server(release, options.url) as server:
                changed += _record_all(server, options.only, check=options.check)
        except real_nexus.NotHereError as error:
            print(f"{release}: left out: {error}")
            if options.release:
                return 2
    verb = "would change" if options.check else "changed"
    print(f"{len(changed)} {verb}" + "".join(f"\n  {each}" for each in changed))
    return int(options.check and bool(changed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("started", nargs="*", metavar="release", help=", ".join(real_nexus.PYTHONS))
    parser.add_argument("--only", action="append", choices=sorted(SCENARIOS), metavar="scenario")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--url", help="a server that runs already; say with --release which it is")
    parser.add_argument("--release", choices=ALL)
    options = parser.parse_args()
    if bool(options.url) != bool(options.release) or (options.url and options.started):
        parser.error("--url and --release belong together, and name the only server")
    if unknown := set(options.started) - set(real_nexus.PYTHONS):
        parser.error(f"cannot be started from here: {', '.join(sorted(unknown))}")
    options.release = [options.release] if options.release else options.started
    return options


@contextmanager
def _server(release: str, url: str | None) -> Iterator[Server]:
    """The server at `url`, or a fresh one of the release, and one of it that knows no key."""
    if url is not None:
        yield Server(release, url, url, httpx.AsyncHTTPTransport)
        return
    with ExitStack() as servers:
        print(f"starting Nexus {release} ...", flush=True)
        started = closed = servers.enter_context(real_nexus.running(release))
        if release != "0.9.18":
            closed = servers.enter_context(real_nexus.running(release, closed_to_all=True))
        yield Server(release, started, closed, httpx.AsyncHTTPTransport)


def _record_all(server: Server, only: Sequence[str] | None, *, check: bool) -> list[str]:
    changed = []
    for name, (_, releases) in SCENARIOS.items():
        wanted = server.release in (*releases, *EARLIER[name])
        if wanted and name in (only or SCENARIOS):
            began = time.monotonic()
            tape = asyncio.run(_record(server, name))
            path = tape_path(server.release, name)
            differs = not path.exists() or Tape.load(path) != tape
            if differs:
                changed.append(str(path.relative_to(ROOT)))
            if differs and not check:
                tape.save(path)
            took = time.monotonic() - began
            print(f"{server.release} {name}: {len(tape.exchanges)} exchanges, {took:.1f} s")
    return changed


async def _record(server: Server, name: str) -> Tape:
    scenario, _ = SCENARIOS[name]
    async with server.transport() as transport:
        line = Recorder(transport)
        await play(scenario, Scene(server.release, line, server.url, server.closed))
    shows = " ".join((scenario.__doc__ or "").split())
    return Tape(shows, f"Nexus {server.release}", origin(server.release), line.recorded())


if __name__ == "__main__":
    sys.exit(main())
