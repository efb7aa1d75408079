"""`nexus-bounty audit`: every reservation beside every bounty."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from nexus_bounty.cli.commands.reconcile import judged, told
from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.cli.inputs import duration
from nexus_bounty.cli.output import Reply, facts, lines, progress
from nexus_bounty.cli.session import Session
from nexus_bounty.ledger import Audit, LedgerCredits
from nexus_bounty.models import Wire
from nexus_bounty.reconcile import Reconciler, ReconcileReport
from nexus_bounty.reconcile.reconciler import MONEY_SWEEPS

PLACE = ("When something went wrong", 5)
EXAMPLES = ("audit",)


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


async def audit(
    session: Session,
    *,
    grace: Annotated[
        str,
        typer.Option(
            "--grace",
            metavar="TIME",
            help="Leave out what was touched less than this ago: it may still be under way.",
        ),
    ] = "5m",
) -> Reply:
    """Compare every reservation with every bounty, and recount the ledger; changes nothing.

    Exit codes: 0 everything fits; 9 something does not; 11 something may still be under way; 1 it
    could not look everywhere. What no rule can free, rescue does.
    """
    session.sends_many = True
    operations = session.operations()
    session.changes = False
    reconciler = Reconciler(
        operations, grace=duration("--grace", grace), dry_run=True, sweeps=MONEY_SWEEPS
    )
    with progress("Auditing") as step:
        report = await reconciler.run_once(lambda _finding: step())
    counted = await session.credits.verify() if isinstance(session.credits, LedgerCredits) else None
    found = MoneyAudit(ledger_id=await session.credits.identity(), ledger=counted, report=report)
    code = judged(report)
    if counted is not None and not counted.ok and code is ExitCode.OK:
        code = ExitCode.LEFT
    problems = facts(*(("The ledger", each) for each in (counted.problems if counted else ())))
    return Reply(found, lines(Text(f"Ledger {found.ledger_id}"), told(report), problems), code)
