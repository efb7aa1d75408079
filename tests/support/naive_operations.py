"""Counter-examples: the operations as they are written when nobody expects answers to be lost.

Small models of what the peer has done at one time or another: every exception means "it failed",
markers are written after the document, and clean-up follows from that. They are here to be broken.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from nexus_bounty import AgentIdentity, Bounty, BountyStatus, NexusClient
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.ports import ClaimStore, CreditsService

ESCROW = "naive-escrow"
LEASE = "naive-lease"


class NaiveStore:
    """Bounties as plain documents; the status marker is written last."""

    def __init__(self, client: NexusClient) -> None:
        self._client = client
        self._zone = ZonePaths("default")

    async def create(self, bounty: Bounty) -> None:
        path = self._zone.bounty(bounty.bounty_id)
        await self._client.write(path, msgspec.json.encode(bounty), if_none_match=True)
        await self._client.write(self._zone.marker(bounty.status, bounty.bounty_id), b"")

    async def get(self, bounty_id: str) -> Bounty:
        file = await self._client.read(self._zone.bounty(bounty_id))
        assert file is not None
        return msgspec.json.decode(file.content, type=Bounty)

    async def move(self, bounty_id: str, status: BountyStatus, **changes: Any) -> Bounty:
        path = self._zone.bounty(bounty_id)
        file = await self._client.read(path)
        assert file is not None
        before = msgspec.json.decode(file.content, type=Bounty)
        after = msgspec.structs.replace(before, status=status, **changes)
        await self._client.write(path, msgspec.json.encode(after), if_match=file.etag)
        await self._client.delete(self._zone.marker(before.status, bounty_id))
        await self._client.write(self._zone.marker(after.status, bounty_id), b"")
        return after


class NaiveOperations:
    """Each operation as a plain sequence of calls."""

    def __init__(self, store: NaiveStore, money: CreditsService, claims: ClaimStore) -> None:
        self._store = store
        self._credits = money
        self._claims = claims

    async def create(self, bounty: Bounty) -> None:
        """Reserve, create; whatever goes wrong, the escrow goes back."""
        await self._credits.reserve(
            ESCROW, account=bounty.creator.agent_id, amount=bounty.amount, reference="b-1"
        )
        try:
            await self._store.create(msgspec.structs.replace(bounty, reservation_id=ESCROW))
        except Exception:
            await self._credits.void(ESCROW)
            raise

    async def claim(self, bounty_id: str, agent: AgentIdentity) -> None:
        """Take the lease, write the claimer down; whatever goes wrong, the lease goes back."""
        lease = await self._claims.claim_or_renew(
            f"bounty:{bounty_id}", agent, claim_id=LEASE, lease=timedelta(minutes=30)
        )
        try:
            await self._store.move(
                bounty_id, BountyStatus.CLAIMED, claimed_by=agent, claim_id=lease.claim_id
            )
        except Exception:
            await self._claims.release(lease.claim_id)
            raise

    async def settle_then_pay(self, bounty_id: str, cid: str) -> None:
        """Write that it is settled, then pay."""
        await self._store.move(bounty_id, BountyStatus.COMPLETED, fulfilled_by_cid=cid)
        settled = await self._store.move(bounty_id, BountyStatus.SETTLED)
        await self._pay(settled)

    async def pay_then_settle(self, bounty_id: str, cid: str) -> None:
        """Pay, then write that it is settled: the bounty can still be withdrawn in between."""
        await self._pay(await self._store.get(bounty_id))
        await self._store.move(bounty_id, BountyStatus.COMPLETED, fulfilled_by_cid=cid)
        await self._store.move(bounty_id, BountyStatus.SETTLED)

    async def cancel(self, bounty_id: str) -> None:
        """Give the credits back, then write that it is cancelled."""
        bounty = await self._store.get(bounty_id)
        await self._credits.void(bounty.reservation_id or "")
        await self._store.move(bounty_id, BountyStatus.CANCELLED)

    async def _pay(self, bounty: Bounty) -> None:
        assert bounty.claimed_by is not None
        await self._credits.capture(
            bounty.reservation_id or "", to_account=bounty.claimed_by.agent_id
        )
