"""What carrying a request costs: httpx, its transport alone, others that plug into it, a socket.

The same conditional-free write of about 800 bytes, one after another and 32 at once. "CPU" is
what this process spends, threads included; the server has a core of its own where there are two.
The second table compares HTTP/1.1 with HTTP/2 on a server that speaks both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import httpx

from benchmarks.harness.charts import lying_bars
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Spread, Step, part_of, take_turns
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import mock_server
from nexus_bounty import NexusClient
from nexus_bounty.nexus.client import wire

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Send = Callable[[bytes], Awaitable[object]]
Opened = AbstractAsyncContextManager[Send]

AT_ONCE = (1, 32)
ROUTE = "/api/nfs/write"
HEADERS = {"Content-Type": "application/json"}
CONTENT = b'{"a":"' + b"x" * 600 + b'"}'
PATH = "/zones/transports/one.json"
HTTPX = "httpx"


@dataclass(frozen=True, slots=True)
class Carried:
    """What one turn measured."""

    per_second: float
    cpu_microseconds: float


async def measure(options: Options, step: Step) -> Report:
    """Send the same write in every way there is."""
    found: dict[str, dict[str, list[Carried]]] = {}
    with mock_server() as server:
        ways = {name: open_(server.url) for name, open_ in _ways().items()}
        for at_once in AT_ONCE:
            found[f"{at_once} at once"] = await _compare(ways, at_once, options, step)
    if find_spec("hypercorn"):
        with mock_server(http2=True) as server:
            for at_once in AT_ONCE:
                ways = {name: open_(server.url) for name, open_ in _versions().items()}
                title = f"HTTP/1.1 and HTTP/2, {at_once} at once"
                found[title] = await _compare(ways, at_once, options, step)
    return _report(found)


async def _compare(
    ways: dict[str, Callable[[], Opened]], at_once: int, options: Options, step: Step
) -> dict[str, list[Carried]]:
    seconds = options.pick(tiny=0.1, quick=0.4, full=2.0)
    async with AsyncExitStack() as opened:
        turns = {
            name: _turn(await opened.enter_async_context(open_()), at_once, seconds)
            for name, open_ in ways.items()
        }
        return await take_turns(turns, options.turns, part_of(step, f"{at_once} at once"))


def _turn(send: Send, at_once: int, seconds: float) -> Callable[[], Awaitable[Carried]]:
    body = wire.encode_request("write", {"path": PATH, "content": wire.encode_bytes(CONTENT)}, 1)

    async def again_and_again(until: float) -> int:
        sent = 0
        while time.perf_counter() < until:
            with suppress(httpx.TransportError):  # pyreqwest reuses what the server has closed
                await send(body)
                sent += 1
        return sent

    async def turn() -> Carried:
        await asyncio.gather(*(send(body) for _ in range(at_once)), return_exceptions=True)
        began, cpu = time.perf_counter(), time.process_time()
        until = began + seconds
        sent = sum(await asyncio.gather(*(again_and_again(until) for _ in range(at_once))))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        return Carried(sent / took, cpu / sent * 1e6)

    return turn


def _ways() -> dict[str, Callable[[str], Callable[[], Opened]]]:
    """Every way to send a request, by name; those that are not installed are left out."""
    ways: dict[str, Callable[[str], Callable[[], Opened]]] = {
        HTTPX: lambda url: lambda: _client(url),
        "httpx's transport alone": lambda url: lambda: _alone(url, httpx.AsyncHTTPTransport()),
    }
    if find_spec("httpx_aiohttp"):
        ways["httpx on aiohttp"] = lambda url: lambda: _client(url, _aiohttp())
        ways["aiohttp's transport alone"] = lambda url: lambda: _alone(url, _aiohttp())
    if find_spec("pyreqwest"):
        ways["httpx on pyreqwest"] = lambda url: lambda: _client(url, _pyreqwest())
        ways["pyreqwest's transport alone"] = lambda url: lambda: _alone(url, _pyreqwest())
    ways["NexusClient as it comes"] = lambda url: lambda: _nexus(url)
    ways["bare sockets"] = lambda url: lambda: _bare(url)
    return ways


def _versions() -> dict[str, Callable[[str], Callable[[], Opened]]]:
    def httpx_on(url: str, *, http2: bool) -> Opened:
        transport = httpx.AsyncHTTPTransport(http1=not http2, http2=http2)
        return _client(url, transport)

    versions: dict[str, Callable[[str], Callable[[], Opened]]] = {
        "httpx, HTTP/1.1": lambda url: lambda: httpx_on(url, http2=False),
        "httpx, HTTP/2": lambda url: lambda: httpx_on(url, http2=True),
    }
    if find_spec("pyreqwest"):
        versions["pyreqwest, HTTP/1.1"] = lambda url: lambda: _alone(url, _pyreqwest())
        versions["pyreqwest, HTTP/2"] = lambda url: lambda: _alone(url, _pyreqwest(http2=True))
    return versions


def _aiohttp() -> httpx.AsyncBaseTransport:
    from httpx_aiohttp import AiohttpTransport

    return AiohttpTransport()


def _pyreqwest(*, http2: bool = False) -> httpx.AsyncBaseTransport:
    from pyreqwest.client import ClientBuilder
    from pyreqwest.compatibility.httpx import HttpxTransport

    builder = ClientBuilder()
    return HttpxTransport((builder.http2_prior_knowledge() if http2 else builder).build())


@asynccontextmanager
async def _client(
    url: str, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[Send]:
    async with httpx.AsyncClient(base_url=url, headers=HEADERS, transport=transport) as client:

        async def send(body: bytes) -> None:
            (await client.post(ROUTE, content=body)).raise_for_status()

        yield send


@asynccontextmanager
async def _alone(url: str, transport: httpx.AsyncBaseTransport) -> AsyncIterator[Send]:
    target = httpx.URL(url + ROUTE)
    headers = {**HEADERS, "Host": target.netloc.decode()}
    async with transport:

        async def send(body: bytes) -> None:
            request = httpx.Request("POST", target, headers=headers, content=body)
            response = await transport.handle_async_request(request)
            await response.aread()

        yield send


@asynccontextmanager
async def _nexus(url: str) -> AsyncIterator[Send]:
    async with NexusClient(url) as client:

        async def send(_body: bytes) -> None:
            await client.write(PATH, CONTENT)

        yield send


@asynccontextmanager
async def _bare(url: str) -> AsyncIterator[Send]:
    host, _, port = url.removeprefix("http://").partition(":")
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(body: bytes) -> None:
        reader, writer = idle.pop() if idle else await asyncio.open_connection(host, int(port))
        head = f"POST {ROUTE} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        idle.append((reader, writer))

    yield send
    for _, writer in idle:
        writer.close()


def _report(found: dict[str, dict[str, list[Carried]]]) -> Report:
    rows: list[list[object]] = []
    figures: dict[str, dict[str, object]] = {}
    for title, turns in found.items():
        first = next(iter(turns))
        for name, carried in turns.items():
            speed = Spread.of([each.per_second for each in carried])
            cpu = Spread.of([each.cpu_microseconds for each in carried])
            ratio = Spread.of_ratios(
                [each.per_second for each in carried], [each.per_second for each in turns[first]]
            )
            rows.append([title, name, speed, cpu, "" if name == first else ratio])
            figures.setdefault(title, {})[name] = {
                "per_second": speed.figures,
                "cpu_us": cpu.figures,
                "ratio": ratio.figures,
            }
    columns = ["", "", "requests/s", "CPU µs a request", "× the first"]
    return Report(
        "transports",
        {"transports": figures},
        [Table("Carrying a write", columns, rows)],
        lambda figure: _draw(figure, found),
    )


def _draw(figure: Figure, found: dict[str, dict[str, list[Carried]]]) -> None:
    shown = dict(list(found.items())[: len(AT_ONCE)])
    for axes, (title, turns) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        spreads = [Spread.of([each.per_second for each in carried]) for carried in turns.values()]
        lying_bars(axes, list(turns), spreads)
        axes.set(title=f"requests a second, {title}")
        axes.tick_params(axis="y", labelsize=7)


if __name__ == "__main__":
    run_alone(measure)
