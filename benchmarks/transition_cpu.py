"""How much CPU a warm transition takes beyond httpx, on each kind of server.

The lives of many bounties are recorded once, with what a mock answered. Then a store lives them
again on those very answers, which cost next to nothing, and httpx posts the same bodies to the same
answers, in turns. What the store takes more is its own work: to classify answers, to believe etags,
to decode a document and its history, to check the transition, and to encode the next document.
Beside it is what building and reading the same requests costs at least: httpx's own `Request` and
`Response`, without a client around them.
"""

from __future__ import annotations

import re
import time
import uuid
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx

from benchmarks.harness.charts import bars
from benchmarks.harness.options import Options
from benchmarks.harness.personalities import KINDS
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Spread, Step, take_turns
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import EPOCH, a_bounty
from nexus_bounty import AgentIdentity, NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.mock.transport import one_tick

if TYPE_CHECKING:
    from matplotlib.figure import Figure

URL = "http://nexus"
WORKER = AgentIdentity(agent_id="worker")
LATER = 60.0
"""What is left for later waits for the end, so that every turn sends the same batches."""
TRANSITIONS = 4
"""Of a life: create, claim, begin settlement, settle."""
STORE, CLIENT, BARE = "the store", "httpx's client", "httpx's requests and answers alone"
TURNS = 3

Asked = tuple[str, bytes]
Said = tuple[int, list[tuple[bytes, bytes]], tuple[bytes, bytes, bytes]]
"""Status, headers, and the body before, with and after the number of the request."""
_ID = re.compile(rb'"id":[0-9]+')
_NONE = b"no number"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the lives of some bounties sent, in its order, and everything that was answered."""

    asked: list[Asked]
    answers: dict[Asked, list[Said]]


class Recorder(httpx.AsyncBaseTransport):
    """Carries requests to a mock and keeps what was said."""

    def __init__(self, mock: MockNexus) -> None:
        self._inner = mock.transport()
        self.recorded = Recorded([], defaultdict(list))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry it, and keep request and answer."""
        sent = await request.aread()
        response = await self._inner.handle_async_request(request)
        body = await response.aread()
        headers = [each for each in response.headers.raw if each[0].lower() != b"content-length"]
        self.recorded.asked.append((request.url.path, sent))
        said = response.status_code, headers, body.partition(_id_in(sent))
        self.recorded.answers[_asked(request.url.path, sent)].append(said)
        return httpx.Response(response.status_code, headers=headers, stream=httpx.ByteStream(body))


class Replayed(httpx.AsyncBaseTransport):
    """Answers what was answered before, the first time first."""

    def __init__(self, recorded: Recorded) -> None:
        self._left = {asked: deque(answers) for asked, answers in recorded.answers.items()}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The recorded answer; what was never asked is an error."""
        sent = request.content
        for _there_and_back in range(2):  # as with the mock: what goes together does so again
            await one_tick("")
        status, headers, (before, number, after) = self._left[
            _asked(request.url.path, sent)
        ].popleft()
        body = before + (number and _id_in(sent)) + after
        headers = [(b"content-length", b"%d" % len(body)), *headers]
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def _id_in(body: bytes) -> bytes:
    """Its number, which is another when requests that are sent together change places."""
    found = _ID.search(body)
    return found[0] if found else _NONE


def _asked(route: str, body: bytes) -> Asked:
    return route, body.replace(_id_in(body), b"", 1)


async def measure(options: Options, step: Step) -> Report:
    """Live on recorded answers, and post the same bodies, in turns."""
    bounties = options.pick(tiny=3, quick=30, full=100)
    found = {name: await _measured(name, bounties, TURNS * options.turns, step) for name in KINDS}
    return _report(found)


async def _measured(name: str, bounties: int, turns: int, step: Step) -> dict[str, list[float]]:
    mock = MockNexus(KINDS[name], clock=_always)
    await _pin(mock)
    recorder = Recorder(mock)
    _, warmed = await _lived(recorder, bounties, recorder.recorded)
    recorded = recorder.recorded
    taken = {
        STORE: lambda: _store(recorded, bounties),
        CLIENT: lambda: _posted(recorded, warmed),
        BARE: lambda: _built(recorded, warmed),
    }
    found = await take_turns(taken, turns, step)
    return {
        who: [1e6 * each / (bounties * TRANSITIONS) for each in all_] for who, all_ in found.items()
    }


async def _pin(mock: MockNexus) -> None:
    """Have it found out how to commit: the names that a probe makes up are new every time."""
    async with NexusClient(URL, transport=mock.transport()) as client:
        store = NexusBountyStore(client, zone_id="z", clock=_always)  # that of the stores to come
        await store.create_bounty(a_bounty("first"))


async def _store(recorded: Recorded, bounties: int) -> float:
    took, _ = await _lived(Replayed(recorded), bounties, recorded)
    return took


async def _lived(
    transport: httpx.AsyncBaseTransport, bounties: int, recorded: Recorded
) -> tuple[float, int]:
    """The seconds of CPU that the lives took, and how many requests the warm-up had sent."""
    settings = NexusSettings(url=URL, cleanup_delay=LATER)
    chance = Random(0)

    def drawn_id() -> uuid.UUID:
        return uuid.UUID(int=chance.getrandbits(128), version=4)

    with patch("uuid.uuid4", drawn_id):  # which names what is staged
        return await _lived_on(
            NexusClient(settings=settings, transport=transport), bounties, recorded
        )


async def _lived_on(client: NexusClient, bounties: int, recorded: Recorded) -> tuple[float, int]:
    async with client:
        store = NexusBountyStore(client, zone_id="z", clock=_always).cleaning_up(later=True)
        await _live(store, "warm-up")
        await client.flush()
        warmed, began = len(recorded.asked), time.process_time()
        for number in range(bounties):
            await _live(store, f"bounty-{number}")
        await client.flush()
        return time.process_time() - began, warmed


async def _live(store: NexusBountyStore, bounty_id: str) -> None:
    await store.create_bounty(a_bounty(bounty_id), idempotency_key=f"{bounty_id}-create")
    await store.claim_bounty(bounty_id, WORKER, "claim-1", idempotency_key=f"{bounty_id}-claim")
    await store.begin_settlement(bounty_id, "cid-1", idempotency_key=f"{bounty_id}-begin")
    await store.settle_bounty(bounty_id, idempotency_key=f"{bounty_id}-settle")


def _always() -> datetime:
    return EPOCH


async def _posted(recorded: Recorded, warmed: int) -> float:
    async with httpx.AsyncClient(
        base_url=URL, headers={"Content-Type": "application/json"}, transport=Replayed(recorded)
    ) as client:
        began = time.process_time()
        for route, body in recorded.asked[warmed:]:
            await client.post(route, content=body)
        return time.process_time() - began


async def _built(recorded: Recorded, warmed: int) -> float:
    transport = Replayed(recorded)
    headers = {"Content-Type": "application/json", "Host": "nexus"}
    began = time.process_time()
    for route, body in recorded.asked[warmed:]:
        request = httpx.Request("POST", URL + route, headers=headers, content=body)
        response = await transport.handle_async_request(request)
        await response.aread()
        await response.aclose()
    return time.process_time() - began


def _report(found: dict[str, dict[str, list[float]]]) -> Report:
    rows, figures = [], {}
    for name, each in found.items():
        beyond = [a - b for a, b in zip(each[STORE], each[CLIENT], strict=True)]
        rows.append(
            [name, *(Spread.of(each[who]) for who in (STORE, CLIENT, BARE)), Spread.of(beyond)]
        )
        figures[name] = Spread.of(beyond).figures
    columns = ["server", f"{STORE}, CPU µs", CLIENT, BARE, "beyond httpx's client"]
    title = "CPU a warm transition: those of lives by the store alone, what is cleaned up included"
    return Report(
        "transition_cpu",
        {"cpu_microseconds_a_transition_beyond_httpx": figures},
        [Table(title, columns, rows)],
        lambda figure: _draw(figure, found),
    )


def _draw(figure: Figure, found: dict[str, dict[str, list[float]]]) -> None:
    axes = figure.subplots()
    bars(axes, list(found), [Spread.of(each[STORE]) for each in found.values()])
    axes.set(title="CPU µs a transition")


if __name__ == "__main__":
    run_alone(measure)
