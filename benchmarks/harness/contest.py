"""This library and the obvious client on one server: lives a second, and races for one bounty.

A life that ends in an error counts as an error. In a race some agents claim one bounty at the same
time; whoever is told so counts as a winner, and every winner but one is a double claim.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from time import perf_counter

import httpx

from benchmarks.harness.contenders import Liver, ObviousLives, OurLives, funded, operations_on
from benchmarks.harness.obvious import ObviousClient, ObviousClientError
from benchmarks.harness.personalities import KINDS
from benchmarks.harness.rounds import Spread
from benchmarks.harness.server import Server, a_bounty, mock_server
from nexus_bounty import AgentIdentity, BountyOperations, NexusClient, NexusSettings, OutcomeError
from nexus_bounty.memory import MemoryCredits

OURS, OBVIOUS = "nexus-bounty", "obvious client"
AWAY = (0, 5, 50)
"""Milliseconds that a request and its answer travel, besides loopback."""
LIVES_NONE = "the other lives none"
CANNOT_TELL = "cannot tell"
"""What the obvious client knows of each of its errors."""
KINDS_WITHOUT_STAT = ("0.7.0",)
Claim = Callable[[str, str], Awaitable[object]]
"""Claims a bounty for an agent."""


class Distant(httpx.AsyncBaseTransport):
    """httpx's own transport to a server that is so many seconds away, there and back.

    Attributes:
        carried: How many requests it has carried.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._inner = httpx.AsyncHTTPTransport()
        self.carried = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry the request on after the time that it and its answer travel."""
        self.carried += 1
        await asyncio.sleep(self._seconds)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


@dataclass(frozen=True, slots=True)
class Site:
    """A server as its clients meet it.

    Attributes:
        url: Where it listens.
        seconds: How far it is away.
        api_key: The key that it wants, if it does.
        has_stat: Whether it knows `sys_stat`, by which Grove asks for an etag.
    """

    url: str
    seconds: float = 0.0
    api_key: str | None = None
    has_stat: bool = True


@contextmanager
def server_of(kind: str) -> Iterator[tuple[Server, Site]]:
    """A mock of one kind in another process, and how clients meet it."""
    with mock_server(KINDS[kind]) as server:
        yield server, Site(server.url, has_stat=kind not in KINDS_WITHOUT_STAT)


@dataclass(slots=True)
class Lived:
    """What agents got done in a while.

    Attributes:
        seconds: How long the while was.
        each: The seconds that each life took.
        failed: How many lives ended in an error, by what their client can say of it.
    """

    seconds: float = 0.0
    each: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        """Lives a second."""
        return len(self.each) / self.seconds


@asynccontextmanager
async def ours_on(
    site: Site, transport: Distant | None = None
) -> AsyncIterator[tuple[OurLives, BountyOperations]]:
    """This library, committing as the probe finds to be safe there."""
    zone = f"ours-{uuid.uuid4().hex[:8]}"
    settings = NexusSettings(url=site.url, api_key=site.api_key)
    transport = transport or Distant(site.seconds)
    async with NexusClient(settings=settings, transport=transport) as client:
        ledger = await funded(MemoryCredits())
        operations = operations_on(client, zone, ledger, commit="auto")
        yield OurLives(operations), operations


@asynccontextmanager
async def obvious_on(
    site: Site, transport: Distant | None = None
) -> AsyncIterator[tuple[ObviousLives, ObviousClient]]:
    """The obvious client."""
    zone = f"obvious-{uuid.uuid4().hex[:8]}"
    ledger = await funded(MemoryCredits())
    async with ObviousClient(
        site.url,
        zone,
        ledger,
        transport=transport or Distant(site.seconds),
        api_key=site.api_key,
        has_stat=site.has_stat,
    ) as client:
        yield ObviousLives(client), client


def times(ours: list[Lived], theirs: list[Lived]) -> Spread | None:
    """How many lives a second those are for one of the others', if they have lived any."""
    rates = [[each.per_second for each in lived] for lived in (ours, theirs)]
    return Spread.of_ratios(*rates) if all(rates[1]) else None


def turn_of(
    server: Server,
    opening: Callable[[], AbstractAsyncContextManager[Liver]],
    agents: int,
    seconds: float,
    during: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Callable[[], Awaitable[Lived]]:
    """A turn of a client that is new, on a server that is empty, `during` a circumstance."""

    async def turn() -> Lived:
        server.clear()
        async with opening() as liver:
            await live_first(liver)
            with during():
                return await lives_of(liver, agents, seconds)

    return turn


async def lives(liver: Liver, agents: int, seconds: float) -> Lived:
    """What so many agents get done with a client that may be new."""
    await live_first(liver)
    return await lives_of(liver, agents, seconds)


async def live_first(liver: Liver) -> None:
    """The life that opens a connection and finds out what server it is."""
    with _counted(Counter()):
        await liver.live()


async def lives_of(liver: Liver, agents: int, seconds: float) -> Lived:
    """What so many agents get done with a client that knows its server."""
    found = Lived()
    began = perf_counter()

    async def agent() -> None:
        while (at := perf_counter()) < began + seconds:
            with _counted(found.failed):
                await liver.live()
                found.each.append(perf_counter() - at)

    await asyncio.gather(*(agent() for _ in range(agents)))
    found.seconds = perf_counter() - began
    return found


@contextmanager
def _counted(failed: Counter[str]) -> Iterator[None]:
    """Counts what either client raises, and goes on."""
    try:
        yield
    except OutcomeError as error:
        failed[error.outcome.value] += 1
    except ObviousClientError:
        failed[CANNOT_TELL] += 1


async def our_double_claims(operations: BountyOperations, rounds: int, claimers: int) -> int:
    """How many claims of ours were won besides the one a bounty has."""

    async def claim(bounty_id: str, agent: str) -> None:
        await operations.claim(bounty_id, AgentIdentity(agent_id=agent))

    async def create(bounty_id: str) -> None:
        await operations.create(a_bounty(bounty_id))

    return await _double_claims(create, claim, rounds, claimers)


async def obvious_double_claims(client: ObviousClient, rounds: int, claimers: int) -> int:
    """How many claims of the obvious client were won besides the one a bounty has."""

    async def create(bounty_id: str) -> None:
        await client.create(bounty_id, 1, "creator")

    return await _double_claims(create, client.claim, rounds, claimers)


async def _double_claims(
    create: Callable[[str], Awaitable[None]], claim: Claim, rounds: int, claimers: int
) -> int:
    doubles = 0
    for _ in range(rounds):
        bounty_id = uuid.uuid4().hex
        await create(bounty_id)
        told = await asyncio.gather(
            *(claim(bounty_id, f"agent-{number}") for number in range(claimers)),
            return_exceptions=True,
        )
        won = sum(not isinstance(each, BaseException) for each in told)
        doubles += max(won - 1, 0)
    return doubles
