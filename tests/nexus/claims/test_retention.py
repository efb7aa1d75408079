"""Claims that ended long ago are deleted, and nothing brings them back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from nexus_bounty import (
    ClaimConflictError,
    ClaimNotFoundError,
    IdempotencyMismatchError,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.mock import MockNexus, RequestMatch
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.builders import make_agent
from nexus_bounty.testing.clock import ManualClock
from tests.support.racing import QUIRKS

DAY = timedelta(days=1)
BOB, EVE = make_agent("bob"), make_agent("eve")
DOCUMENT = ZonePaths("default").claim("c-1")


class Claims:
    """Claims on one server, by as many processes as are asked for."""

    def __init__(self, release: str) -> None:
        self.clock = ManualClock()
        self.release = release
        self.mock = MockNexus(release, clock=self.clock, rename_delay=0)

    @asynccontextmanager
    async def process(self) -> AsyncIterator[NexusClaimStore]:
        settings = NexusSettings(url="http://nexus", retry_base=0)
        async with NexusClient(settings=settings, transport=self.mock.transport()) as client:
            commit = RenameCommit(client, QUIRKS[self.release])
            yield NexusClaimStore(client, commit=commit, clock=self.clock)


releases = pytest.mark.parametrize("release", ["0.7.0", "0.9", "0.10"])


@releases
async def test_whoever_remembers_a_claim_that_was_deleted_does_not_bring_it_back(
    release: str,
) -> None:
    """However long its lease was, and although its slots and its file are gone."""
    world = Claims(release)
    async with world.process() as forgetful, world.process() as other:
        await forgetful.claim_or_renew("t", BOB, claim_id="c-1", lease=90 * DAY)
        world.clock.advance(DAY)
        await other.release("c-1")
        world.clock.advance(2 * DAY)
        assert await other.clean_completed(2 * DAY) == 1
        assert world.mock.read_file(DOCUMENT) is None
        with pytest.raises(ClaimNotFoundError):
            await forgetful.heartbeat("c-1", lease=DAY)
        assert await other.get("c-1") is None
        taken = await other.claim_or_renew("t", EVE, claim_id="c-2", lease=DAY)
        assert await forgetful.active_claims() == [taken]


@releases
async def test_a_claim_that_ended_lately_stays_however_old_its_heartbeat(release: str) -> None:
    """A repeat of what ended it may still be under way."""
    world = Claims(release)
    async with world.process() as claims:
        await claims.claim_or_renew("t", BOB, claim_id="c-1", lease=90 * DAY)
        world.clock.advance(80 * DAY)
        await claims.release("c-1", idempotency_key="k")
        assert await claims.clean_completed(DAY) == 0
        assert (await claims.release("c-1", idempotency_key="k")).claim_id == "c-1"
        world.clock.advance(2 * DAY)
        assert await claims.clean_completed(DAY) == 1


@releases
async def test_what_cannot_be_understood_is_not_deleted_and_is_named(release: str) -> None:
    """Whatever it is, it is not ours to judge."""
    world = Claims(release)
    async with world.process() as claims:
        await claims._client.write(DOCUMENT, b"{}")
        world.clock.advance(9 * DAY)
        assert await claims.clean_completed(DAY) == 0
        unreadable: dict[str, str] = {}
        assert await claims.list_claims(unreadable=unreadable) == []
        assert list(unreadable) == ["c-1"]


@releases
async def test_markers_written_ahead_of_claims_that_were_never_made_are_removed_in_time(
    release: str,
) -> None:
    """Two agents want a target at the same moment, in two processes; one of them is refused."""
    world = Claims(release)
    async with world.process() as first, world.process() as second:
        await first.claim_or_renew("t", BOB, claim_id="c-1", lease=90 * DAY)
        with pytest.raises(ClaimConflictError):
            await second.claim_or_renew("t", EVE, claim_id="c-2", lease=DAY)
        held, never_made = (ZonePaths("default").active_claim("t", each) for each in ("c-1", "c-2"))
        assert world.mock.read_file(never_made) is not None
        assert never_made not in await first.collect_leftovers()
        world.clock.advance(2 * DAY)
        assert never_made in await first.collect_leftovers()
        assert world.mock.read_file(never_made) is None
        assert world.mock.read_file(held) is not None
        assert [each.claim_id for each in await second.active_claims()] == ["c-1"]


@releases
async def test_a_walk_that_met_no_idle_marker_spares_another_one_and_hides_none_from_later(
    release: str,
) -> None:
    """What is idle since then is not old enough; once it is, it is looked for again."""
    world = Claims(release)
    async with world.process() as first, world.process() as second:
        await first.claim_or_renew("t", BOB, claim_id="c-1", lease=90 * DAY)
        await first.expire_stale()
        active = RequestMatch("list", "*/claims/active*")

        async def looks() -> int:
            before = len(world.mock.requests)
            removed = await first.collect_leftovers()
            assert {never_made} >= {each for each in removed if "/active/" in each}
            return sum(map(active.accepts, world.mock.requests[before:]))

        never_made = ZonePaths("default").active_claim("t", "c-2")
        assert not await looks()
        with pytest.raises(ClaimConflictError):
            await second.claim_or_renew("t", EVE, claim_id="c-2", lease=DAY)
        world.clock.advance(DAY / 2)
        assert not await looks()
        world.clock.advance(DAY)
        assert await looks()
        assert world.mock.read_file(never_made) is None


@releases
async def test_the_marker_of_a_claim_that_cannot_be_understood_stays(release: str) -> None:
    world = Claims(release)
    async with world.process() as claims:
        await claims.claim_or_renew("t", BOB, claim_id="c-1", lease=90 * DAY)
        await claims._client.write(DOCUMENT, b"{}")
        world.clock.advance(9 * DAY)
        assert ZonePaths("default").active_claim("t", "c-1") not in await claims.collect_leftovers()


@releases
async def test_once_a_claim_is_cleaned_away_its_id_can_be_another_ones(release: str) -> None:
    """On whatever target, with whatever key; until then it is refused."""
    world = Claims(release)
    async with world.process() as claims:
        await claims.claim_or_renew("t", BOB, claim_id="c-1", lease=DAY, idempotency_key="k")
        await claims.release("c-1")
        with pytest.raises(IdempotencyMismatchError):
            await claims.claim_or_renew("u", EVE, claim_id="c-1", lease=DAY)
        world.clock.advance(3 * DAY)
        assert await claims.clean_completed(2 * DAY) == 1
        made = await claims.claim_or_renew("u", EVE, claim_id="c-1", lease=DAY, idempotency_key="k")
        assert await claims.get("c-1") == made
        assert await claims.active_claims() == [made]
