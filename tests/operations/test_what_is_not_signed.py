"""Leases, locks and markers carry no signature, in a signed zone either: no money goes by them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from nexus_bounty import BountyStatus, OutcomeError
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.operations import BountyOperations
from nexus_bounty.operations.services import target_of
from nexus_bounty.reconcile import Reconciler
from tests.operations.lives import begun, claimed
from tests.support.virtual import virtual
from tests.support.world import BOUNTY_ID, CID, FUNDS, GRACE, PRICE, World

ZONE = ZonePaths("default")
SIGNED = (SecretStr("a key of the zone, quite long enough"),)
LOCK = ZONE.target_lock(target_of(BOUNTY_ID))
MALLORY = {"agentId": "mallory"}
LONG_AGO, FAR_AHEAD = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
Forgery = Callable[[World], None]


def of_lease(**changes: Any) -> Forgery:
    """Every lease of the zone says this."""

    def forge(world: World) -> None:
        for path in [each for each in world.mock.files if each.startswith(f"{ZONE.claims}/")]:
            value = msgspec.json.decode(world.mock.read_file(path) or b"{}") | changes
            world.mock.core.table.write(path, msgspec.json.encode(value))

    return forge


def without(prefix: str) -> Forgery:
    """Every file of this kind is gone."""

    def forge(world: World) -> None:
        for path in [each for each in world.mock.files if each.startswith(prefix)]:
            world.mock.core.table.remove(path)

    return forge


def every_marker(world: World) -> None:
    """The bounty seems to be in every status."""
    for status in BountyStatus:
        world.mock.core.table.write(ZONE.marker(status, BOUNTY_ID), b"")


def lock_names(claim_id: bytes) -> Forgery:
    """The lock of the bounty is another's, or nobody's."""

    def forge(world: World) -> None:
        world.mock.core.table.write(LOCK, claim_id)

    return forge


MARKERS = ZONE.statuses(BountyStatus.OPEN).removesuffix("open")
FORGERIES: dict[str, Forgery] = {
    "a lease of mallory's": of_lease(agent=MALLORY),
    "a lease that was given back": of_lease(status="released"),
    "a lease whose work is done": of_lease(status="completed"),
    "a lease that ended long ago": of_lease(leaseExpiresAt=LONG_AGO),
    "a lease without an end": of_lease(leaseExpiresAt=FAR_AHEAD),
    "a lease on another target": of_lease(targetRef="bounty:another"),
    "no lease": without(f"{ZONE.claims}/"),
    "a lock of mallory's": lock_names(b"claim-of-mallory"),
    "an empty lock": lock_names(b""),
    "no marker": without(MARKERS),
    "every marker": every_marker,
    "no active lease": without(f"{ZONE.active_claims}/"),
}


async def settle(operations: BountyOperations) -> None:
    await operations.settle(BOUNTY_ID, CID)


async def cancel(operations: BountyOperations) -> None:
    await operations.cancel(BOUNTY_ID)


async def nothing(operations: BountyOperations) -> None:
    """It is left to the reconciler."""


LIVES: dict[str, tuple[Callable[[BountyOperations], Awaitable[Any]], tuple[int, int, int]]] = {
    "settled": (settle, (FUNDS - PRICE, 0, PRICE)),
    "cancelled": (cancel, (FUNDS, 0, 0)),
    "died past the pivot": (nothing, (FUNDS - PRICE, 0, PRICE)),
}
"""What is done of it then, and what alice has, free and reserved, and bob in the end."""


@pytest.mark.parametrize(
    "life",
    ["settled", "died past the pivot", pytest.param("cancelled", marks=pytest.mark.thorough)],
)
@pytest.mark.parametrize("forgery", FORGERIES)
@virtual
async def test_whoever_forges_them_changes_neither_whose_the_credits_are_nor_how_many(
    forgery: str, life: str
) -> None:
    """Nothing but who finds the bounty, and when."""
    act, ends = LIVES[life]
    world = World(signing_keys=SIGNED)
    await world.found()
    async with world.process() as process:
        await claimed(process.operations)
        if act is nothing:
            await begun(process.operations)
    await world.later()
    FORGERIES[forgery](world)
    async with world.process(seed=3) as process:
        try:
            await act(process.operations)
        except OutcomeError as error:
            raise AssertionError(f"{life} with {forgery}: {error}") from error
    await world.later()
    async with world.process(seed=9) as process:
        await Reconciler(process.operations, grace=GRACE).run_until_clean()
    alice, bob, mallory = [await world.ledger.balance(each) for each in ("alice", "bob", "mallory")]
    assert (alice.available, alice.reserved, bob.available) == ends
    assert (mallory.available, mallory.reserved) == (0, 0)
