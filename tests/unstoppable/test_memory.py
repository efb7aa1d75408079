"""Memory that reaches a plateau: what a process remembers is bounded, however long it runs."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterable
from datetime import timedelta
from random import Random
from types import FrameType, FunctionType, ModuleType
from typing import Any, Final

import msgspec
import pytest

from nexus_bounty import (
    BountyOperations,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
    OutcomeError,
    Reconciler,
)
from nexus_bounty.bounded_set import MOST_REMEMBERED, BoundedSet
from nexus_bounty.idempotency import new_key
from nexus_bounty.memory.journal import MemoryJournal
from nexus_bounty.outcomes import Outcome
from nexus_bounty.ports import JournaledOperation
from nexus_bounty.testing.virtual_time import EPOCH, wall_clock
from tests.support.racing import by_rename_on
from tests.support.virtual import virtual
from tests.support.world import BOB, CID, World, a_bounty

pytestmark = pytest.mark.thorough

FEW: Final = 4
"""What everything that is bounded is bounded to, so that a short test fills it."""
STRETCH: Final = 2 * FEW
SMALL: Final = NexusSettings(
    remembered_documents=FEW, remembered_dates=FEW, retry_attempts=2, operation_timeout=20
)
_NO_DATA: Final = (type, ModuleType, FunctionType, FrameType)


def reachable(roots: Iterable[object], but: Iterable[object]) -> int:
    """How many objects hang on `roots`, those of the systems `but` left out."""
    seen = {id(each) for each in but}
    kept: list[object] = []  # so that no id is used twice
    frontier = [each for each in roots if id(each) not in seen]
    number = 0
    while frontier:
        kept += frontier
        number += len(frontier)
        seen.update(map(id, frontier))
        found = {id(each): each for each in gc.get_referents(*frontier)}
        frontier = [
            each
            for key, each in found.items()
            if key not in seen and not isinstance(each, _NO_DATA)
        ]
    return number


async def some_lives(operations: BountyOperations, numbers: Iterable[int]) -> None:
    """All sorts of operations, refused ones too, and listings."""
    store: Any = operations.services.store
    for number in numbers:
        bounty_id = f"b-{number}"
        offer = msgspec.structs.replace(a_bounty(), bounty_id=bounty_id, amount=1)
        await operations.create(offer)
        await operations.claim(bounty_id, BOB)
        await operations.renew(bounty_id, BOB)
        await operations.release(bounty_id, BOB)
        for refused in (
            operations.settle(bounty_id, CID),
            operations.create(
                msgspec.structs.replace(offer, bounty_id=f"{bounty_id}-dear", amount=10**6)
            ),
        ):
            with pytest.raises(OutcomeError):
                await refused
        await operations.cancel(bounty_id)
        await store.list_bounties(BountyQuery(status=BountyStatus.OPEN, limit=2))
        await store.find_expired_bounties()


@pytest.mark.parametrize("release", ["0.10-hypothetical", "0.7.0"])
@virtual
async def test_what_operations_leave_in_memory_reaches_a_plateau(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stretch of operations leaves what the one before it left; ledger and server are others'."""
    monkeypatch.setattr(BoundedSet.__init__, "__defaults__", (FEW,))
    world = (
        World(release) if release == "0.10-hypothetical" else World(release, by_rename_on(release))
    )
    await world.found()
    client = NexusClient(settings=SMALL, transport=world.mock.transport(), random=Random(1))
    async with client:
        commit = world.strategy(client)
        operations = BountyOperations(
            NexusBountyStore(client, commit=commit, clock=wall_clock),
            credits=world.ledger,
            claims=NexusClaimStore(client, commit=commit, clock=wall_clock),
            contributions=world.contributions,
            clock=wall_clock,
        )
        reconciler = Reconciler(operations, grace=timedelta(minutes=5))
        others = (world.mock, world.ledger, world.contributions)
        left = []
        for begin in range(0, 3 * STRETCH, STRETCH):
            await some_lives(operations, range(begin, begin + STRETCH))
            await reconciler.run_once()
            await world.later()
            gc.collect()
            left.append(reachable([operations, reconciler, client], others))
    assert left[2] <= left[1] * 1.02


def test_what_is_remembered_of_fifty_thousand_operations_takes_a_few_megabytes() -> None:
    """And no more than of the first twenty thousand."""
    random = Random(1)

    def remember(number: int) -> int:
        for _ in range(number):
            recent.add((f"bounty-{random.getrandbits(96):x}", new_key(random)))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        recent = BoundedSet()
        full = remember(2 * MOST_REMEMBERED)
        assert full < 8_000_000
        assert remember(50_000 - 2 * MOST_REMEMBERED) < full * 1.02
    finally:
        tracemalloc.stop()


async def test_a_journal_of_this_process_forgets_what_ended_long_ago_and_nothing_in_doubt() -> None:
    """Nor what was begun again."""
    journal = MemoryJournal(most=2)

    async def begin(key: str) -> None:
        await journal.begin_operation(
            JournaledOperation(
                key=key,
                zone_id="z",
                kind="create",
                bounty_id="b",
                fingerprint="f",
                decided_by=f"{key}:open",
                began_at=EPOCH,
            )
        )

    async def known() -> set[str]:
        asked = [*"abcdef", "doubt"]
        return {key for key in asked if await journal.find_operation("z", key) is not None}

    await begin("doubt")
    await journal.end_operation("z", "doubt", None, "lost")
    for key in "abc":
        await begin(key)
        await journal.end_operation("z", key, Outcome.PRE_COMMIT, "")
    assert await known() == {"doubt", "b", "c"}
    await begin("b")
    for key in "def":
        await begin(key)
        await journal.end_operation("z", key, Outcome.COMMITTED, "")
    assert await known() == {"doubt", "b", "e", "f"}
