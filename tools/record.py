"""Records what Nexus releases answer to our client and store: `make record`.

    python tools/record.py                       # every release
    python tools/record.py 0.7.0 --only create   # one scenario of one release
    python tools/record.py --check               # say what would change, and change nothing

Plays the scenarios of `tests/contract` on real servers and writes
`tests/contract/fixtures/{release}/{scenario}.json`. Recording again changes nothing, unless our
requests or the server's answers have changed.

0.10.1 needs Python 3.14 and a Rust kernel and is not run. Its fixtures hold what our code sends and
what its public source answers: `MockNexus` says it, whose personality was written from that source,
and each file names the places to compare it with.
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

from nexus_bounty.mock import MockNexus  # noqa: E402 - the path comes first
from tests.contract import conversation  # noqa: E402, F401 - registers its scenarios
from tests.contract.scenarios import ALL, SCENARIOS  # noqa: E402
from tests.contract.scene import API_KEY, Recorder, Scene, play  # noqa: E402
from tests.contract.tape import Exchange, Tape, tape_path  # noqa: E402
from tools import real_nexus  # noqa: E402

RECORDED: Final = "recorded from the released server by tools/record.py"
WRITTEN: Final = (
    "not recorded: the release needs Python 3.14 and a Rust kernel. Answers as MockNexus gives "
    "them, written from the public source, github.com/nexi-lab/nexus at v0.10.1: "
)
PY: Final = "src/nexus"
SOURCES: Final = {
    "": f"{PY}/server/api/core/rpc.py, {PY}/server/_kernel_syscall_dispatch.py",
    "auth": f"{PY}/server/dependencies.py (require_auth)",
    "errors": f"{PY}/contracts/rpc_types.py, {PY}/contracts/exceptions.py",
    "read": f"{PY}/core/nexus_fs_content.py (read)",
    "read_bulk": f"{PY}/core/nexus_fs_content.py (read_bulk)",
    "write": f"{PY}/lib/occ.py, {PY}/core/nexus_fs_content.py (write)",
    "write_batch": f"{PY}/core/nexus_fs_content.py (write_batch)",
    "delete": f"{PY}/core/nexus_fs_metadata.py (sys_unlink)",
    "delete_batch": f"{PY}/core/nexus_fs_metadata.py (delete_batch)",
    "exists": f"{PY}/core/nexus_fs_metadata.py (access)",
    "exists_batch": f"{PY}/core/nexus_fs_metadata.py (exists_batch)",
    "rename": f"{PY}/core/nexus_fs_metadata.py (sys_rename)",
    "list": f"{PY}/core/nexus_fs_metadata.py (sys_readdir), {PY}/core/pagination.py",
    "bad path": "rust/kernel/src/kernel/mod.rs (validate_path_fast)",
}
"""Where the source of 0.10.1 says what a method answers."""


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
    for release in options.release or ALL:
        try:
            with _server(release) as server:
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
    parser.add_argument("release", nargs="*", choices=[*ALL, []], metavar="release")
    parser.add_argument("--only", action="append", choices=sorted(SCENARIOS), metavar="scenario")
    parser.add_argument("--check", action="store_true")
    return parser.parse_args()


@contextmanager
def _server(release: str) -> Iterator[Server]:
    """A fresh server of the release, and one of it that knows no key."""
    if release == "0.10.1":
        mock = MockNexus("0.10", api_key=API_KEY)
        yield Server(release, "http://nexus", "http://nexus", mock.transport)
        return
    with ExitStack() as servers:
        print(f"starting Nexus {release} ...", flush=True)
        url = closed = servers.enter_context(real_nexus.running(release))
        if release != "0.9.18":
            closed = servers.enter_context(real_nexus.running(release, closed_to_all=True))
        yield Server(release, url, closed, httpx.AsyncHTTPTransport)


def _record_all(server: Server, only: Sequence[str] | None, *, check: bool) -> list[str]:
    changed = []
    for name, (_, releases) in SCENARIOS.items():
        if server.release in releases and name in (only or SCENARIOS):
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
    exchanges = line.recorded()
    shows = " ".join((scenario.__doc__ or "").split())
    return Tape(shows, f"Nexus {server.release}", _origin(server.release, exchanges), exchanges)


def _origin(release: str, exchanges: Sequence[Exchange]) -> str:
    if release != "0.10.1":
        return RECORDED
    about = {"", *(each.send["path"].rpartition("/")[2] for each in exchanges)}
    for body in (each.hear["body"] for each in exchanges):
        about |= {"auth"} if "detail" in body else set()
        about |= {"errors"} if "error" in body else set()
        about |= {"bad path"} if "Invalid path" in str(body) else set()
    return WRITTEN + ", ".join(place for name, place in SOURCES.items() if name in about)


if __name__ == "__main__":
    sys.exit(main())
