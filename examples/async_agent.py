"""An agent that posts a bounty, and another that claims it, delivers and is paid."""

import asyncio
from datetime import UTC, datetime, timedelta

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyOperations,
    BountyQuery,
    BountyStatus,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusContributionStore,
    Score,
    Work,
)
from nexus_bounty_sqlite import SqliteCredits

ALICE = AgentIdentity(agent_id="alice")
BOB = AgentIdentity(agent_id="bob")


async def post(operations: BountyOperations) -> None:
    """Alice offers 100 credits. The key makes this one bounty, however often it is run."""
    bounty = Bounty(
        title="Make the parser faster",
        creator=ALICE,
        amount=100,
        criteria=BountyCriteria(
            description="200 MB/s on the large corpus",
            metric_name="mbps",
            metric_threshold=200,
            metric_direction="maximize",
        ),
        deadline=datetime.now(UTC) + timedelta(days=7),
    )
    posted = await operations.create(
        bounty, relative_deadline=True, idempotency_key="async-agent-example"
    )
    print("alice posted", posted.bounty.title)


async def take_one(operations: BountyOperations, works: NexusContributionStore) -> None:
    """Bob claims the newest bounty of alice's that is open, delivers, and has it settled."""
    query = BountyQuery(status=BountyStatus.OPEN, creator_agent_id="alice", limit=1)
    for bounty in await operations.services.store.list_bounties(query):
        await operations.claim(bounty.bounty_id, BOB)
        print("bob claimed", bounty.title)
        speed = Score(value=240, direction="maximize", unit="MB/s")
        work = Work(agent=BOB, summary="Look-up tables", scores={"mbps": speed})
        await works.put(work)
        settled = await operations.settle(bounty.bounty_id, work.cid)
        print(settled.bounty.amount, "credits paid to", settled.credits_with)


async def main() -> None:
    """Both in one program, as a demonstration; they may be on two machines."""
    async with NexusClient() as client, SqliteCredits("ledger.db") as money:
        works = NexusContributionStore(client)
        operations = BountyOperations(
            NexusBountyStore(client),
            credits=money,
            claims=NexusClaimStore(client),
            contributions=works,
        )
        await money.top_up("async-agent-funds", account="alice", amount=1_000)
        await post(operations)
        await take_one(operations, works)


if __name__ == "__main__":
    asyncio.run(main())
