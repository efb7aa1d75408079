"""One claim holds a target at a time, whatever commits it and whoever is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from random import Random

import pytest

from nexus_bounty import (
    AgentIdentity,
    Claim,
    ClaimConflictError,
    ConditionalCommit,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
    OutcomeError,
    RenameCommit,
)
from nexus_bounty.mock import FaultPlan, MockNexus
from nexus_bounty.nexus.documents.commits import CommitStrategy
from nexus_bounty.testing.virtual_time import run, wall_clock
from tests.support.racing import QUIRKS, racing, seeds
from tests.support.transports import Slow

HOUR = timedelta(hours=1)
Commit = Callable[[NexusClient], CommitStrategy]
WAYS = pytest.mark.parametrize(
    ("release", "commit", "atomic"),
    [
        pytest.param("0.7.0", RenameCommit, False, id="rename-racing"),
        pytest.param("0.10", RenameCommit, None, id="rename-constant"),
        pytest.param(
            "0.9.26", partial(RenameCommit, quirks=QUIRKS["0.9.26"]), None, id="rename-stale"
        ),
        pytest.param("0.9", partial(RenameCommit, quirks=QUIRKS["0.9"]), None, id="rename-odd"),
        pytest.param("0.7.0", ConditionalCommit, True, id="conditional-atomic"),
    ],
)


async def claim(
    mock: MockNexus, commit: Commit, number: int, seed: int, lease: timedelta = HOUR
) -> Claim | OutcomeError:
    random = Random(f"{seed} {number}")
    slow = random.choice([0.002, 0.05, 2.0])
    transport = Slow(mock.transport(), random, slow)
    async with NexusClient(
        settings=NexusSettings(url="http://nexus"), transport=transport, random=random
    ) as client:
        store = NexusClaimStore(client, commit=commit(client), clock=wall_clock)
        try:
            return await store.claim_or_renew(
                "bounty:b-1",
                AgentIdentity(agent_id=f"agent-{number}"),
                claim_id=f"c-{number}",
                lease=lease,
            )
        except OutcomeError as error:
            return error


async def active(mock: MockNexus, commit: Commit) -> list[str]:
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store = NexusClaimStore(client, commit=commit(client), clock=wall_clock)
        listed = [each.claim_id for each in await store.active_claims()]
        named = [each.claim_id for each in await store.active_claims("bounty:b-1")]
    assert listed == named
    return listed


@WAYS
@seeds(4, 25)
def test_of_eight_claimers_of_whatever_speed_one_wins(
    release: str, commit: Commit, atomic: bool | None, seed: int
) -> None:
    """One who is slow to write the claim that its lock announces loses it, and nobody else does."""

    async def scenario() -> None:
        mock = MockNexus(release, atomic=atomic, clock=wall_clock, race_window=0.003)
        ends = await asyncio.gather(*(claim(mock, commit, each, seed) for each in range(8)))
        won = [each.claim_id for each in ends if isinstance(each, Claim)]
        assert len(won) == 1
        assert all(isinstance(each, Claim | ClaimConflictError) for each in ends)
        assert await active(mock, commit) == won

    run(scenario())


@WAYS
@seeds(4, 25)
def test_no_storm_of_faults_gives_a_target_to_two(
    release: str, commit: Commit, atomic: bool | None, seed: int
) -> None:
    """Who is told that it holds the target does; who is not told so may find out that it does."""

    async def scenario() -> None:
        mock = MockNexus(
            release, atomic=atomic, clock=wall_clock, faults=FaultPlan.seeded(seed, 0.15)
        )
        ends = await asyncio.gather(*(claim(mock, commit, each, seed) for each in range(5)))
        mock.clear_faults()
        await mock.settle()
        holding = await active(mock, commit)
        won = [each.claim_id for each in ends if isinstance(each, Claim)]
        unknown = [each for each in ends if getattr(each, "outcome", "") == "unknown"]
        assert len(holding) <= 1
        assert won in ([], holding)
        assert won or unknown or not holding

    run(scenario())


@WAYS
@seeds(3, 10)
def test_a_target_passes_from_claim_to_claim_as_leases_run_out(
    release: str, commit: Commit, atomic: bool | None, seed: int
) -> None:
    """Each time to one of those who ask for it at once."""

    async def scenario() -> None:
        mock = MockNexus(release, atomic=atomic, clock=wall_clock)
        for turn in range(3):
            numbers = range(10 * turn, 10 * turn + 4)
            ends = await asyncio.gather(*(claim(mock, commit, each, seed) for each in numbers))
            won = [each.claim_id for each in ends if isinstance(each, Claim)]
            assert len(won) == 1
            assert await active(mock, commit) == won
            await asyncio.sleep(2 * HOUR.total_seconds())

    run(scenario())


def test_an_id_that_was_used_before_does_not_lead_the_lock_in_a_circle() -> None:
    """It is refused, and the target stays free for others."""

    async def scenario() -> None:
        mock = racing()
        for number in (1, 2):
            assert isinstance(await claim(mock, RenameCommit, number, 0), Claim)
            await asyncio.sleep(2 * HOUR.total_seconds())
        assert isinstance(await claim(mock, RenameCommit, 1, seed=1), OutcomeError)
        third = await claim(mock, RenameCommit, 3, 0)
        assert isinstance(third, Claim)
        assert await active(mock, RenameCommit) == ["c-3"]

    run(scenario())


def test_the_lock_of_another_program_is_respected() -> None:
    """Its file has no slots."""

    async def scenario() -> None:
        mock = racing()
        assert isinstance(await claim(mock, ConditionalCommit, 1, 0), Claim)
        assert isinstance(await claim(mock, RenameCommit, 2, 0), ClaimConflictError)
        await asyncio.sleep(2 * HOUR.total_seconds())
        assert isinstance(await claim(mock, RenameCommit, 3, 0), Claim)
        path = "/zones/default/indexes/claims/target-lock/bounty:b-1"
        assert mock.read_file(path) == b"c-3"

    run(scenario())


def test_leftovers_of_claims_and_their_locks_go_too() -> None:
    """When nothing can need them any more."""

    async def scenario() -> None:
        mock = racing()
        for number in range(3):
            await claim(mock, RenameCommit, number, 0)
            await asyncio.sleep(2 * HOUR.total_seconds())
        async with NexusClient("http://nexus", transport=mock.transport()) as client:
            store = NexusClaimStore(client, commit=RenameCommit(client), clock=wall_clock)
            assert await store.collect_leftovers() == []
            await asyncio.sleep(48 * HOUR.total_seconds())
            gone = await store.collect_leftovers()
        assert gone
        assert not [path for path in mock.files if "-commits/" in path or "/commits/" in path]
        assert isinstance(await claim(mock, RenameCommit, 4, 0), Claim)
        assert await active(mock, RenameCommit) == ["c-4"]

    run(scenario())
