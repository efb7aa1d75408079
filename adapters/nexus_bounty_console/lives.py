"""Everything that is known of one bounty, in a handful of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from nexus_bounty.idempotency import OperationRecord, derived_id
from nexus_bounty.ledger import LedgerCredits
from nexus_bounty.ledger.entries import JournalEntry
from nexus_bounty.models import Bounty, BountyStatus, Claim, RewardType, Wire, reward_id
from nexus_bounty.nexus.bounties.store import NexusBountyStore
from nexus_bounty.nexus.bounties.transitions import STATUS_AFTER
from nexus_bounty.operations.money import Money, find_money
from nexus_bounty.operations.services import Services
from nexus_bounty.operations.steps import operation_key, step_of
from nexus_bounty.ports import JournaledOperation
from nexus_bounty_console.requests_seen import SeenRequest

MOST_KEYS: Final = 40
"""Of how many operations, the newest ones, the journal and the leases are asked."""


class DocumentWrite(Wire, frozen=True, kw_only=True):
    """One write of the document, as its history has it.

    Attributes:
        seq: Its place in the history.
        at: When; aware.
        kind: What it did.
        meaning: What that means to people.
        key: The key of the step.
        operation_key: The key of the operation.
        outcome: `committed`; `fenced` if it only made sure that the operation never happens;
            `untrusted` if no key of the zone has signed it, and so proves nothing.
        status: The status that the document had after it; `None` of a fence.
    """

    seq: int
    at: datetime
    kind: str
    meaning: str
    key: str
    operation_key: str
    outcome: str = "committed"
    status: str | None = None


class BountyLife(Wire, frozen=True, kw_only=True):
    """One bounty: its document, its money, its leases, and what was done to it.

    Attributes:
        bounty_id: Which.
        bounty: As it stands; `None` if it never came to be.
        writes: The writes of its document, oldest first.
        money: Where its credits are.
        movements: How they got there, where the ledger tells.
        claims: The leases on it, the oldest first.
        operations: As the journal has them, the oldest first.
        requests: Those of operations of this console.
        reward_recorded: Whether its payment is on record, of a bounty that is paid.
    """

    bounty_id: str
    bounty: Bounty | None
    writes: Sequence[DocumentWrite] = ()
    money: Money | None = None
    movements: Sequence[JournalEntry] = ()
    claims: Sequence[Claim] = ()
    operations: Sequence[JournaledOperation] = ()
    requests: Sequence[SeenRequest] = ()
    reward_recorded: bool | None = None

    @property
    def doubts(self) -> list[JournaledOperation]:
        """The operations whose outcome is not known."""
        return [each for each in self.operations if each.is_open]

    @property
    def exists(self) -> bool:
        """Whether there is anything to show."""
        return self.bounty is not None or bool(self.writes)


async def read_life(
    services: Services,
    store: NexusBountyStore,
    bounty_id: str,
    requests: Sequence[SeenRequest] = (),
) -> BountyLife:
    """Read it all: the document, its history, its leases, its reward; then the ledger.

    Raises:
        InvalidInputError: There can be no bounty of that id; nothing was sent.
        NexusError: It could not be read.
        UnreadableDocumentError: What is stored is not a bounty.
        CommitUnknownError: The ledger could not be read.
    """
    untrusted: list[OperationRecord] = []
    bounty, history = await asyncio.gather(
        store.get_bounty(bounty_id), store.get_history(bounty_id, untrusted=untrusted)
    )
    keys = list(dict.fromkeys(operation_key(each.key) for each in history))[-MOST_KEYS:]
    claims, reward = await asyncio.gather(
        _claims(services, bounty, history, keys), _reward(services, bounty)
    )
    return BountyLife(
        bounty_id=bounty_id,
        bounty=bounty,
        writes=[
            *(_write(each, "untrusted") for each in untrusted),
            *(_write(each, "fenced" if each.aborted else "committed") for each in history),
        ],
        money=await find_money(services.credits, bounty) if bounty else None,
        movements=await _movements(services, bounty),
        claims=claims,
        operations=await _operations(services, bounty_id, keys),
        requests=requests,
        reward_recorded=reward,
    )


async def _claims(
    services: Services,
    bounty: Bounty | None,
    history: Sequence[OperationRecord],
    keys: Sequence[str],
) -> list[Claim]:
    """The leases that the document names, and those that its operations have taken."""
    named = [bounty.claim_id] if bounty and bounty.claim_id else []
    claiming = {operation_key(each.key) for each in history if each.kind == "claim"}
    taken = [derived_id("claim", key) for key in keys if key in claiming]
    found = await services.claims.get_many(list(dict.fromkeys([*named, *taken])))
    return sorted(found.values(), key=lambda each: each.created_at)


async def _reward(services: Services, bounty: Bounty | None) -> bool | None:
    if bounty is None or bounty.status is not BountyStatus.SETTLED or not bounty.fulfilled_by_cid:
        return None
    paid = reward_id(RewardType.BOUNTY_PAYOUT, bounty.bounty_id, bounty.fulfilled_by_cid)
    return await services.store.has_reward(paid)


async def _movements(services: Services, bounty: Bounty | None) -> list[JournalEntry]:
    credit = services.credits
    if bounty is None or bounty.reservation_id is None or not isinstance(credit, LedgerCredits):
        return []
    return [each async for each in credit.history(source_id=bounty.reservation_id)]


async def _operations(
    services: Services, bounty_id: str, keys: Sequence[str]
) -> list[JournaledOperation]:
    """What the journal has of these keys, and what it has in doubt of this bounty."""
    journal, zone = services.journal, services.store.zone_id
    asked = [await journal.find_operation(zone, key) for key in keys]
    known = {each.key: each for each in asked if each is not None}
    async for each in journal.open_operations(zone):
        if each.bounty_id == bounty_id:
            known[each.key] = each
    return sorted(known.values(), key=lambda each: each.began_at)


def _write(record: OperationRecord, outcome: str) -> DocumentWrite:
    step, committed = step_of(record.key), outcome == "committed"
    status = BountyStatus.DRAFT if step and step.name == "draft" else None
    status = status or STATUS_AFTER.get(record.kind)
    return DocumentWrite(
        seq=record.seq,
        at=record.at,
        kind=record.kind,
        meaning=step.meaning if step and committed else record.kind.replace("_", " "),
        key=record.key,
        operation_key=operation_key(record.key),
        outcome=outcome,
        status=status.value if status and committed else None,
    )
