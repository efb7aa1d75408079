"""On a real, released server: this library, the client that one writes first, and raw httpx.

    make bench ARGS="--live 0.7.0"

The server is installed on first use and runs on loopback. What one life sends; lives a second of 8
agents, there and with 5 and 50 ms more for each request; claims that were won twice; and what a
look at one bounty takes, by raw httpx and by us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

import httpx

from benchmarks.harness.charts import grouped_bars
from benchmarks.harness.contest import (
    AWAY,
    OBVIOUS,
    OURS,
    Distant,
    Lived,
    Site,
    lives,
    obvious_double_claims,
    obvious_on,
    our_double_claims,
    ours_on,
    times,
)
from benchmarks.harness.obvious import ObviousClientError
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Doing, Spread, Step, part_of, rounded, take_turns
from benchmarks.harness.server import a_bounty
from nexus_bounty.nexus.documents.paths import ZonePaths
from tools import real_nexus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AGENTS = CLAIMERS = 8
LEFT_FOR_LATER = 11.0
"""Seconds: whatever a life has left for later is sent within ten of them."""
WITHOUT_STAT = ("0.5.6", "0.7.0")
WITH_KEY = ("0.9.18",)
RAW = "raw httpx"
MICROSECONDS = 10**6


async def measure(options: Options, step: Step) -> Report:
    """Start the server, and compare."""
    version = options.live or "0.7.0"
    step(f"starting Nexus {version}")
    with real_nexus.running(version) as url:
        key = real_nexus.API_KEY if version in WITH_KEY else None
        site = Site(url, api_key=key, has_stat=version not in WITHOUT_STAT)
        step("the requests of a life")
        requests = await _requests(site)
        lived = {
            away: await _lived(
                replace(site, seconds=away / 1000), options, part_of(step, f"{away} ms away")
            )
            for away in AWAY
        }
        rounds = options.pick(tiny=2, quick=10, full=25)
        step(f"{rounds} races of {CLAIMERS}")
        doubles = await _doubles(site, rounds)
        looks = await _looks(site, options, step)
    return _report(version, requests, lived, rounds, doubles, looks)


async def _requests(site: Site) -> dict[str, int]:
    """What one life sends in a zone that is known, with all that it leaves for later."""
    ours, theirs = Distant(0), Distant(0)
    async with ours_on(site, ours) as (our_lives, _), obvious_on(site, theirs) as (their_lives, _):
        await our_lives.live()
        before = await _all_sent(ours)
        await our_lives.live()
        sent = await _all_sent(ours)
        try:
            await their_lives.live()
        except ObviousClientError:
            theirs.carried = 0  # it lives no life there
    return {OURS: sent - before, OBVIOUS: theirs.carried}


async def _all_sent(line: Distant) -> int:
    """How many requests it has carried once all that was left for later has been sent."""
    sent = -1
    while sent != line.carried:
        sent = line.carried
        await asyncio.sleep(LEFT_FOR_LATER)
    return sent


async def _lived(site: Site, options: Options, step: Step) -> dict[str, list[Lived]]:
    """What both get done; nothing where every life ends in an error."""
    seconds = options.pick(tiny=0.5, quick=5.0, full=20.0)
    async with ours_on(site) as (ours, _), obvious_on(site) as (theirs, _):
        turns = {
            OURS: lambda: lives(ours, AGENTS, seconds),
            OBVIOUS: lambda: lives(theirs, AGENTS, seconds),
        }
        return await take_turns(turns, options.turns, step)


async def _doubles(site: Site, rounds: int) -> dict[str, int]:
    async with ours_on(site) as (_, operations), obvious_on(site) as (_, client):
        return {
            OURS: await our_double_claims(operations, rounds, CLAIMERS),
            OBVIOUS: await obvious_double_claims(client, rounds, CLAIMERS),
        }


async def _looks(site: Site, options: Options, step: Step) -> dict[str, list[float]]:
    """Microseconds that one look at a bounty takes."""
    times = options.pick(tiny=5, quick=100, full=1000)
    headers = {"Authorization": f"Bearer {site.api_key}"} if site.api_key else {}
    async with (
        ours_on(site) as (_, operations),
        httpx.AsyncClient(base_url=site.url, headers=headers) as raw,
    ):
        await operations.create(a_bounty("looked-at"))
        store = operations.services.store
        params = {"path": ZonePaths(store.zone_id).bounty("looked-at"), "return_metadata": True}
        body = {"jsonrpc": "2.0", "id": 1, "method": "read", "params": params}

        async def by_httpx() -> None:
            (await raw.post("/api/nfs/read", json=body)).raise_for_status()

        async def by_store() -> None:
            await store.get_bounty("looked-at")

        turns = {RAW: lambda: _each(by_httpx, times), OURS: lambda: _each(by_store, times)}
        return await take_turns(turns, options.turns, step)


async def _each(do: Doing, times: int) -> float:
    await do()
    began = perf_counter()
    for _ in range(times):
        await do()
    return (perf_counter() - began) / times * MICROSECONDS


def _report(
    version: str,
    requests: dict[str, int],
    lived: Mapping[int, Mapping[str, list[Lived]]],
    rounds: int,
    doubles: dict[str, int],
    looks: dict[str, list[float]],
) -> Report:
    rates = {
        away: {name: Spread.of([turn.per_second for turn in each]) for name, each in turns.items()}
        for away, turns in lived.items()
    }
    ratios = {away: times(turns[OURS], turns[OBVIOUS]) for away, turns in lived.items()}
    overhead = Spread.of_ratios(looks[OURS], looks[RAW])
    figures = {
        "requests_of_a_life": requests,
        "lifecycles_per_second": {
            str(away): {name: rate.figures for name, rate in each.items()}
            for away, each in rates.items()
        },
        "lifecycles_ratio_vs_obvious_client": {
            str(away): ratio and ratio.figures for away, ratio in ratios.items()
        },
        "races": rounds,
        "double_claims": doubles,
        "look_vs_raw_httpx": rounded(overhead.median),
    }
    rows: list[list[object]] = [
        [name, requests[name] or "", *(each[name] for each in rates.values()), doubles[name]]
        for name in (OURS, OBVIOUS)
    ]
    rows.append(["×", "", *ratios.values(), ""])
    columns = [
        "client",
        "a life: requests",
        *(f"lives/s, {away} ms away" for away in AWAY),
        f"double claims in {rounds} races of {CLAIMERS}",
    ]
    lines = [
        [RAW, Spread.of(looks[RAW]), ""],
        [OURS, Spread.of(looks[OURS]), overhead],
    ]
    return Report(
        f"live-{version}",
        {"live": {version: figures}},
        [
            Table(f"Nexus {version}: lives, {AGENTS} agents", columns, rows),
            Table("One look at a bounty", ["client", "µs", "× raw httpx"], lines),
        ],
        lambda figure: _draw(figure, rates),
    )


def _draw(figure: Figure, rates: Mapping[int, Mapping[str, Spread]]) -> None:
    axes = figure.subplots()
    series = [(name, [each[name] for each in rates.values()]) for name in (OURS, OBVIOUS)]
    grouped_bars(axes, [f"{away} ms away" for away in rates], series)
    axes.set(title="lives a second")
