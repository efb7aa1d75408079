"""What a reconciler remembers makes it no blinder than one that remembers nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from random import Random
from typing import Any

import msgspec
import pytest

from nexus_bounty import Bounty, BountyStatus
from nexus_bounty.operations.services import target_of
from nexus_bounty.outcomes import OutcomeError
from nexus_bounty.reconcile import Reconciler, sweep_state
from nexus_bounty.reconcile.claims import AbandonedBounties, OrphanClaims
from nexus_bounty.reconcile.markers import IndexMarkers
from nexus_bounty.reconcile.reconciler import SWEEPS
from nexus_bounty.reconcile.sweep import Scope
from nexus_bounty.testing.virtual_time import EPOCH, wall_clock
from tests.reconcile.stranded import ESCROW, HOUR, MINUTE, PIVOT, Hands
from tests.support.virtual import virtual
from tests.support.world import ALICE, BOB, BOUNTY_ID, CAROL, CID, GRACE, a_bounty, a_world

S = BountyStatus
AGENTS = (BOB, CAROL)
Act = Callable[[str], Awaitable[object]]


@dataclass
class Chance:
    """Takes bounties through lives in which any step may be the last that is done.

    That is what is left by processes that die at any moment, and by users of the bare stores.
    """

    hands: Hands
    dice: Random
    latest: int = 3
    names: Iterator[int] = field(default_factory=count)

    async def act(self) -> None:
        """Do one thing with one of the latest bounties; it may be refused."""
        bounty_id = f"b-{self.latest - self.dice.randrange(3)}"
        bounty = await self.hands.store.get_bounty(bounty_id)
        act = self.dice.choice(self._acts(bounty.status if bounty else None))
        with suppress(OutcomeError):
            await act(bounty_id)

    def _acts(self, status: BountyStatus | None) -> list[Act]:
        store, claims, ledger = self.hands.store, self.hands.claims, self.hands.world.ledger
        operations, agent = self.hands.operations, self.dice.choice(AGENTS)
        lease = self.dice.choice([MINUTE, HOUR, 24 * HOUR])

        def begin(bounty_id: str) -> Awaitable[object]:
            return store.begin_settlement(bounty_id, CID)

        def claim(bounty_id: str) -> Awaitable[object]:
            return operations.claim(bounty_id, agent, lease=lease)

        def take_lease(bounty_id: str) -> Awaitable[object]:
            return claims.claim_or_renew(
                f"bounty:{bounty_id}", agent, claim_id=self._new("c"), lease=lease
            )

        def fund(bounty_id: str) -> Awaitable[object]:
            return store.fund_bounty(bounty_id, self.dice.choice([f"r-{bounty_id}", "r-else"]))

        def capture(bounty_id: str) -> Awaitable[object]:
            return ledger.capture(f"r-{bounty_id}", to_account=agent.agent_id)

        by_status: dict[BountyStatus | None, list[Act]] = {
            None: [self._create, self._draft, self._draft],
            S.DRAFT: [self._reserve, self._reserve, fund, store.cancel_bounty],
            S.OPEN: [claim, claim, claim, take_lease, store.cancel_bounty, store.expire_bounty],
            S.CLAIMED: [
                begin,
                begin,
                self._settle,
                self._release,
                self._end_lease,
                store.cancel_bounty,
                store.expire_bounty,
            ],
            S.PENDING_SETTLEMENT: [store.settle_bounty, capture],
            S.COMPLETED: [store.settle_bounty, capture],
        }
        return [*by_status.get(status, [self._another, self._another, capture]), self._wait]

    def _new(self, prefix: str) -> str:
        return f"{prefix}-{next(self.names)}"

    async def _another(self, _ended: str) -> None:
        self.latest += 1

    def _bounty(self, bounty_id: str) -> Bounty:
        deadline = EPOCH + self.dice.choice([timedelta(hours=9), timedelta(days=400)])
        return msgspec.structs.replace(a_bounty(deadline), bounty_id=bounty_id, amount=1)

    async def _create(self, bounty_id: str) -> None:
        await self.hands.operations.create(self._bounty(bounty_id))

    async def _draft(self, bounty_id: str) -> None:
        draft = msgspec.structs.replace(
            self._bounty(bounty_id), status=S.DRAFT, reservation_id=f"r-{bounty_id}"
        )
        await self.hands.store.create_bounty(draft)

    async def _reserve(self, bounty_id: str) -> None:
        name = self.dice.choice([f"r-{bounty_id}", f"r-{bounty_id}", self._new("r")])
        await self.hands.world.ledger.reserve(
            name, account=ALICE.agent_id, amount=1, reference=bounty_id
        )

    async def _settle(self, bounty_id: str) -> None:
        await self.hands.operations.settle(bounty_id, CID)

    async def _release(self, bounty_id: str) -> None:
        bounty = await self.hands.store.get_bounty(bounty_id)
        assert bounty is not None
        assert bounty.claimed_by is not None
        await self.hands.store.release_bounty(bounty_id, bounty.claimed_by)

    async def _end_lease(self, bounty_id: str) -> None:
        for claim in await self.hands.claims.active_claims(f"bounty:{bounty_id}"):
            await self.hands.claims.release(claim.claim_id)

    async def _wait(self, _bounty_id: str) -> None:
        await asyncio.sleep(self.dice.choice([600, 4 * 3600]))


def _found(report: Any) -> set[tuple[str, str, str]]:
    assert not report.errors
    return {(each.sweep, each.subject, each.problem) for each in report.findings}


async def _lives(seed: int, steps: int) -> int:
    """Random acts; after each, what was remembered so far must hide nothing. Returns the problems.

    The audit of the index remembers nothing but how far it is, so it is left out.
    """
    sweeps = [sweep for sweep in SWEEPS if sweep.name != IndexMarkers.name]
    world, problems = await a_world(), 0
    async with world.process(seed=seed) as process, world.process(seed=seed + 1) as other:
        chance = Chance(Hands.of(world, process), Random(seed))

        def a_reconciler(**options: Any) -> Reconciler:
            return Reconciler(other.operations, grace=GRACE, sweeps=sweeps, **options)

        old = a_reconciler(dry_run=True)
        for _ in range(steps):
            await chance.act()
            await chance.hands.client.cleanup.flush()
            await asyncio.sleep(2 * GRACE.total_seconds())
            remembered = _found(await old.run_once())
            assert remembered == _found(await a_reconciler(dry_run=True).run_once())
            problems += len(remembered)
            if chance.dice.random() < 0.15:
                await a_reconciler().run_once()
    return problems


@virtual
@pytest.mark.thorough
async def test_a_reconciler_that_remembers_finds_what_a_new_one_finds() -> None:
    """Whatever has been done in between, in whatever order."""
    assert sum([await _lives(seed, 60) for seed in range(2)]) > 100


@virtual
async def test_a_memory_with_room_for_one_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs requests."""
    monkeypatch.setattr(sweep_state, "MOST_KNOWN", 1)
    assert await _lives(2, 40) > 10


# What lives like those come to too rarely


@virtual
async def test_a_bounty_that_is_still_being_settled_is_not_rewarded() -> None:
    """It is marked as settled already, and its credits are gone."""
    world = await a_world()
    async with world.process() as process:
        hands = Hands.of(world, process)
        await hands.pending()
        bounty = await hands.store.get_bounty(BOUNTY_ID)
        assert bounty is not None
        await world.ledger.void(bounty.reservation_id or "", despite=PIVOT)
        await world.later()
        await Reconciler(process.operations, grace=GRACE).run_once()
        assert await hands.store.list_rewards() == []


async def _two_runs(
    before: Callable[[Hands], Awaitable[object]], between: Callable[[Hands], Awaitable[object]]
) -> list[tuple[str, str]]:
    """What the second dry run of one reconciler finds."""
    world = await a_world()
    async with world.process() as process:
        hands = Hands.of(world, process)
        reconciler = Reconciler(process.operations, grace=GRACE, dry_run=True)
        await before(hands)
        await hands.client.cleanup.flush()
        await world.later()
        await reconciler.run_once()
        await between(hands)
        await hands.client.cleanup.flush()
        await world.later()
        report = await reconciler.run_once()
    return [(each.sweep, each.subject) for each in report.findings]


@virtual
async def test_credits_of_a_draft_that_was_opened_on_others_are_found() -> None:
    """A draft may need them, and then does not."""

    async def draft(hands: Hands) -> None:
        await hands.put(S.DRAFT)
        await hands.reserve()

    async def open_on_others(hands: Hands) -> None:
        await hands.reserve("r-other", "elsewhere")
        await hands.store.fund_bounty(BOUNTY_ID, "r-other")

    assert ("orphan reservations", ESCROW) in await _two_runs(draft, open_on_others)


@virtual
async def test_credits_held_a_second_time_for_a_bounty_are_found() -> None:
    """Though it is known to need those that it names."""

    async def reserve_again(hands: Hands) -> None:
        await hands.reserve("r-2")

    assert await _two_runs(Hands.posted, reserve_again) == [("orphan reservations", "r-2")]


@virtual
async def test_a_released_bounty_past_its_deadline_is_found_once() -> None:
    """It is marked as open and as claimed."""

    async def claimed(hands: Hands) -> None:
        await hands.claimed(2 * HOUR)

    async def released(hands: Hands) -> None:
        await hands.operations.release(BOUNTY_ID, BOB)
        await asyncio.sleep(3 * 3600)

    assert await _two_runs(claimed, released) == [("past deadlines", BOUNTY_ID)]


@virtual
async def test_a_deadline_is_met_on_the_run_after_it_though_the_bounty_was_seen_before() -> None:
    """Nobody touches the bounty in between."""

    async def posted(hands: Hands) -> None:
        await hands.posted(HOUR)

    async def wait(_hands: Hands) -> None:
        await asyncio.sleep(2 * 3600)

    assert await _two_runs(posted, wait) == [("past deadlines", BOUNTY_ID)]


@virtual
async def test_a_lease_that_was_taken_anew_since_its_page_was_read_is_left_alone() -> None:
    """Repairs take their time; what was wrong when it was read may be right when its turn comes."""
    world = await a_world()
    async with world.process() as process:
        hands = Hands.of(world, process)
        await hands.posted()
        await hands.claims.claim_or_renew(target_of(BOUNTY_ID), BOB, claim_id="c", lease=HOUR)
        await world.later()
        scope = Scope(process.operations.services, GRACE, wall_clock())
        (problem,) = [each async for each in OrphanClaims().find(scope)]
        await hands.operations.claim(BOUNTY_ID, BOB, lease=HOUR)
        assert problem.repair is not None
        assert "nothing" in await problem.repair()
        (lease,) = await hands.claims.active_claims()
        bounty = await hands.store.get_bounty(BOUNTY_ID)
    assert lease.agent == BOB
    assert bounty is not None
    assert bounty.status is S.CLAIMED


@virtual
async def test_a_bounty_that_was_claimed_anew_since_its_page_was_read_stays_claimed() -> None:
    """By its old claimer, whose lease had run out."""
    world = await a_world()
    async with world.process() as process:
        hands = Hands.of(world, process)
        await hands.posted()
        await hands.operations.claim(BOUNTY_ID, BOB, lease=MINUTE)
        await world.later()
        scope = Scope(process.operations.services, GRACE, wall_clock())
        (problem,) = [each async for each in AbandonedBounties().find(scope)]
        await hands.operations.claim(BOUNTY_ID, BOB, lease=HOUR)
        assert problem.repair is not None
        assert "nothing" in await problem.repair()
        bounty = await hands.store.get_bounty(BOUNTY_ID)
    assert bounty is not None
    assert bounty.status is S.CLAIMED


@virtual
async def test_a_bounty_that_is_claimed_anew_while_it_is_being_reopened_stays_claimed() -> None:
    """By its old claimer, between the reconciler's last look and its commit."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        hands = Hands.of(world, process)
        await hands.posted()
        await hands.operations.claim(BOUNTY_ID, BOB, lease=MINUTE)
        await world.later()
        scope = Scope(process.operations.services, GRACE, wall_clock())
        (problem,) = [each async for each in AbandonedBounties().find(scope)]
        store: Any = process.operations.services.store
        release_bounty = store.release_bounty

        async def overtaken(*arguments: Any, **named: Any) -> Any:
            await other.operations.claim(BOUNTY_ID, BOB, lease=HOUR)
            return await release_bounty(*arguments, **named)

        store.release_bounty = overtaken
        assert problem.repair is not None
        assert "nothing" in await problem.repair()
        bounty = await hands.store.get_bounty(BOUNTY_ID)
    assert bounty is not None
    assert bounty.status is S.CLAIMED


@pytest.mark.exhaustive
@virtual
async def test_a_reconciler_that_remembers_finds_what_a_new_one_finds_in_many_lives() -> None:
    """The same in two hundred lives."""
    assert sum([await _lives(seed, 100) for seed in range(200)]) > 10_000
