"""The life of a bounty without async: post, claim, deliver, settle; then the reconciler."""

from datetime import UTC, datetime, timedelta

from nexus_bounty import AgentIdentity, Bounty, BountyCriteria, InsufficientCreditsError, Work
from nexus_bounty.sync import (
    SyncBountyOperations,
    SyncCreditsService,
    SyncNexusBountyStore,
    SyncNexusClaimStore,
    SyncNexusClient,
    SyncNexusContributionStore,
    SyncReconciler,
)
from nexus_bounty_sqlite import SqliteCredits

ALICE = AgentIdentity(agent_id="alice")
BOB = AgentIdentity(agent_id="bob")


def offer(amount: int) -> Bounty:
    """What alice wants done within a week."""
    return Bounty(
        title="Sort it",
        creator=ALICE,
        amount=amount,
        criteria=BountyCriteria(description="sorted"),
        deadline=datetime.now(UTC) + timedelta(days=7),
    )


def main() -> None:
    """A bounty that nobody can pay, and one that is paid."""
    with SyncNexusClient() as client:
        works = SyncNexusContributionStore(client)
        money = SyncCreditsService(SqliteCredits("ledger.db"), client)
        operations = SyncBountyOperations(
            SyncNexusBountyStore(client),
            credits=money,
            claims=SyncNexusClaimStore(client),
            contributions=works,
        )
        try:
            operations.create(offer(amount=1_000_000))
        except InsufficientCreditsError as error:
            print(f"not posted, and never will be: alice has {error.available}")

        money.top_up("sync-agent-funds", account="alice", amount=25)
        bounty = operations.create(offer(amount=25)).bounty
        operations.claim(bounty.bounty_id, BOB)
        work = Work(agent=BOB, summary="Sorted, and stable")
        works.put(work)
        settled = operations.settle(bounty.bounty_id, work.cid)
        print(settled.bounty.amount, "credits paid to", settled.credits_with)
        print(SyncReconciler(operations).run_once().found, "problems left behind")


if __name__ == "__main__":
    main()
