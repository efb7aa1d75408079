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
from nexus_bounty.reconcile.audit import audit_money

PLACE = ("When something went wrong", 5)
EXAMPLES = ("audit",)


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
    with progress("Auditing") as step:
        found = await audit_money(operations, duration("--grace", grace), lambda _finding: step())
    report, counted = found.report, found.ledger
    code = judged(report)
    if counted is not None and not counted.ok and code is ExitCode.OK:
        code = ExitCode.LEFT
    problems = facts(*(("The ledger", each) for each in (counted.problems if counted else ())))
    return Reply(found, lines(Text(f"Ledger {found.ledger_id}"), told(report), problems), code)
