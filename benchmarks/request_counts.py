"""How many requests each operation sends, and how many of them wait for one another.

The mock counts what it receives: while the call lasts, and afterwards, when what it left behind
is removed, in one batch for all operations of half a second. Sequential round trips are counted
by a clock: in virtual time every request takes one second and nothing else takes any, so that the
seconds a call lasts are the round trips it waits for. Server: a hypothetical one with atomic
preconditions; bulk methods, no faults. Besides, a life and listings on each kind of server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal

from benchmarks.harness.contenders import WORK, funded, operations_on
from benchmarks.harness.obvious import ObviousClient
from benchmarks.harness.options import Options
from benchmarks.harness.personalities import (
    AWAY,
    KINDS,
    TIDIED,
    Cost,
    cost_in_a_zone_of_its_own,
    delivered_life_cost,
    life_cost,
    life_cost_away,
    listing_cost,
    tidying_cost,
)
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Step
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import a_bounty, fill
from nexus_bounty import (
    AgentIdentity,
    BountyOperations,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.testing.virtual_time import run as run_in_virtual_time
from nexus_bounty.testing.virtual_time import wall_clock

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONG_ENOUGH = 100.0
"""Seconds of virtual time in which whatever was left behind is removed."""
DELIVERED = ("without keys", "with keys")
LIFE = "whole life: create, claim, settle"
WORKER = AgentIdentity(agent_id="worker")
OWN_ZONE = 1_000
"""How many bounties the library creates by itself; larger zones are filled past the wire."""
LARGE = [OWN_ZONE, 10_000, 100_000]
OPEN = BountyQuery(status=BountyStatus.OPEN)
NEWEST = BountyQuery(status=BountyStatus.OPEN, limit=20)


class Counted:
    """A server that takes a second for each request, and everything that uses it."""

    def __init__(self, personality: str = "0.10-hypothetical") -> None:
        self.mock = MockNexus(personality, clock=wall_clock)
        settings = NexusSettings(
            operation_timeout=10**6,
            request_timeout=10**6,
            tombstone_retention=timedelta(seconds=10**7),
            cleanup_delay=LONG_ENOUGH / 2,  # longer than a life, as half a second really is
        )
        self.client = NexusClient(settings=settings, transport=self.mock.transport(pause=_second))

    @property
    def store(self) -> NexusBountyStore:
        """A store that has seen nothing yet."""
        return NexusBountyStore(self.client, zone_id="z", commit="conditional", clock=wall_clock)

    async def cost(self, call: Awaitable[object]) -> Cost:
        """What awaiting `call` costs, and what it leaves to be done."""
        loop = asyncio.get_running_loop()
        before, began = self.mock.request_count, loop.time()
        await call
        sent, lasted = self.mock.request_count, loop.time() - began
        await asyncio.sleep(LONG_ENOUGH)
        return Cost(sent - before, round(lasted), self.mock.request_count - sent)


async def _second(stage: Literal["request", "response"]) -> None:
    await asyncio.sleep(1.0 if stage == "request" else 0.0)


Rows = dict[str, Cost]


async def store_costs() -> Rows:
    """What the calls of a store cost."""
    here = Counted()
    seen = here.store
    rows = {"create_bounty": await here.cost(seen.create_bounty(a_bounty("b-1")))}
    rows["get_bounty"] = await here.cost(here.store.get_bounty("b-1"))
    rows["claim_bounty, a bounty not seen before"] = await here.cost(
        here.store.claim_bounty("b-1", WORKER, "c-1")
    )
    await seen.get_bounty("b-1")
    rows["begin_settlement, a bounty seen before"] = await here.cost(
        seen.begin_settlement("b-1", "cid-1")
    )
    rows["settle_bounty, a bounty seen before"] = await here.cost(seen.settle_bounty("b-1"))
    return rows


async def operation_costs() -> Rows:
    """What the operations cost, claims on Nexus, the contribution at hand."""
    here = Counted()
    credits = await funded(MemoryCredits(clock=wall_clock))  # noqa: A001 - the word for it
    work = operations_on(here.client, "z", credits, clock=wall_clock)
    rows = {"create": await here.cost(work.create(a_bounty("b-1")))}
    rows["claim"] = await here.cost(work.claim("b-1", WORKER))
    rows["renew"] = await here.cost(work.renew("b-1", WORKER))
    rows["settle"] = await here.cost(work.settle("b-1", WORK.cid))
    await work.create(a_bounty("b-2"))
    await work.claim("b-2", WORKER)
    rows["release"] = await here.cost(work.release("b-2", WORKER))
    rows["cancel"] = await here.cost(work.cancel("b-2"))
    soon = wall_clock() + timedelta(seconds=200)
    await work.create(a_bounty("b-3", deadline=soon))
    await asyncio.sleep(300)
    rows["expire"] = await here.cost(work.expire("b-3"))
    rows[LIFE] = await here.cost(_live(work))
    return rows


async def _live(work: BountyOperations) -> None:
    await work.create(a_bounty("b-4"))
    await work.claim("b-4", WORKER)
    await work.settle("b-4", WORK.cid)


async def obvious_costs() -> Rows:
    """What the obvious client's calls cost."""
    here = Counted()
    credits = await funded(MemoryCredits(clock=wall_clock))  # noqa: A001
    transport = here.mock.transport(pause=_second)
    async with ObviousClient(
        "http://nexus", "z", credits, timeout=10**6, transport=transport
    ) as client:
        rows = {"create": await here.cost(client.create("b-1", 1, "creator"))}
        rows["claim"] = await here.cost(client.claim("b-1", "worker"))
        rows["settle"] = await here.cost(client.settle("b-1", WORK.cid))
        rows[LIFE] = Cost(
            sum(each.requests for each in rows.values()),
            sum(each.round_trips for each in rows.values()),
        )
        fill(here.mock, "z", 1000)
        rows["list 20 of 1,000 open"] = await here.cost(client.list("open", 20))
    return rows


async def listing_costs(personality: str = "0.10-hypothetical") -> Rows:
    """What the listings of 1,000 open bounties cost, by a store that knows none and again."""
    here = Counted(personality)
    fill(here.mock, "z", 1000)
    calls: dict[str, Callable[[NexusBountyStore], Awaitable[object]]] = {
        "list 20 of 1,000 open": lambda store: store.list_bounties(NEWEST),
        "list 1,000 open": lambda store: store.list_bounties(OPEN),
        "count 1,000 open": lambda store: store.count_bounties(OPEN),
        "find the expired among 1,000": lambda store: store.find_expired_bounties(),
    }
    rows = {}
    for name, call in calls.items():
        store = here.store
        rows[name] = await here.cost(call(store))
        rows[f"{name}, again"] = await here.cost(call(store))
    return rows


async def measure(options: Options, step: Step) -> Report:
    """Count them all; each part on an event loop of its own with virtual time."""

    async def count(what: str, counting: Callable[[], Awaitable[Rows]]) -> Rows:
        step(what)
        return await asyncio.to_thread(_counted, counting)

    store = await count("the store", store_costs)
    operations = await count("operations", operation_costs)
    listings = await count("listings", listing_costs)
    theirs = await count("the obvious client", obvious_costs)
    kinds = {
        name: await count(f"a life on {name}", partial(life_cost, name))
        | await count(f"a delivered life on {name}", partial(delivered_life_cost, name))
        | await count(f"tidying up on {name}", partial(tidying_cost, name))
        for name in KINDS
    }
    away = {
        name: {
            far: (await count(f"{far} ms from {name}", partial(life_cost_away, name, far)))["life"]
            for far in AWAY
        }
        for name in KINDS
    }
    newest = {
        number: {
            name: await count(f"the newest of {number} on {name}", partial(_newest, name, number))
            for name in KINDS
        }
        for number in options.pick(tiny=[OWN_ZONE], quick=[OWN_ZONE, 10_000], full=LARGE)
    }
    tables = [
        _table("Operations, with claims on Nexus", operations, theirs),
        _table("The store", store, {}),
        _table("Listings, on a server with bulk reads", listings, theirs),
        _table_of_kinds(kinds, newest[OWN_ZONE]),
        _table_of_delivered(kinds),
        _table_away(away),
        *(_table_of_newest(number, rows) for number, rows in newest.items() if number > OWN_ZONE),
    ]
    figures = {
        "create": operations["create"].requests,
        "claim": operations["claim"].requests,
        "settle": operations["settle"].requests,
        "life_cycle": {name: costs["life"].in_all for name, costs in kinds.items()},
        **{
            f"life_cycle, the work on Nexus, {how}": {
                name: costs[how].in_all for name, costs in kinds.items()
            }
            for how in DELIVERED
        },
        "life_cycle_afterwards": {name: costs["life"].afterwards for name, costs in kinds.items()},
        "life_cycle_away": {
            name: {str(far): cost.in_all for far, cost in costs.items()}
            for name, costs in away.items()
        },
        "tidying_a_life": {
            name: costs["tidying"].requests / TIDIED for name, costs in kinds.items()
        },
        "first_create": {name: _more_than_warm(costs) for name, costs in kinds.items()},
        **_figures_of_newest(newest),
    }
    every = {**store, **operations, **listings}
    return Report(
        "request_counts",
        {
            "requests": figures,
            "round_trips": {
                "life_cycle": {name: costs["life"].round_trips for name, costs in kinds.items()},
                **{
                    f"life_cycle, the work on Nexus, {how}": {
                        name: costs[how].round_trips for name, costs in kinds.items()
                    }
                    for how in DELIVERED
                },
                "tidying": {name: costs["tidying"].round_trips for name, costs in kinds.items()},
                **{name: cost.round_trips for name, cost in every.items()},
            },
            "requests_of_each": {name: cost.requests for name, cost in every.items()},
            "requests_afterwards": {
                name: cost.afterwards for name, cost in every.items() if cost.afterwards
            },
            "requests_obvious_client": {name: cost.requests for name, cost in theirs.items()},
        },
        tables,
        lambda figure: _draw(figure, operations, theirs),
    )


async def _newest(name: str, number: int) -> Rows:
    """The newest 20, with dated markers and, of no more than there is time for, without."""
    if number == OWN_ZONE:
        rows = await cost_in_a_zone_of_its_own(name, number)
    else:
        rows = await listing_cost(name, number, dated=True)
    if number > OWN_ZONE and name == "0.9":
        return rows  # it reads ten thousand documents one by one
    undated = await listing_cost(name, number, dated=False)
    return rows | {f"{which}, undated": cost for which, cost in undated.items()}


def _more_than_warm(costs: Rows) -> dict[str, int]:
    """What the first create of a process takes besides, with the verdict pinned and without."""
    warm = costs["create"].requests
    return {which: costs[which].requests - warm for which in ("pinned", "unpinned")}


def _figures_of_newest(newest: Mapping[int, Mapping[str, Rows]]) -> dict[str, dict[str, int]]:
    return {
        f"list_20_of_{number}{suffix}": {
            name: costs[which].requests for name, costs in rows.items() if which in costs
        }
        for number, rows in newest.items()
        for which, suffix in (
            ("cold", ""),
            ("warm", "_again"),
            ("cold, new zone", "_new_zone"),
            ("warm, new zone", "_new_zone_again"),
            ("cold, undated", "_undated"),
            ("warm, undated", "_undated_again"),
        )
    }


def _table_of_kinds(kinds: Mapping[str, Rows], newest: Mapping[str, Rows]) -> Table:
    columns = [
        "server",
        "a life: requests",
        "of them afterwards",
        "round trips",
        f"{TIDIED} lives tidied up",
        "round trips",
        "first create: more if pinned",
        "if not",
        "20 of 1,000 open, new zone",
        "again",
        "settled zone",
        "again",
    ]
    lines: list[list[object]] = []
    for name, costs in kinds.items():
        life, first, listing = costs["life"], _more_than_warm(costs), newest[name]
        lines.append(
            [
                name,
                life.in_all,
                life.afterwards,
                life.round_trips,
                costs["tidying"].requests,
                costs["tidying"].round_trips,
                first["pinned"],
                first["unpinned"],
                *(listing[each].requests for each in ("cold, new zone", "warm, new zone")),
                *(listing[each].requests for each in ("cold", "warm")),
            ]
        )
    return Table("Each kind of server, markers dated", columns, lines)


def _table_of_delivered(kinds: Mapping[str, Rows]) -> Table:
    what = ("requests", "round trips")
    columns = ["server", *(f"{how}: {each}" for how in DELIVERED for each in what)]
    lines: list[list[object]] = [
        [
            name,
            *(
                figure
                for how in DELIVERED
                for figure in (costs[how].in_all, costs[how].round_trips)
            ),
        ]
        for name, costs in kinds.items()
    ]
    return Table("A life whose work is on Nexus, too", columns, lines)


def _table_away(away: Mapping[str, Mapping[int, Cost]]) -> Table:
    lines: list[list[object]] = [
        [name, *(cost.in_all for cost in costs.values())] for name, costs in away.items()
    ]
    columns = ["a life on", *(f"{far} ms away" for far in AWAY)]
    return Table("Requests of a life, by how long an answer takes", columns, lines)


def _table_of_newest(number: int, rows: Mapping[str, Rows]) -> Table:
    kinds = ("cold", "warm", "cold, undated", "warm, undated")
    lines = [
        [name, *(costs[kind].requests if kind in costs else "" for kind in kinds)]
        for name, costs in rows.items()
    ]
    columns = ["server", "dated: requests", "again", "not dated: requests", "again"]
    return Table(f"The newest 20 of {number:,} open", columns, lines)


def _counted(counting: Callable[[], Awaitable[Rows]]) -> Rows:
    async def counted() -> Rows:
        return await counting()

    return run_in_virtual_time(counted())


def _table(title: str, rows: Rows, theirs: Rows) -> Table:
    columns = ["", "requests", "round trips", "afterwards"]
    lines: list[list[object]] = [
        [name, cost.requests, cost.round_trips, cost.afterwards or ""]
        for name, cost in rows.items()
    ]
    if theirs:
        columns += ["obvious client: requests", "round trips"]
        for line, name in zip(lines, rows, strict=True):
            peer = theirs.get(name)
            line += [peer and peer.requests, peer and peer.round_trips]
    return Table(title, columns, lines)


def _draw(figure: Figure, rows: Rows, theirs: Rows) -> None:
    axes = figure.subplots()
    names = ["create", "claim", "settle"]
    for index, (who, costs) in enumerate((("nexus-bounty", rows), ("obvious client", theirs))):
        at = [place + index * 0.4 for place in range(len(names))]
        axes.bar(at, [costs[name].requests for name in names], 0.4, label=f"{who}: requests")
        trips = [costs[name].round_trips for name in names]
        axes.plot(at, trips, "k_", markersize=24, label=None if index else "one after another")
    axes.set_xticks([place + 0.2 for place in range(len(names))], names)
    axes.set(title="requests, and those that wait for one another")
    axes.legend()


if __name__ == "__main__":
    run_alone(measure)
