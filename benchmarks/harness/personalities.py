"""What a life, the first create and listings cost on each kind of server, counted in virtual time.

How to commit is what the probe finds to be safe there. A request takes a hundredth of a second of
virtual time and nothing else takes any: so the time that a call lasts tells the round trips that it
waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.harness.contenders import WORK, funded, operations_on
from benchmarks.harness.server import a_bounty, fill
from nexus_bounty import (
    AgentIdentity,
    BountyOperations,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    NexusClient,
    NexusContributionStore,
    NexusSettings,
    Reconciler,
    Score,
    Work,
)
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.ports import ContributionStore, CreditsService, LeavesFiles
from nexus_bounty.reconcile.reconciler import HISTORY_A_RUN
from nexus_bounty.testing.virtual_time import wall_clock

KINDS = {
    "0.7.0": "0.7.0",
    "0.9": "0.9",
    "0.10": "0.10",
    "atomic": "0.10-hypothetical",
}
"""Personalities of the mock, by the names that figures give them; no release is "atomic"."""
ROUND_TRIP = 0.01
AWAY = (0, 5, 50, 200, 500, 1000)
"""Milliseconds of a round trip: loopback, a neighbour, another continent, a server that is busy."""
LONG_ENOUGH = 10.0
"""Seconds in which whatever was left for later is done; half of them are longer than a life."""
TIDIED = 50
"""How many lives have ended that are tidied up together."""
TWO_DAYS = 2 * 24 * 3600.0
"""Seconds after which no request can be under way any more, so that nothing is needed for one."""
A_WHILE = 600.0
"""Seconds after which what is kept of a listing, and of a zone's verdict, is looked at again."""
OPEN, ENDED = "open", "ended"
ZONE = "z"
Keys = tuple[str | None, str | None, str | None]
"""Of the calls of a life."""
WORKER = AgentIdentity(agent_id="worker")
NEWEST = BountyQuery(status=BountyStatus.OPEN, limit=20)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call costs, and what it leaves to be done."""

    requests: int
    round_trips: int
    afterwards: int = 0

    @property
    def in_all(self) -> int:
        """All requests, sooner or later."""
        return self.requests + self.afterwards


class Kind:
    """A server of one kind, and the processes that use it one after another."""

    def __init__(self, name: str, round_trip: float = ROUND_TRIP, **settings: Any) -> None:
        self.mock = MockNexus(KINDS[name], clock=wall_clock)
        self._round_trip = round_trip
        self._settings = NexusSettings(**{"cleanup_delay": LONG_ENOUGH / 2, **settings})

    def client(self) -> NexusClient:
        """The client of a new process, which knows nothing of the server."""
        transport = self.mock.transport(pause=self._takes_time)
        return NexusClient("http://nexus", settings=self._settings, transport=transport)

    async def cost(self, call: Awaitable[object]) -> Cost:
        """What awaiting `call` costs."""
        loop = asyncio.get_running_loop()
        before, began = self.mock.request_count, loop.time()
        await call
        sent, lasted = self.mock.request_count, loop.time() - began
        await asyncio.sleep(max(LONG_ENOUGH, 20 * self._round_trip))
        round_trips = round(lasted / self._round_trip) if self._round_trip else 0
        return Cost(sent - before, round_trips, self.mock.request_count - sent)

    async def _takes_time(self, stage: Literal["request", "response"]) -> None:
        await asyncio.sleep(self._round_trip if stage == "request" else 0.0)


async def life_cost_away(name: str, milliseconds: float) -> dict[str, Cost]:
    """A life on a server so far away, with the settings as they come."""
    as_it_comes = NexusSettings.model_fields["cleanup_delay"].default
    kind = Kind(name, milliseconds / 1000, cleanup_delay=as_it_comes)
    async with kind.client() as client:
        work = await _funded_operations(client)
        await kind.cost(work.create(a_bounty("b-0")))
        return {"life": await kind.cost(_live(work, "b-1"))}


async def life_cost(name: str) -> dict[str, Cost]:
    """A whole life with claims on Nexus, and a first create: of a zone, and of a process."""
    kind = Kind(name)
    async with kind.client() as client, kind.client() as another:
        work, other = await _funded_operations(client), await _funded_operations(another)
        unpinned = await kind.cost(work.create(a_bounty("b-0")))
        warm = await kind.cost(work.create(a_bounty("b-1")))
        pinned = await kind.cost(other.create(a_bounty("b-2")))
        life = await kind.cost(_live(work, "b-3"))
    return {"life": life, "create": warm, "pinned": pinned, "unpinned": unpinned}


async def delivered_life_cost(name: str) -> dict[str, Cost]:
    """A whole life whose work is on Nexus, too, without and with keys of the caller's."""
    kind = Kind(name)
    async with kind.client() as client:
        works = NexusContributionStore(client, ZONE)
        work = await _funded_operations(client, works)
        scores = {"ms": Score(value=240, direction="minimize")}
        done = Work(agent=WORKER, summary="done", scores=scores, created_at=wall_clock())
        delivered = await works.put(done)
        await kind.cost(work.create(a_bounty("b-0")))
        cid = delivered.cid
        return {
            "without keys": await kind.cost(_live(work, "b-1", cid=cid)),
            "with keys": await kind.cost(_live(work, "b-2", cid=cid, keys=("1", "2", "3"))),
        }


async def tidying_cost(name: str) -> dict[str, Cost]:
    """What the reconciler sends to remove what commits of so many whole lives left behind."""
    kind = Kind(name)
    async with kind.client() as client:
        work = await _funded_operations(client)
        await _live_through(work, TIDIED)
        await asyncio.sleep(TWO_DAYS)
        return {"tidying": await kind.cost(_tidy(work.services.store, work.services.claims))}


async def _tidy(*stores: object) -> None:
    for store in stores:
        if isinstance(store, LeavesFiles):
            await store.collect_leftovers()


async def _funded_operations(
    client: NexusClient, works: ContributionStore | None = None
) -> BountyOperations:
    return _operations(client, await funded(MemoryCredits(clock=wall_clock)), works)


def _operations(
    client: NexusClient,
    credits: CreditsService,  # noqa: A002 - the word for it
    works: ContributionStore | None = None,
) -> BountyOperations:
    return operations_on(client, ZONE, credits, clock=wall_clock, commit="auto", works=works)


async def _live(
    work: BountyOperations, bounty_id: str, cid: str = WORK.cid, keys: Keys = (None, None, None)
) -> None:
    await work.create(a_bounty(bounty_id), idempotency_key=keys[0])
    await work.claim(bounty_id, WORKER, idempotency_key=keys[1])
    await work.settle(bounty_id, cid, idempotency_key=keys[2])


async def cost_in_a_zone_of_its_own(name: str, number: int) -> dict[str, Cost]:
    """The newest 20 of so many open bounties in a zone that was filled by the library itself.

    By a new process and again, when the zone is new; and two days later, after a run of the
    reconciler: only then it is known that every bounty is in the order of creation.
    """
    kind = Kind(name, round_trip=ROUND_TRIP / 100)
    credits = await funded(MemoryCredits(clock=wall_clock))  # noqa: A001 - the word for it
    async with kind.client() as client:
        await _post(_operations(client, credits), number)
    costs = {f"{which}, new zone": cost for which, cost in (await _newest(kind)).items()}
    await asyncio.sleep(TWO_DAYS)
    async with kind.client() as client:
        await _reconcile(Reconciler(_operations(client, credits)))
    return costs | await _newest(kind)


async def reconciling_cost(name: str, posted: int, ended: int) -> dict[str, Cost]:
    """Runs of the reconciler over so many open bounties, and over so many that were settled.

    The library itself made them, and nothing has looked at them for two days. The first run of a
    process, a later one of the same process, and the first one of another.
    """
    costs = {}
    for what, number, make in ((OPEN, posted, _post), (ENDED, ended, _live_through)):
        kind = Kind(name)
        credits = await funded(MemoryCredits(clock=wall_clock))  # noqa: A001 - the word for it
        async with kind.client() as client:
            await make(_operations(client, credits), number)
        await asyncio.sleep(TWO_DAYS)
        async with kind.client() as client, kind.client() as another:
            first = Reconciler(_operations(client, credits))
            costs[f"{what}, first"] = await kind.cost(_reconcile(first))
            await asyncio.sleep(A_WHILE)
            costs[f"{what}, later"] = await kind.cost(_reconcile(first, HISTORY_A_RUN))
            of_another = Reconciler(_operations(another, credits))
            costs[f"{what}, anew"] = await kind.cost(_reconcile(of_another))
    return costs


async def _post(work: BountyOperations, number: int) -> None:
    for each in range(number):
        await work.create(a_bounty(f"b-{each}", created_at=wall_clock()))
    await asyncio.sleep(LONG_ENOUGH)


async def _live_through(work: BountyOperations, number: int) -> None:
    for each in range(number):
        await _live(work, f"b-{each}")
    await asyncio.sleep(LONG_ENOUGH)


async def _reconcile(reconciler: Reconciler, history: int | None = None) -> None:
    report = await reconciler.run_once(history=history)
    if report.errors or report.unrepaired:
        raise RuntimeError(f"nothing should be wrong: {report.errors}")


async def listing_cost(name: str, number: int, *, dated: bool) -> dict[str, Cost]:
    """The newest 20 of so many open bounties by a new process, and again; on a pinned zone."""
    kind = Kind(name, layout="dated" if dated else "flat", max_answer_bytes=10**9)
    async with kind.client() as client:
        store = NexusBountyStore(client, zone_id=ZONE, clock=wall_clock)
        await store.create_bounty(a_bounty("first"))
        await store.cancel_bounty("first")
    fill(kind.mock, ZONE, number, dated=dated)
    return await _newest(kind)


async def _newest(kind: Kind) -> dict[str, Cost]:
    """The newest 20 by a new process, and again."""
    async with kind.client() as client:
        store = NexusBountyStore(client, zone_id=ZONE, clock=wall_clock)
        cold = await kind.cost(store.list_bounties(NEWEST))
        return {"cold": cold, "warm": await kind.cost(store.list_bounties(NEWEST))}
