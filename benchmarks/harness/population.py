"""A zone as it is after years of use: most bounties have ended, some are open, some are stuck.

Of every hundred bounties 70 are settled and rewarded, 10 cancelled, 10 expired, 9 open and one is
claimed with a lease; their credits are where they belong. Besides, as many are stuck as wanted, in
each way in which a process can die. The same numbers give the same zone, in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from nexus_bounty import AgentIdentity, Bounty, BountyCriteria, BountyStatus
from nexus_bounty.lifecycle import TERMINAL
from nexus_bounty.mock import MockNexus
from nexus_bounty.models import Claim, RewardRecord, RewardType, reward_id
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.operations.services import target_of
from nexus_bounty.ports import Assignment, CreditsService

PAST = datetime(2026, 1, 1, tzinfo=UTC)
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
CREATOR, WORKER = AgentIdentity(agent_id="creator"), AgentIdentity(agent_id="worker")
CID = "cid-1"

_S = BountyStatus


@dataclass(frozen=True, slots=True)
class Record:
    """One bounty with what belongs to it.

    `marked` are the statuses that it has markers of. `escrow` says where its credits are: "held",
    "captured", "voided", or `None` if there are none.
    """

    bounty: Bounty
    marked: tuple[BountyStatus, ...]
    escrow: str | None
    rewarded: bool = False
    leased: bool = False


def _bounty(bounty_id: str, status: BountyStatus, deadline: datetime = FUTURE) -> Bounty:
    claimed = status in (_S.CLAIMED, _S.PENDING_SETTLEMENT, _S.COMPLETED, _S.SETTLED)
    return Bounty(
        bounty_id=bounty_id,
        title="Make the parser faster",
        description="Twice as fast on the large corpus, with the same output. " * 3,
        creator=CREATOR,
        amount=1,
        criteria=BountyCriteria(description="the benchmark shows it"),
        deadline=deadline,
        status=status,
        reservation_id=f"escrow-{bounty_id}",
        claimed_by=WORKER if claimed else None,
        claim_id=f"claim-{bounty_id}" if claimed else None,
        fulfilled_by_cid=CID if claimed and status is not _S.CLAIMED else None,
        created_at=PAST,
        updated_at=PAST,
    )


def _at_rest(bounty_id: str, place: int) -> Record:
    """One that is where it should be; `place` is its number among a hundred."""
    if place < 70:
        return Record(_bounty(bounty_id, _S.SETTLED), (_S.SETTLED,), "captured", rewarded=True)
    if place < 80:
        return Record(_bounty(bounty_id, _S.CANCELLED), (_S.CANCELLED,), "voided")
    if place < 90:
        return Record(_bounty(bounty_id, _S.EXPIRED, PAST), (_S.EXPIRED,), "voided")
    if place < 99:
        return Record(_bounty(bounty_id, _S.OPEN), (_S.OPEN,), "held")
    return Record(_bounty(bounty_id, _S.CLAIMED), (_S.CLAIMED,), "held", leased=True)


_STUCK: tuple[Callable[[str], Record], ...] = (
    lambda name: Record(_bounty(name, _S.DRAFT), (_S.DRAFT, _S.OPEN), "held"),
    lambda name: Record(_bounty(name, _S.DRAFT), (_S.DRAFT, _S.OPEN), None),
    lambda name: Record(
        _bounty(name, _S.PENDING_SETTLEMENT), (_S.PENDING_SETTLEMENT, _S.SETTLED), "held"
    ),
    lambda name: Record(_bounty(name, _S.COMPLETED), (_S.COMPLETED,), "held"),
    lambda name: Record(_bounty(name, _S.OPEN, PAST), (_S.OPEN,), "held"),
    lambda name: Record(_bounty(name, _S.CANCELLED), (_S.CANCELLED,), "held"),
    lambda name: Record(_bounty(name, _S.EXPIRED, PAST), (_S.EXPIRED,), "held"),
    lambda name: Record(_bounty(name, _S.SETTLED), (_S.SETTLED,), "captured"),
    lambda name: Record(_bounty(name, _S.OPEN), (_S.OPEN,), "held", leased=True),
)
"""What a process leaves that dies in the middle of an operation; each is one finding."""


def at_rest(bounties: int) -> Iterator[Record]:
    """So many bounties in a mixture that is the same in every hundred."""
    for number in range(bounties):
        yield _at_rest(f"bounty-{number:06}", number * 37 % 100)


def stuck(bounties: int, first: int = 0) -> Iterator[Record]:
    """So many bounties that are not at their right end, each in one way; `first` names them."""
    for number in range(first, first + bounties):
        yield _STUCK[number % len(_STUCK)](f"stuck-{number:06}")


def put(mock: MockNexus, zone: str, record: Record, *, by_date: bool = False) -> None:
    """Put a bounty into a zone with what belongs to it, past the wire.

    With `by_date` as it is in a zone that is laid out so.
    """
    paths, bounty = ZonePaths(zone), record.bounty
    write = mock.core.table.write
    write(paths.bounty(bounty.bounty_id), msgspec.json.encode(bounty))
    for status in record.marked:
        ended_at = bounty.updated_at if by_date and status in TERMINAL else None
        write(paths.marker(status, bounty.bounty_id, ended_at=ended_at), b"")
    if record.rewarded:
        reward = _reward(bounty)
        write(paths.reward(reward.reward_id), msgspec.json.encode(reward))
    if record.leased:
        claim = _lease(bounty)
        write(paths.claim(claim.claim_id), msgspec.json.encode(claim))
        write(paths.active_claim(claim.target_ref, claim.claim_id), b"")
        write(paths.target_lock(claim.target_ref), claim.claim_id.encode())


def _reward(bounty: Bounty) -> RewardRecord:
    return RewardRecord(
        reward_id=reward_id(RewardType.BOUNTY_PAYOUT, bounty.bounty_id, CID),
        reward_type=RewardType.BOUNTY_PAYOUT,
        recipient=WORKER,
        amount=bounty.amount,
        contribution_cid=CID,
        bounty_id=bounty.bounty_id,
        transfer_id=bounty.reservation_id,
        created_at=PAST,
    )


def _lease(bounty: Bounty) -> Claim:
    return Claim(
        claim_id=f"claim-{bounty.bounty_id}",
        target_ref=target_of(bounty.bounty_id),
        agent=WORKER,
        intent_summary="",
        heartbeat_at=PAST,
        lease_expires_at=FUTURE,
        created_at=PAST,
    )


async def escrow(credits: CreditsService, record: Record) -> None:  # noqa: A002 - the word for it
    """Do with the credits of a bounty what has been done with them."""
    bounty = record.bounty
    reservation_id = bounty.reservation_id
    if record.escrow is None or reservation_id is None:
        return
    await credits.reserve(
        reservation_id, account=CREATOR.agent_id, amount=1, reference=bounty.bounty_id
    )
    if bounty.fulfilled_by_cid is not None:
        settlement = Assignment(payee=WORKER.agent_id, work=CID, key=f"pivot-{reservation_id}")
        await credits.assign(reservation_id, settlement, shared_work=True)
    if record.escrow == "captured":
        await credits.capture(reservation_id, to_account=WORKER.agent_id)
    if record.escrow == "voided":
        await credits.void(reservation_id)
