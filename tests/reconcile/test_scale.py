"""Many bounties: what a run costs, what it holds, and where it goes on when it was interrupted."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from benchmarks.harness import population
from nexus_bounty import (
    BountyOperations,
    BountyStatus,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
    Reconciler,
)
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.selection.auto_commit import CommitOption
from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.reconcile import Finding, sweep_state
from nexus_bounty.reconcile.markers import IndexMarkers
from nexus_bounty.reconcile.rewards import MissingRewards

PATHS = ZonePaths("z")
PAGE, NAMES = 50, 100
"""How many bounties a run looks at together, and how many names a listing gives at once."""


def long_ago() -> datetime:
    return population.PAST


@dataclass
class Zone:
    """A zone with many bounties, and what a process of its own works with."""

    mock: MockNexus
    credits: MemoryCredits
    operations: BountyOperations
    client: NexusClient

    async def add(self, records: Iterable[population.Record]) -> None:
        for record in records:
            population.put(self.mock, "z", record)
            await population.escrow(self.credits, record)

    def reconciler(self, **options: object) -> Reconciler:
        return Reconciler(self.operations, **{"page": PAGE, **options})  # type: ignore[arg-type]

    async def requests(self, reconciler: Reconciler, history: int | None) -> Counter[str]:
        """The requests of a run that goes well, by method."""
        before = len(self.mock.requests)
        report = await reconciler.run_once(history=history)
        assert not report.errors
        assert not report.left
        return Counter(each.method for each in self.mock.requests[before:])


@asynccontextmanager
async def a_zone(
    bounties: int,
    stuck: int = 0,
    *,
    page: int = PAGE,
    log_limit: int | None = None,
    personality: str = "0.10-hypothetical",
    **remembered: Any,
) -> AsyncIterator[Zone]:
    mock = MockNexus(personality, log_limit=log_limit)
    commit: CommitOption = "conditional" if personality == "0.10-hypothetical" else "auto"
    credit = MemoryCredits(clock=long_ago)
    await credit.top_up("funds", account="creator", amount=10**9)
    settings = NexusSettings(
        page_size=2 * page,
        bulk_size=page,
        retry_attempts=1,
        **remembered,
    )
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        operations = BountyOperations(
            NexusBountyStore(client, "z", commit=commit),
            credits=credit,
            claims=NexusClaimStore(client, "z", commit=commit),
            contributions=MemoryContributionStore([]),
        )
        zone = Zone(mock, credit, operations, client)
        await zone.add(population.at_rest(bounties))
        await zone.add(population.stuck(stuck))
        yield zone


async def cost(bounties: int, stuck: int) -> tuple[Counter[str], Counter[str]]:
    """The requests of a cold run, and of a warm one after `stuck` more got stuck."""
    async with a_zone(bounties, stuck) as zone:
        reconciler = zone.reconciler()
        cold = await zone.requests(reconciler, None)
        await zone.add(population.stuck(stuck, first=stuck))
        return cold, await zone.requests(reconciler, PAGE)


def without_names(requests: Counter[str]) -> int:
    return requests.total() - requests["list"]


FEW, MANY, STUCK = 500, 2000, 18


@pytest.fixture(scope="module")
def costs() -> dict[tuple[int, int], tuple[Counter[str], Counter[str]]]:
    """The requests of a cold and a warm run, by how many bounties there are and are stuck."""
    cases = [(bounties, stuck) for bounties in (FEW, MANY) for stuck in (0, STUCK)]
    return {case: asyncio.run(cost(*case)) for case in cases}


@pytest.mark.thorough
def test_a_warm_run_costs_what_is_stuck_and_names_whatever_has_been(costs) -> None:
    """Four times the bounties: the same requests, but for pages of names."""
    warm = {case: requests for case, (_, requests) in costs.items()}
    assert without_names(warm[MANY, 0]) == without_names(warm[FEW, 0]) < 20
    each = {n: (warm[n, STUCK].total() - warm[n, 0].total()) / STUCK for n in (FEW, MANY)}
    assert each[MANY] == pytest.approx(each[FEW], abs=0.5)
    assert each[MANY] < 6
    # settled, open and claimed ones twice, cancelled and expired ones once, leases three times
    names = (2 * 0.7 + 0.1 + 0.1 + 2 * (0.09 + 0.01) + 3 * 0.01) * MANY / NAMES
    assert warm[MANY, 0]["list"] <= names + 20


def test_a_cold_run_reads_each_bounty_a_few_times_in_bulk(costs) -> None:
    """Of what is there, not of what is there times what is stuck."""
    cold, warm = costs[MANY, 0]
    named_for_their_escrow = (0.09 + 0.01) * MANY / NAMES  # the open and the claimed ones
    assert cold.total() < 5 * MANY / PAGE + 3 * MANY / NAMES + named_for_their_escrow + 1
    assert warm.total() < cold.total() / 3
    with_stuck, _ = costs[MANY, STUCK]
    assert with_stuck.total() - cold.total() < STUCK * 6


async def test_a_bounty_that_was_rewarded_is_not_read_again() -> None:
    """Only named."""
    async with a_zone(200) as zone:
        reconciler = zone.reconciler(sweeps=[MissingRewards()])
        leases_that_ran_out = 1
        cold = await zone.requests(reconciler, None)
        assert without_names(cold) == 2 * 3 + leases_that_ran_out
        warm = await zone.requests(reconciler, None)
        assert without_names(warm) == leases_that_ran_out


async def test_every_way_of_being_stuck_is_found_once_and_ended() -> None:
    """In a zone where nothing else is wrong."""
    async with a_zone(100, 18) as zone:
        found: list[Finding] = []
        report = await zone.reconciler().run_once(found.append)
        again = await zone.reconciler().run_once()
    assert len({each.subject for each in found}) == len(found) == report.found == 18
    assert report.repaired == 18
    assert again.found == 0


# Memory


async def _peak(bounties: int) -> int:
    """The most that a cold run holds at once, in bytes, the mock and the ledger aside."""
    remembered: Any = {"remembered_documents": 10, "remembered_dates": 10}
    async with a_zone(bounties, page=10, log_limit=10, **remembered) as zone:
        reconciler = zone.reconciler(page=10)
        tracemalloc.start()
        try:
            report = await reconciler.run_once()
            assert not report.errors
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.thorough
async def test_a_run_holds_a_page_however_many_bounties_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it may remember besides has a bound of its own."""
    monkeypatch.setattr(sweep_state, "MOST_KNOWN", 100)
    few, many = await _peak(200), await _peak(800)
    assert many < 1.5 * few


async def test_a_report_keeps_the_first_findings_and_counts_all() -> None:
    """Of those repaired and of those left; whoever listens is told of each."""
    async with a_zone(0, 90) as zone:
        for number in range(20):
            await zone.credits.reserve(
                f"r-{number}", account="creator", amount=1, reference=f"elsewhere-{number}"
            )
        told: list[Finding] = []
        reconciler = zone.reconciler(keep=3)
        report = await reconciler.run_once(told.append)
    assert len(told) == report.found == 90 + 20
    assert (report.repaired, report.unrepaired) == (90, 20)
    kept = {each.sweep: each.findings for each in report.sweeps}
    orphans = kept["orphan reservations"]
    assert [each.repaired is not None for each in orphans].count(True) == 3
    assert [each.subject for each in orphans if each.left] == ["r-0", "r-1", "r-2"]
    assert len(report.left) == 3
    assert reconciler.health.left_at_last == 20


def test_what_is_remembered_has_a_bound_and_what_was_first_stays() -> None:
    """A run asks in the same order each time: to forget the first would spare nothing."""
    known = sweep_state.Known(most=2)
    for name in "abc":
        known.add(name, name)
    assert [known.get(name) for name in "abc"] == ["a", "b", None]
    known.drop("a")
    known.drop("a")
    known.add("c", 1)
    known.add("c", 2)
    assert [known.get(name) for name in "abc"] == [None, "b", 2]
    assert len(known) == 2


@pytest.mark.parametrize("most", [0, 7])
async def test_a_full_memory_costs_requests_and_misses_nothing(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However little is remembered, a warm run finds what got stuck since."""
    monkeypatch.setattr(sweep_state, "MOST_KNOWN", most)
    async with a_zone(300) as zone:
        reconciler = zone.reconciler()
        await zone.requests(reconciler, None)
        assert all(len(each.known) <= most for each in reconciler._states.values())
        await zone.add(population.stuck(18))
        report = await reconciler.run_once(history=1000)
        dearer = await zone.requests(reconciler, 1000)
    assert report.repaired == report.found == 18
    assert dearer["read_bulk"] > 2 * 210 / PAGE


# Parts of the history


def lose_markers(zone: Zone, bounties: int) -> set[str]:
    """Take away the markers of some that have expired, and add stale ones to some that are open."""
    spoiled = set()
    for number in range(0, bounties, 3):
        bounty_id = f"bounty-{number:06}"
        expired = PATHS.marker(BountyStatus.EXPIRED, bounty_id)
        if expired in zone.mock.files:
            zone.mock.core.table.remove(expired)
            spoiled.add(bounty_id)
        if PATHS.marker(BountyStatus.OPEN, bounty_id) in zone.mock.files:
            zone.mock.core.table.write(PATHS.marker(BountyStatus.DRAFT, bounty_id), b"")
            spoiled.add(bounty_id)
    return spoiled


def lose_rewards(zone: Zone, bounties: int) -> set[str]:
    """Take away the rewards of some that are settled."""
    spoiled = set()
    for number in range(0, bounties, 9):
        bounty_id = f"bounty-{number:06}"
        reward = PATHS.reward(f"reward:bounty_payout:{bounty_id}:{population.CID}")
        if reward in zone.mock.files:
            zone.mock.core.table.remove(reward)
            spoiled.add(bounty_id)
    return spoiled


async def test_runs_that_look_at_a_part_of_the_history_go_through_all_of_it() -> None:
    """And begin again; none of them costs more than its part."""
    async with a_zone(200) as zone:
        reconciler = zone.reconciler()
        spoiled = lose_rewards(zone, 200)
        for _ in range(2):
            spoiled |= lose_markers(zone, 200)
            found: list[Finding] = []
            costs = []
            for _ in range(12):
                before, known = zone.mock.request_count, len(found)
                await reconciler.run_once(found.append, history=PAGE)
                costs.append(zone.mock.request_count - before - 3 * (len(found) - known))
            assert {each.subject for each in found} == spoiled
            assert len(found) == len(spoiled)
            assert max(costs) < 40
            spoiled = set()


async def test_a_whole_run_looks_at_everything_wherever_the_parts_have_got() -> None:
    """Nobody who asks for all gets the rest."""
    async with a_zone(200) as zone:
        reconciler = zone.reconciler()
        for _ in range(3):
            await reconciler.run_once(history=PAGE)
        assert reconciler.cursor
        spoiled = lose_markers(zone, 200)
        report = await reconciler.run_once()
    assert {each.subject for each in report.findings} == spoiled
    assert reconciler.cursor == {}


# Interruption


async def _interrupted_after(steps: int, reconciler: Reconciler, told: list[Finding]) -> bool:
    """Run, and be interrupted after so many steps; whether it got to its end before that."""
    left = steps

    def count(_sweep: str, _at: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            task.cancel()

    task = asyncio.ensure_future(reconciler.run_once(told.append, on_step=count))
    with suppress(asyncio.CancelledError):
        await task
    return not task.cancelled()


@pytest.mark.parametrize("in_one_process", [True, False])
async def test_a_run_that_is_interrupted_again_and_again_finds_everything(
    in_one_process: bool,
) -> None:
    """Each goes on where the one before was: nothing is left out, nothing is done over."""
    async with a_zone(300) as zone:
        spoiled = lose_rewards(zone, 300) | lose_markers(zone, 300)
        reconciler, told, ended, runs = zone.reconciler(), list[Finding](), False, 0
        places = []
        while not ended and runs < 100:
            ended = await _interrupted_after(len(reconciler._sweeps) + 2, reconciler, told)
            runs += 1
            places.append(reconciler.cursor)
            if not in_one_process:
                reconciler = zone.reconciler(cursor=reconciler.cursor)
        again = await zone.reconciler().run_once()
    assert {each.subject for each in told} == spoiled
    assert len(told) == len(spoiled)
    assert runs > 5
    assert places[-1] == {}
    assert len({str(place) for place in places}) == runs
    assert again.found == 0


async def test_a_cursor_is_text_that_says_how_far_the_history_was_gone_through() -> None:
    """One sweep is done, the other is under way; the sweeps before begin anew."""
    async with a_zone(300) as zone:
        reconciler = zone.reconciler()
        pages = 300 * 7 // 10 // PAGE + 1
        await _interrupted_after(len(reconciler._sweeps) + pages + 3, reconciler, [])
        assert reconciler.cursor == {
            "missing rewards": None,
            "index markers": PATHS.bounty("bounty-000149"),
        }


async def test_a_run_that_failed_is_not_gone_on_with() -> None:
    """What it left unrepaired is found by the next one, which looks at everything."""
    async with a_zone(300) as zone:
        spoiled = lose_markers(zone, 300)
        for refused in (
            RequestMatch(method="write"),
            RequestMatch(method="list", path="*/status/settled"),
        ):
            zone.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=refused, times=None, status=403))
        reconciler = zone.reconciler(sweeps=[IndexMarkers()])
        failed = await reconciler.run_once()
        assert reconciler.cursor == {}
        zone.mock.clear_faults()
        second = await reconciler.run_once()
    assert failed.errors
    assert failed.left
    assert {each.subject for each in failed.left} <= {each.subject for each in second.findings}
    assert {each.subject for each in second.findings} <= spoiled
    assert not second.left


async def test_runs_of_one_reconciler_take_turns() -> None:
    """The second looks at everything, too, and finds nothing left."""
    async with a_zone(100, 18) as zone:
        reconciler = zone.reconciler()
        first, second = await asyncio.gather(reconciler.run_once(), reconciler.run_once())
    assert (first.repaired, second.found) == (18, 0)


async def test_a_cursor_of_a_sweep_that_there_is_not_is_refused() -> None:
    """Before anything is sent."""
    async with a_zone(0) as zone:
        with pytest.raises(InvalidInputError, match="must name a sweep"):
            zone.reconciler(cursor={"dust": "/zones"})
        assert zone.mock.request_count == 0
