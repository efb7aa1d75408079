"""A stranger who can write the zone rewrites what it likes, between any two steps of others.

The oracle is the ledger: nothing is made or lost, the stranger is paid nothing, and whoever is paid
has delivered the work that is paid for. What a document says by then does not matter.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import msgspec
import pytest

from nexus_bounty import Contribution, OutcomeError
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.operations import BountyOperations
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import run
from tests.support.sampling import every_nth, sample_and_all
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    FUNDS,
    GRACE,
    PRICE,
    World,
    a_bounty,
    a_world,
)

ZONE = ZonePaths("default")
MALLORY = {"agentId": "mallory"}
OTHER = "b-2"
STATUSES = ("draft", "open", "claimed", "pending_settlement", "completed", "settled", "cancelled")
WORKS = (
    Contribution(cid=CID, agent=BOB, tags=["sorted"], scores={"speed": 2.0}),
    Contribution(cid="cid-carol", agent=CAROL, tags=["sorted"], scores={"speed": 2.0}),
)
AUTHORS = {each.cid: each.agent.agent_id for each in WORKS if each.agent}


def forged(random: Random, document: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """`document` as the stranger would like it to be."""
    lies: dict[str, Any] = {
        "status": random.choice(STATUSES),
        "claimedBy": MALLORY,
        "claimId": "c-mallory",
        "fulfilledByCid": random.choice([*AUTHORS, "cid-mallory"]),
        "amount": random.choice([1, PRICE, 5 * PRICE]),
        "creator": MALLORY,
        "reservationId": other.get("reservationId"),
        "ledgerId": None,
        "nexusBounty": None,
    }
    chosen = random.sample(sorted(lies), random.randint(1, len(lies)))
    changed = document | {name: lies[name] for name in chosen}
    return {name: value for name, value in changed.items() if value is not None}


def rewrite(world: World, random: Random) -> None:
    """Change one of the two bounties, and put its marker where it will be looked for."""
    table = world.mock.core.table
    found = {each: table.get(ZONE.bounty(each)) for each in (BOUNTY_ID, OTHER)}
    documents = {name: msgspec.json.decode(each.content) for name, each in found.items() if each}
    if not documents:
        return
    name = random.choice(sorted(documents))
    other: dict[str, Any] = next((each for key, each in documents.items() if key != name), {})
    lie = forged(random, documents[name], other)
    table.write(ZONE.bounty(name), msgspec.json.encode(lie))
    table.write(f"/zones/default/indexes/bounties/status/{lie['status']}/{name}", b"")


async def step(operations: BountyOperations, random: Random) -> None:
    """Something that an honest program does."""
    bounty_id, agent = random.choice([BOUNTY_ID, OTHER]), random.choice([BOB, CAROL])
    act = random.choice(["claim", "settle", "settle", "release", "cancel", "reconcile"])
    try:
        match act:
            case "claim":
                await operations.claim(bounty_id, agent)
            case "settle":
                await operations.settle(bounty_id, random.choice(sorted(AUTHORS)))
            case "release":
                await operations.release(bounty_id, agent)
            case "cancel":
                await operations.cancel(bounty_id)
            case "reconcile":
                await asyncio.sleep(2 * GRACE.total_seconds())
                await Reconciler(operations, grace=GRACE).run_once()
    except (OutcomeError, ValueError):
        pass  # it is refused, or owed: the ledger shows what became of the money


async def wrong_with_the_money(world: World) -> list[str]:
    names = ("alice", "bob", "carol", "mallory")
    balances = {name: await world.ledger.balance(name) for name in names}
    wrong = []
    if sum(each.available + each.reserved for each in balances.values()) != FUNDS:
        wrong.append(f"credits were made or lost: {balances}")
    if balances["mallory"].available or balances["mallory"].reserved:
        wrong.append(f"the stranger has {balances['mallory']}")
    async for each in world.ledger.reservations():
        if each.captured_to is None:
            continue
        work = each.assignment.work if each.assignment else None
        if AUTHORS.get(work or "") != each.captured_to:
            wrong.append(f"{each.captured_to} was paid for {work}")
    return wrong


async def a_life(seed: int) -> None:
    random = Random(seed)
    world = await a_world()
    world.contributions = MemoryContributionStore(WORKS)
    async with world.process(seed=seed) as process, world.process(seed=seed + 1) as twin:
        await process.operations.create(a_bounty())
        await process.operations.create(msgspec.structs.replace(a_bounty(), bounty_id=OTHER))
        await process.operations.claim(BOUNTY_ID, BOB)
        for _ in range(10):
            if random.random() < 0.5:
                rewrite(world, random)
            await step(random.choice([process, twin]).operations, random)
            assert await wrong_with_the_money(world) == [], f"seed {seed}"


@sample_and_all
@pytest.mark.parametrize("hundred", every_nth(2, range(4)))
def test_no_document_moves_money_against_the_record_of_the_ledger(
    hundred: int, sample: bool
) -> None:
    """Whatever the stranger writes and whenever."""
    for seed in range(100 * hundred, 100 * hundred + (12 if sample else 100)):
        run(a_life(seed))
