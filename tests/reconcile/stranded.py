"""What operations, peers and users of the bare stores can leave behind, and its right end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from nexus_bounty import AgentIdentity, Bounty, BountyStatus, NexusBountyStore, NexusClient
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.operations import BountyOperations
from nexus_bounty.operations.escrow import record_payee
from nexus_bounty.operations.services import target_of
from nexus_bounty.testing.virtual_time import EPOCH
from tests.support.world import (
    ALICE,
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    GRACE,
    PRICE,
    Process,
    World,
    a_bounty,
    a_world,
    document,
)

ESCROW = "r-1"
PIVOT = "settle-1:begin"
ZONE = ZonePaths("default")
DOCUMENT = ZONE.bounty(BOUNTY_ID)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@dataclass
class Hands:
    """What a test uses to leave things behind: the bare stores and the ledger."""

    world: World
    operations: BountyOperations

    @classmethod
    def of(cls, world: World, process: Process) -> Hands:
        return cls(world, process.operations)

    @property
    def store(self) -> NexusBountyStore:
        store = self.operations.services.store
        assert isinstance(store, NexusBountyStore)
        return store

    @property
    def claims(self) -> NexusClaimStore:
        claims = self.operations.services.claims
        assert isinstance(claims, NexusClaimStore)
        return claims

    @property
    def client(self) -> NexusClient:
        return self.store._client

    async def reserve(self, reservation_id: str = ESCROW, reference: str = BOUNTY_ID) -> None:
        await self.world.ledger.reserve(
            reservation_id, account=ALICE.agent_id, amount=PRICE, reference=reference
        )

    async def put(self, status: BountyStatus, **changes: Any) -> Bounty:
        """Store a bounty as it is, naming `ESCROW`."""
        bounty = msgspec.structs.replace(
            a_bounty(), status=status, reservation_id=ESCROW, **changes
        )
        return await self.store.create_bounty(bounty)

    async def posted(self, lasting: timedelta | None = None) -> None:
        bounty = a_bounty(EPOCH + lasting if lasting else None)
        await self.operations.create(bounty, idempotency_key="create")

    async def claimed(self, lasting: timedelta | None = None) -> None:
        await self.posted(lasting)
        await self.operations.claim(BOUNTY_ID, BOB, lease=HOUR, idempotency_key="claim")

    async def pending(self) -> None:
        await self.claimed()
        await self.decide()
        await self.store.begin_settlement(BOUNTY_ID, CID, idempotency_key=PIVOT)

    async def decide(self) -> None:
        """Write down in the ledger whom a settlement under way is to pay, as it does itself."""
        bounty = await self.store.get_bounty(BOUNTY_ID)
        assert bounty is not None
        await record_payee(self.operations.services, bounty, CID, PIVOT)

    async def escrow(self) -> str | None:
        bounty = document(self.world.mock)
        if bounty is None or "reservationId" not in bounty:
            return None
        found = await self.world.ledger.get_reservation(bounty["reservationId"])
        return found.status.value if found else None

    async def journal(self) -> list[Any]:
        return [each async for each in self.world.ledger.history()]


@dataclass(frozen=True)
class Stranded:
    """Something left behind.

    `sweep` finds it under `subject`; it ends in `status` with its escrow in `escrow`. `left` is
    in the reason if nobody but a person may end it. `aged` is how long it takes to be found.
    """

    name: str
    leave: Callable[[Hands], Awaitable[object]]
    sweep: str
    status: str | None
    escrow: str | None
    left: str = ""
    subject: str = BOUNTY_ID
    aged: timedelta = 2 * GRACE


async def _draft_with_credits(hands: Hands) -> None:
    await hands.put(BountyStatus.DRAFT)
    await hands.reserve()


async def _draft_too_late(hands: Hands) -> None:
    await hands.put(BountyStatus.DRAFT, deadline=EPOCH + MINUTE)
    await hands.reserve()


async def _draft_of_another_amount(hands: Hands) -> None:
    await hands.put(BountyStatus.DRAFT, amount=PRICE - 1)
    await hands.reserve()


async def _completed(hands: Hands) -> None:
    await hands.claimed()
    await hands.decide()
    await hands.store.complete_bounty(BOUNTY_ID, CID)


async def _completed_without_a_word(hands: Hands) -> None:
    await hands.claimed()
    await hands.store.complete_bounty(BOUNTY_ID, CID)


async def _completed_for_nothing(hands: Hands) -> None:
    """As the peer can: it does not say for which work."""
    await hands.put(BountyStatus.COMPLETED, claimed_by=BOB, claim_id="theirs")
    await hands.reserve()


async def _cancelled_and_held(hands: Hands) -> None:
    await hands.posted()
    await hands.store.cancel_bounty(BOUNTY_ID)


async def _expired_and_held(hands: Hands) -> None:
    await hands.posted(MINUTE)
    await hands.store.expire_bounty(BOUNTY_ID)


async def _settled_and_held(hands: Hands) -> None:
    await hands.pending()
    await hands.store.settle_bounty(BOUNTY_ID)


async def _settled_without_reward(hands: Hands) -> None:
    await hands.pending()
    bounty = await hands.store.get_bounty(BOUNTY_ID)
    assert bounty is not None
    await hands.world.ledger.capture(bounty.reservation_id or "", to_account=BOB.agent_id)
    await hands.store.settle_bounty(BOUNTY_ID)


async def _another_reservation(hands: Hands) -> None:
    await hands.posted()
    await hands.reserve("r-2")


async def _lease(hands: Hands, agent: AgentIdentity) -> None:
    await hands.claims.claim_or_renew(target_of(BOUNTY_ID), agent, claim_id="stray", lease=HOUR)


async def _lease_on_open(hands: Hands) -> None:
    await hands.posted()
    await _lease(hands, CAROL)


async def _lease_of_another(hands: Hands) -> None:
    await hands.claimed()
    bounty = await hands.store.get_bounty(BOUNTY_ID)
    assert bounty is not None
    await hands.claims.release(bounty.claim_id or "")
    await _lease(hands, CAROL)


async def _lease_on_settled(hands: Hands) -> None:
    await hands.posted()
    await hands.operations.claim(BOUNTY_ID, BOB, lease=HOUR)
    await hands.operations.settle(BOUNTY_ID, CID)
    await _lease(hands, BOB)


async def _lease_run_out(hands: Hands) -> None:
    await hands.posted()
    await hands.operations.claim(BOUNTY_ID, BOB, lease=MINUTE)


async def _lease_gone(hands: Hands) -> None:
    """As the peer deletes old claims, or a person."""
    await hands.claimed()
    claim = document(hands.world.mock)["claimId"]  # type: ignore[index]
    await hands.client.delete(ZONE.claim(claim))


async def _lease_and_lock_gone(hands: Hands) -> None:
    await _lease_gone(hands)
    await hands.client.write(ZONE.target_lock(target_of(BOUNTY_ID)), b"")


async def _stale_marker(hands: Hands) -> None:
    await hands.claimed()
    await hands.client.cleanup.flush()
    await hands.client.write(ZONE.marker(BountyStatus.DRAFT, BOUNTY_ID), b"", idempotent=True)


async def _missing_marker(hands: Hands) -> None:
    await hands.posted()
    await hands.client.flush()  # which would write it again
    await hands.client.delete(ZONE.marker(BountyStatus.OPEN, BOUNTY_ID))


STRANDED = (
    Stranded("draft with credits", _draft_with_credits, "stuck drafts", "open", "held"),
    Stranded(
        "draft without credits",
        lambda hands: hands.put(BountyStatus.DRAFT),
        "stuck drafts",
        "cancelled",
        None,
    ),
    Stranded("draft too late", _draft_too_late, "stuck drafts", "cancelled", "voided"),
    Stranded(
        "draft of another amount",
        _draft_of_another_amount,
        "stuck drafts",
        "draft",
        "held",
        left="person",
    ),
    Stranded("pending", Hands.pending, "pending settlements", "settled", "captured"),
    Stranded("completed", _completed, "completed, not settled", "settled", "captured"),
    Stranded(
        "completed by a document alone",
        _completed_without_a_word,
        "completed, not settled",
        "completed",
        "held",
        left="nobody on record",
    ),
    Stranded(
        "completed for nothing",
        _completed_for_nothing,
        "completed, not settled",
        "completed",
        "held",
        left="for nothing",
    ),
    Stranded(
        "open too long", lambda hands: hands.posted(MINUTE), "past deadlines", "expired", "voided"
    ),
    Stranded(
        "claimed too long",
        lambda hands: hands.claimed(MINUTE),
        "past deadlines",
        "expired",
        "voided",
    ),
    Stranded(
        "cancelled and held",
        _cancelled_and_held,
        "orphan reservations",
        "cancelled",
        "voided",
        subject="reservation",
    ),
    Stranded(
        "expired and held",
        _expired_and_held,
        "orphan reservations",
        "expired",
        "voided",
        subject="reservation",
    ),
    Stranded(
        "settled and held",
        _settled_and_held,
        "orphan reservations",
        "settled",
        "captured",
        subject="reservation",
    ),
    Stranded(
        "held for another zone",
        lambda hands: hands.reserve("elsewhere", "b-elsewhere"),
        "orphan reservations",
        None,
        None,
        left="another zone",
        subject="elsewhere",
    ),
    Stranded(
        "held twice",
        _another_reservation,
        "orphan reservations",
        "open",
        "held",
        left="person",
        subject="r-2",
    ),
    Stranded("unrewarded", _settled_without_reward, "missing rewards", "settled", "captured"),
    Stranded("lease on open", _lease_on_open, "orphan claims", "open", "held", subject="stray"),
    Stranded(
        "lease of another", _lease_of_another, "orphan claims", "open", "held", subject="stray"
    ),
    Stranded(
        "lease on settled",
        _lease_on_settled,
        "orphan claims",
        "settled",
        "captured",
        subject="stray",
    ),
    Stranded("abandoned", _lease_run_out, "abandoned bounties", "open", "held"),
    Stranded("lease gone", _lease_gone, "abandoned bounties", "open", "held"),
    Stranded(
        "lease gone and lock emptied", _lease_and_lock_gone, "abandoned bounties", "open", "held"
    ),
    Stranded("stale marker", _stale_marker, "index markers", "claimed", "held"),
    Stranded("missing marker", _missing_marker, "index markers", "open", "held"),
)


async def stranded(case: Stranded) -> World:
    """A world in which `case` has just been left behind."""
    world = await a_world()
    async with world.process(seed=7) as process:
        await case.leave(Hands.of(world, process))
    return world


async def grown_old(case: Stranded) -> World:
    """The same, long enough ago for a reconciler to see to it."""
    world = await stranded(case)
    await asyncio.sleep(case.aged.total_seconds())
    return world
