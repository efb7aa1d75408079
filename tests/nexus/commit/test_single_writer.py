"""SingleWriter: one process at a time has the zone, and is safe in it although the server races."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyStateError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
    PreCommitError,
    SingleWriter,
    UnsupportedServerError,
)
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.bounties_suite import BountyStoreContract
from nexus_bounty.testing.builders import make_agent, make_bounty
from nexus_bounty.testing.claims_suite import ClaimStoreContract
from nexus_bounty.testing.virtual_time import run, wall_clock
from tests.support.racing import seeds
from tests.support.store_trials import OPERATIONS, Operation, trials, verdicts, wrong

LEASES = ZonePaths("default").writer_leases
HOUR = 3600.0
LASTS = 120.0


def racing(**options: Any) -> MockNexus:
    return MockNexus("0.5.6", atomic=False, clock=wall_clock, **options)


@asynccontextmanager
async def process(mock: MockNexus) -> AsyncIterator[tuple[SingleWriter, NexusBountyStore]]:
    """A client with a writer of its own, not closed when it ends: as if it were killed."""
    settings = NexusSettings(url="http://nexus")
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        commit = SingleWriter(client, clock=wall_clock)
        yield commit, NexusBountyStore(client, commit=commit, clock=wall_clock)


@pytest.mark.exhaustive
class TestBountiesOfASingleWriter(BountyStoreContract):
    """The contract, at once by many tasks of the one process."""

    @pytest.fixture(params=["0.5.6", "0.7.0"])
    def personality(self, request):
        return request.param

    @pytest.fixture
    async def store(self, personality, clock):
        mock = MockNexus(personality, atomic=False)
        settings = NexusSettings(url="http://nexus", retry_base=0.001)
        async with (
            NexusClient(settings=settings, transport=mock.transport()) as client,
            SingleWriter(client) as commit,
        ):
            yield NexusBountyStore(client, commit=commit, clock=clock)


@pytest.mark.exhaustive
class TestClaimsOfASingleWriter(ClaimStoreContract):
    """The locks of targets are moved in turn, too."""

    @pytest.fixture
    async def claims(self, clock):
        mock = MockNexus("0.7.0", atomic=False, clock=clock)
        settings = NexusSettings(url="http://nexus", retry_base=0.001)
        async with (
            NexusClient(settings=settings, transport=mock.transport()) as client,
            SingleWriter(client) as commit,
        ):
            yield NexusClaimStore(client, commit=commit, clock=clock)


@pytest.mark.exhaustive
@pytest.mark.parametrize("impatient", [False, True])
@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if each.name in ("create", "claim")],
    ids=lambda each: each.name,
)
def test_no_fault_at_any_request_makes_a_wrong_verdict(
    operation: Operation, impatient: bool
) -> None:
    """The requests that take the lease included."""

    def strategy(client: NexusClient) -> SingleWriter:
        return SingleWriter(client, clock=wall_clock)

    options: dict[str, Any] = {"personality": "0.7.0", "atomic": False, "strategy": strategy}
    found = list(trials(operation, impatient=impatient, **options))
    assert not wrong(found)
    assert verdicts(found)["unknown"] == 0


@seeds(4, 20)
def test_of_eight_tasks_that_claim_at_once_exactly_one_wins(seed: int) -> None:
    """Writes of one document wait for each other inside the process."""

    async def scenario() -> None:
        mock = racing(seed=seed, race_window=0.01)
        async with process(mock) as (_, store):
            await store.create_bounty(make_bounty())
            claims = (store.claim_bounty("b-1", make_agent(f"a-{n}"), f"c-{n}") for n in range(8))
            ends = await asyncio.gather(*claims, return_exceptions=True)
            refused = [each for each in ends if isinstance(each, BountyStateError)]
            assert len(refused) == 7

    run(scenario())


def test_a_second_process_is_refused_before_it_writes_anything() -> None:
    """While the first has the zone, however long that lasts."""

    async def scenario() -> None:
        mock = racing()
        async with process(mock) as (_, first), process(mock) as (_, second):
            await first.create_bounty(make_bounty())
            await asyncio.sleep(HOUR + 5)
            assert len([path for path in mock.files if path.startswith(LEASES)]) == 3
            before = len(mock.log)
            for attempt in (
                second.create_bounty(make_bounty(bounty_id="b-2")),
                second.claim_bounty("b-1", AgentIdentity(agent_id="w"), "c"),
            ):
                with pytest.raises(UnsupportedServerError, match="another process writes zone"):
                    await attempt
            assert len(mock.log) == before
            assert await second.get_bounty("b-1") is not None

    run(scenario())


@seeds(4, 20)
def test_of_eight_processes_that_want_the_zone_at_once_one_gets_it(seed: int) -> None:
    """The lease is won by rename."""

    async def scenario() -> None:
        mock = racing(seed=seed, race_window=0.01)
        ends = await asyncio.gather(*(_take(mock) for _ in range(8)))
        assert sum(ends) == 1

    run(scenario())


async def _take(mock: MockNexus) -> bool:
    async with process(mock) as (commit, _):
        try:
            await commit.__aenter__()
        except UnsupportedServerError:
            return False
        await asyncio.sleep(10)
        return True


def test_a_zone_that_was_given_back_is_taken_at_once() -> None:
    """No waiting for a lease to run out."""

    async def scenario() -> None:
        mock = racing()
        loop = asyncio.get_running_loop()
        for number in range(3):
            async with process(mock) as (commit, store), commit:
                await store.create_bounty(make_bounty(bounty_id=f"b-{number}"))
        assert loop.time() < 1

    run(scenario())


def test_the_zone_of_a_process_that_died_is_taken_over_when_its_lease_has_run_out() -> None:
    """Not before, and by one of those who try."""

    async def scenario() -> None:
        mock = racing()
        async with process(mock) as (commit, store):
            await store.create_bounty(make_bounty())
            commit._lease._stop_renewing()  # it dies
        await asyncio.sleep(LASTS)
        assert not await _take(mock)
        await asyncio.sleep(31)
        assert sum(await asyncio.gather(*(_take(mock) for _ in range(4)))) == 1

    run(scenario())


def test_a_process_that_cannot_renew_its_lease_stops_writing_before_others_may_begin() -> None:
    """It knows by its own clock."""

    async def scenario() -> None:
        mock = racing()
        async with process(mock) as (_, store):
            await store.create_bounty(make_bounty())
            renewals = RequestMatch(path=f"{LEASES}-renewed/*")
            mock.inject(Fault(FaultKind.DROP_BEFORE, match=renewals, times=None))
            await asyncio.sleep(LASTS * 3 / 4 + 1)
            before = [path for path in mock.files if "/bounties/" in path]
            with pytest.raises(PreCommitError):
                await store.claim_bounty("b-1", AgentIdentity(agent_id="w"), "c")
            assert [path for path in mock.files if "/bounties/b-1.json" in path]
            assert {path for path in mock.files if "/status/claimed/" in path} <= set(before)

    run(scenario())


def test_a_renewal_that_arrives_late_does_not_shorten_the_lease() -> None:
    """Each has a name of its own."""

    async def scenario() -> None:
        mock = racing()
        late = RequestMatch(path=f"{LEASES}-renewed/*", nth=2)
        mock.inject(Fault(FaultKind.LATE, match=late, seconds=LASTS * 2))
        async with process(mock) as (_, store):
            await store.create_bounty(make_bounty())
            await asyncio.sleep(LASTS * 2 + 60)
            assert not await _take(mock)

    run(scenario())


def test_who_is_so_slow_to_take_the_zone_that_another_may_have_it_does_not_have_it() -> None:
    """The lease counts from the rename, not from when its winner comes round to renewing it."""

    async def scenario() -> None:
        mock = racing()
        rename, renewal = RequestMatch("rename"), RequestMatch("write", path=f"{LEASES}-renewed/*")
        mock.inject(Fault(FaultKind.DELAY, match=rename, seconds=45.0))
        mock.inject(Fault(FaultKind.DELAY, match=renewal, seconds=7.0))
        settings = NexusSettings(url="http://nexus", request_timeout=100)
        async with NexusClient(settings=settings, transport=mock.transport()) as client:
            lasts = timedelta(seconds=20)
            slow, quick = (SingleWriter(client, lasts=lasts, clock=wall_clock) for _ in range(2))
            taking = asyncio.ensure_future(slow.__aenter__())
            await asyncio.sleep(51)
            async with quick:
                with pytest.raises(UnsupportedServerError, match="another process writes zone"):
                    await taking

    run(scenario())


def test_taking_the_zone_waits_until_a_slow_rename_lets_writes_through_again() -> None:
    """0.5.6 blocks for half a minute; what follows is not slowed down by it."""

    async def scenario() -> None:
        mock = racing(rename_delay=30.0)
        loop = asyncio.get_running_loop()
        async with process(mock) as (commit, store), commit:
            assert 30 <= loop.time() < 45
            began = loop.time()
            await store.create_bounty(make_bounty())
            assert loop.time() - began < 1

    run(scenario())


def test_the_time_that_it_takes_to_get_the_zone_is_not_the_operation_s() -> None:
    """It has bounds of its own."""

    async def scenario() -> None:
        mock = racing(rename_delay=30.0)
        settings = NexusSettings(url="http://nexus", operation_timeout=20)
        async with NexusClient(settings=settings, transport=mock.transport()) as client:
            await NexusBountyStore(client, commit="conditional").create_bounty(make_bounty())
            commit = SingleWriter(client, clock=wall_clock)
            store = NexusBountyStore(client, commit=commit, clock=wall_clock)
            await store.claim_bounty("b-1", make_agent("w"), "c")
            assert asyncio.get_running_loop().time() >= 30
            await commit.close()

    run(scenario())


def test_a_lease_lasts_as_long_as_it_is_told_to() -> None:
    """For those who would rather wait less for the dead."""

    async def scenario() -> None:
        mock = racing()
        async with NexusClient("http://nexus", transport=mock.transport()) as client:
            lasts = timedelta(seconds=20)
            commit = SingleWriter(client, lasts=lasts, clock=wall_clock)
            await commit.__aenter__()
            commit._lease._stop_renewing()
        await asyncio.sleep(51)
        assert await _take(mock)

    run(scenario())
