"""A worker: takes what is open, works on it while it renews its lease, and delivers.

It does not settle: the creator does, who looks at the work. Its keys follow from the bounty and the
worker's name, so that one that was killed and started again goes on with what it had begun.
"""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyOperations,
    BountyQuery,
    BountyStatus,
    CommitUnknownError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusContributionStore,
    NexusError,
    PreCommitError,
    Work,
    open_credits,
)

LEASE = timedelta(minutes=5)


@asynccontextmanager
async def renewed(
    operations: BountyOperations, bounty: Bounty, me: AgentIdentity
) -> AsyncIterator[None]:
    """The lease is renewed for as long as the block runs."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 3)
            await operations.renew(bounty.bounty_id, me, lease=LEASE)

    keeping = asyncio.create_task(renew())
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def work_on(bounty: Bounty, me: AgentIdentity) -> Work:
    """What this worker can do. The time is the claim's: a repeat makes the same work."""
    await asyncio.sleep(0.01)
    return Work(agent=me, summary=f"Done: {bounty.title}", created_at=bounty.created_at)


async def take(
    operations: BountyOperations,
    works: NexusContributionStore,
    bounty: Bounty,
    me: AgentIdentity,
) -> None:
    """Claim a bounty, work on it, deliver."""
    key = f"worker:{me.agent_id}:{bounty.bounty_id}"
    try:
        claimed = await operations.claim(bounty.bounty_id, me, lease=LEASE, idempotency_key=key)
    except PreCommitError as error:
        print("not taken:", error.message)  # somebody was faster
        return
    except CommitUnknownError:
        return  # perhaps it is ours: the next round asks again with the same key
    async with renewed(operations, claimed.bounty, me):
        work = await work_on(claimed.bounty, me)
        await works.put(work)
    print(f"delivered {work.cid[:14]}… for {bounty.bounty_id}")


async def rounds(me: AgentIdentity, pause: float, most: int | None, ledger: str) -> None:
    """Look for work, again and again."""
    async with NexusClient() as client:
        works = NexusContributionStore(client)
        operations = BountyOperations(
            NexusBountyStore(client),
            credits=open_credits(ledger),  # where the bounties' credits are held
            claims=NexusClaimStore(client),
            contributions=works,
        )
        while most is None or most > 0:
            query = BountyQuery(status=BountyStatus.OPEN, limit=10)
            try:
                for bounty in await operations.services.store.list_bounties(query):
                    await take(operations, works, bounty, me)
            except NexusError as error:
                print("nothing could be read, and nothing was changed:", error)
            most = None if most is None else most - 1
            await asyncio.sleep(pause)


def main() -> None:
    """Run until Ctrl-C, or for so many rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="worker-1")
    parser.add_argument("--pause", type=float, default=5.0)
    parser.add_argument("--rounds", type=int)
    ledger = os.environ.get("NEXUS_BOUNTY_CREDITS", "sqlite:///ledger.db")
    parser.add_argument("--credits", default=ledger, help="the ledger that holds the credits")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        me = AgentIdentity(agent_id=options.agent)
        asyncio.run(rounds(me, options.pause, options.rounds, options.credits))


if __name__ == "__main__":
    main()
