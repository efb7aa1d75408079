"""Every reservation beside every bounty, and the ledger beside its own journal."""

from __future__ import annotations

from datetime import timedelta

from nexus_bounty.ledger import Audit, LedgerCredits
from nexus_bounty.models import Wire
from nexus_bounty.operations import BountyOperations
from nexus_bounty.reconcile.counter import Progress
from nexus_bounty.reconcile.ends import ContradictedEnds
from nexus_bounty.reconcile.reconciler import MONEY_SWEEPS, Reconciler
from nexus_bounty.reconcile.report import ReconcileReport


class MoneyAudit(Wire, frozen=True, kw_only=True):
    """The ledger against itself, and against the bounties.

    Attributes:
        ledger_id: Which ledger it is.
        ledger: A recount of its whole journal; `None` where it cannot recount itself.
        report: What reservations and bounties say of each other.
    """

    ledger_id: str
    ledger: Audit | None
    report: ReconcileReport


async def audit_money(
    operations: BountyOperations, grace: timedelta, progress: Progress | None = None
) -> MoneyAudit:
    """Compare every reservation with every bounty, and recount the ledger; changes nothing.

    What was touched less than `grace` ago is left out; `progress` is told of each finding.

    Raises:
        CommitUnknownError: The ledger could not be read.
    """
    sweeps = *MONEY_SWEEPS, ContradictedEnds()
    reconciler = Reconciler(operations, grace=grace, dry_run=True, sweeps=sweeps)
    report = await reconciler.run_once(progress)
    credit = operations.services.credits
    counted = await credit.verify() if isinstance(credit, LedgerCredits) else None
    return MoneyAudit(ledger_id=await credit.identity(), ledger=counted, report=report)
