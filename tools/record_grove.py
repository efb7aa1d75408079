"""Records what Grove's own code reads and writes in a zone that we share with it.

    git clone https://github.com/windoliver/grove
    python tools/record_grove.py grove          # needs Node 20 and npm

Bundles Grove's Nexus stores as published (its TypeScript, with esbuild), lets them and ours take
turns in one zone of a mock server, and writes `tests/contract/grove/turns.json`. Then Grove alone
makes its calls on a mock of each release, for `tests/contract/grove/on_servers.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nexus_bounty.mock import MockNexus, running  # noqa: E402 - the path comes first
from tests.contract.grove import on_servers  # noqa: E402
from tests.contract.grove import shared_zone as zone  # noqa: E402
from tests.contract.tape import laid_out  # noqa: E402

ENTRY: Final = """
export { NexusBountyStore } from "./src/nexus/nexus-bounty-store.ts";
export { NexusClaimStore } from "./src/nexus/nexus-claim-store.ts";
export { NexusHttpClient } from "./src/nexus/nexus-http-client.ts";
"""
NO_BLAKE3: Final = "export function hash() { throw new Error('only contributions are hashed'); }"
"""Grove's blake3 is compiled for each platform; bounties and claims do not use it."""


def main() -> int:
    """Record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("grove", type=Path, help="a checkout of Grove")
    grove = parser.parse_args().grove.resolve()
    with tempfile.TemporaryDirectory(prefix="grove-") as place:
        _bundle(grove, Path(place))
        turns = asyncio.run(_play(Path(place)))
        servers = asyncio.run(_on_servers(Path(place)))
    origin = _output("git", "rev-parse", "HEAD", at=grove).strip()
    origin = f"recorded by tools/record_grove.py from github.com/windoliver/grove at {origin}"
    _keep(
        zone.TURNS,
        shows="A zone that Grove and we write in turns.",
        origin=origin,
        turns=[turn.as_json() for turn in turns],
    )
    _keep(
        on_servers.RECORDED,
        shows="What Grove does on servers of each release.",
        origin=origin,
        servers=servers,
    )
    print(f"{len(turns)} turns, {len(servers)} servers")
    return 0


def _keep(at: Path, **document: Any) -> None:
    at.write_text(laid_out(document) + "\n")


def _bundle(grove: Path, place: Path) -> None:
    """Put Grove's stores into one module that Node runs."""
    shutil.copytree(grove / "src", place / "src")
    shutil.copy(ROOT / "tools" / "record_grove.mjs", place)
    (place / "entry.ts").write_text(ENTRY)
    (place / "blake3.mjs").write_text(NO_BLAKE3)
    (place / "package.json").write_text('{"type": "module", "private": true}')
    zod = json.loads((grove / "package.json").read_text())["dependencies"]["zod"]
    _output("npm", "install", "--no-audit", "--no-fund", "esbuild", f"zod@{zod}", at=place)
    bundling = ["--bundle", "--platform=node", "--format=esm", "--alias:blake3=./blake3.mjs"]
    _output("npx", "esbuild", "entry.ts", *bundling, "--outfile=grove.mjs", at=place)


def _output(*command: str, at: Path) -> str:
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}:\n{done.stderr}")
    return done.stdout


async def _play(place: Path) -> list[zone.Turn]:
    server = zone.shared_server()
    turns = []
    async with running(server) as url:
        for each in zone.PLAY:
            before = zone.files_of(server)
            answers = await _take(each, server, url, place)
            left = zone.changes(before, zone.files_of(server))
            turns.append(zone.Turn("us" if isinstance(each, str) else "grove", each, left, answers))
    return turns


async def _on_servers(place: Path) -> dict[str, Any]:
    """What Grove's calls do on a mock of each release, each row on a new one."""
    releases = [release for column in on_servers.COLUMNS.values() for release in column]
    return {
        release.value: {
            row: await _row(on_servers.a_zone(release), calls, place)
            for row, calls in on_servers.ROWS.items()
        }
        for release in releases
    }


async def _row(server: MockNexus, calls: list[zone.Call], place: Path) -> dict[str, Any]:
    before = zone.files_of(server)
    async with running(server) as url:
        answers = await _take(calls, server, url, place)
    errors = [each["error"] for each in answers if isinstance(each, dict) and "error" in each]
    return on_servers.as_recorded(zone.changes(before, zone.files_of(server)), errors)


async def _take(turn: str | list[zone.Call], server: MockNexus, url: str, place: Path) -> list[Any]:
    if isinstance(turn, str):
        async with zone.ours(server.transport()) as client:
            await zone.OUR_TURNS[turn](zone.Us(client))
        return []
    command = ["node", "record_grove.mjs", url, zone.ZONE, zone.NOW.isoformat(), json.dumps(turn)]
    node = await asyncio.create_subprocess_exec(
        *command, cwd=place, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    answers, trouble = await node.communicate()
    if node.returncode:
        sys.exit(trouble.decode())
    return list(json.loads(answers))


if __name__ == "__main__":
    sys.exit(main())
