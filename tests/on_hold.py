"""The life of a bounty in a status that was added to models and table alone; run by a test."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from nexus_bounty import (
    BountyOperations,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusContributionStore,
    Reconciler,
)
from nexus_bounty.cli.results import status_text
from nexus_bounty.memory.credits import MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.ports import reference_of
from nexus_bounty.testing.builders import make_bounty_in
from nexus_bounty_console.picture import colour_class
from nexus_bounty_console.render import MAY_EXPIRE

NOW = datetime.now(UTC)
ON_HOLD = BountyStatus("on_hold")


async def main() -> None:
    async with NexusClient("http://nexus", transport=MockNexus("0.10").transport()) as client:
        store = NexusBountyStore(client)
        waiting = make_bounty_in(ON_HOLD, deadline=NOW + timedelta(hours=1))
        await store.create_bounty(waiting)
        listed = await store.list_bounties(BountyQuery(status=ON_HOLD))
        assert [each.bounty_id for each in listed] == [waiting.bounty_id]
        assert str(status_text(ON_HOLD).style) == "magenta"
        assert colour_class(ON_HOLD) == "colour-magenta"
        assert ON_HOLD in MAY_EXPIRE, "the console never shows that it is late"
        assert all(each.healthy for each in await store.list_index_statuses())
        ledger = MemoryCredits()
        await ledger.top_up("funds", account=waiting.creator.agent_id, amount=waiting.amount)
        await ledger.reserve(
            waiting.reservation_id or "",
            account=waiting.creator.agent_id,
            amount=waiting.amount,
            reference=reference_of(store.zone_id, waiting.bounty_id),
        )
        operations = BountyOperations(
            store,
            credits=ledger,
            claims=NexusClaimStore(client),
            contributions=NexusContributionStore(client),
            clock=lambda: NOW + timedelta(hours=2),
        )
        report = await Reconciler(operations).run_once()
        ended = await store.get_bounty(waiting.bounty_id)
        assert report.repaired == 1, report
        assert ended, "it is gone"
        assert ended.status is BountyStatus.EXPIRED


asyncio.run(main())
