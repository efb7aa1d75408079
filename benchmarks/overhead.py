"""What the store adds to the requests it sends: against raw httpx sending the very same bytes.

The requests of many bounties' lives (create, claim, begin settlement, settle, by the store alone)
are recorded once. Then the store lives them again, and raw httpx posts the recorded bodies one
after another: same server, same bytes but for the zone's name, in turns. The store is measured on
httpx's own transport, like for like, and as it comes.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING

import httpx

from benchmarks.harness.charts import bars
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Spread, Step, rounded, take_turns
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import EPOCH, Server, a_bounty, mock_server
from nexus_bounty import AgentIdentity, NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RAW = "raw httpx"
STORE_ON_HTTPX = "store on httpx's transport"
STORE = "store as it comes"
WORKER = AgentIdentity(agent_id="worker")
ZONE = "overhead"
LATER = 60.0
TURNS = 3
"""Short turns, and more of them: a disturbance then spoils few."""


@dataclass(frozen=True, slots=True)
class Took:
    """What one turn took, in seconds a request."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request, as bytes."""

    route: str
    body: bytes


class Recorder(httpx.AsyncBaseTransport):
    """Carries requests on and keeps their bodies."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.requests: list[Recorded] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Keep the request and carry it on."""
        self.requests.append(Recorded(request.url.path, await request.aread()))
        return await self._inner.handle_async_request(request)


async def measure(options: Options, step: Step) -> Report:
    """Live and replay in turns."""
    bounties = options.pick(tiny=3, quick=25, full=100)
    recorded = await _recorded(bounties)
    with mock_server() as server:
        async with (
            httpx.AsyncClient(
                base_url=server.url, headers={"Content-Type": "application/json"}
            ) as raw,
            NexusClient(
                settings=_settings(server.url), transport=httpx.AsyncHTTPTransport()
            ) as on_httpx,
            NexusClient(settings=_settings(server.url)) as as_it_comes,
        ):
            turns = {
                RAW: _turn(server, lambda: _replay(raw, recorded), len(recorded)),
                STORE_ON_HTTPX: _turn(server, lambda: _live(on_httpx, bounties), len(recorded)),
                STORE: _turn(server, lambda: _live(as_it_comes, bounties), len(recorded)),
            }
            found = await take_turns(turns, TURNS * options.turns, step)
    return _report(found, len(recorded))


async def _recorded(bounties: int) -> list[Recorded]:
    recorder = Recorder(MockNexus("0.10-hypothetical").transport())
    async with NexusClient(settings=_settings("http://nexus"), transport=recorder) as client:
        await _live(client, bounties)
    return recorder.requests


def _settings(url: str) -> NexusSettings:
    """What is left for later waits for the end, so that a slow machine sends no more requests."""
    return NexusSettings(url=url, cleanup_delay=LATER)


async def _live(client: NexusClient, bounties: int) -> None:
    """The same bytes every time: ids, keys and times are the same, and so are the etags."""
    client.random = Random(0)
    store = NexusBountyStore(client, zone_id=ZONE, commit="conditional", clock=_always)
    for number in range(bounties):
        bounty_id = f"bounty-{number}"
        await store.create_bounty(a_bounty(bounty_id))
        await store.claim_bounty(bounty_id, WORKER, "claim-1")
        await store.begin_settlement(bounty_id, "cid-1")
        await store.settle_bounty(bounty_id)
    await client.flush()


def _always() -> datetime:
    return EPOCH


async def _replay(raw: httpx.AsyncClient, recorded: list[Recorded]) -> None:
    for request in recorded:
        response = await raw.post(request.route, content=request.body)
        if b'"error"' in response.content:
            raise RuntimeError(f"the replay was refused: {response.text}")


def _turn(
    server: Server, run: Callable[[], Awaitable[None]], requests: int
) -> Callable[[], Awaitable[Took]]:
    async def turn() -> Took:
        server.clear()
        wall, cpu = time.perf_counter(), time.process_time()
        await run()
        took = Took((time.perf_counter() - wall) / requests, (time.process_time() - cpu) / requests)
        if server.requests != requests:
            raise RuntimeError(f"{server.requests} requests instead of {requests}")
        return took

    return turn


def _report(found: dict[str, list[Took]], requests: int) -> Report:
    rows = []
    ratios: dict[str, Spread] = {}
    for name, turns in found.items():
        wall, cpu = ([getattr(each, kind) * 1e6 for each in turns] for kind in ("wall", "cpu"))
        ratios[name] = Spread.of_ratios(
            [each.wall for each in turns], [each.wall for each in found[RAW]]
        )
        rows.append([name, Spread.of(wall), Spread.of(cpu), "" if name == RAW else ratios[name]])
    title = f"{requests} requests of bounties' lives, one after another"
    columns = ["", "µs a request", "CPU µs a request", "× raw httpx, in time"]
    return Report(
        "overhead",
        {
            "overhead_vs_raw_httpx": rounded(ratios[STORE_ON_HTTPX].median),
            "overhead": {
                "store_on_httpx_vs_raw_httpx": ratios[STORE_ON_HTTPX].figures,
                "store_as_it_comes_vs_raw_httpx": ratios[STORE].figures,
                "microseconds_a_request": {
                    name: Spread.of([each.wall * 1e6 for each in turns]).figures
                    for name, turns in found.items()
                },
            },
        },
        [Table(title, columns, rows)],
        lambda figure: _draw(figure, found),
    )


def _draw(figure: Figure, found: dict[str, list[Took]]) -> None:
    axes = figure.subplots()
    bars(axes, list(found), [Spread.of([t.wall * 1e6 for t in turns]) for turns in found.values()])
    axes.set(title="µs a request, the same requests")


if __name__ == "__main__":
    run_alone(measure)
