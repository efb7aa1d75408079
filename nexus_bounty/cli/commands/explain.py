"""`nexus-bounty explain`: what became of an operation, and how that is known."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import RenderableType
from rich.text import Text

from nexus_bounty.cli.exits import UsageProblem
from nexus_bounty.cli.output import Reply, facts, lines, progress, safe
from nexus_bounty.cli.renderables import Column, Listing
from nexus_bounty.cli.session import Session
from nexus_bounty.idempotency import derived_id
from nexus_bounty.operations.explaining import Clues, clues_to, explanation_of, made_definite
from nexus_bounty.operations.steps import OperationKind, operation_key, traces
from nexus_bounty.operations.verdicts import (
    Explanation,
    StepFound,
    operation_of,
)
from nexus_bounty.outcomes import Outcome
from nexus_bounty.validation import check_key

PLACE = ("When something went wrong", 3)
EXAMPLES = (
    "explain KEY",
    "explain KEY --bounty BOUNTY --resolve --operation claim",
)

_STYLES = {
    Outcome.COMMITTED: ("●", "green", "happened"),
    Outcome.PRE_COMMIT: ("✗", "yellow", "never happened, and never will"),
    Outcome.UNKNOWN: ("?", "red", "not known"),
}


async def explain(
    session: Session,
    *,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The idempotency key, of an operation or a step.")
    ],
    bounty_id: Annotated[
        str | None,
        typer.Option("--bounty", metavar="ID", help="The bounty; looked for if not given."),
    ] = None,
    resolve: Annotated[
        bool,
        typer.Option(
            "--resolve",
            help="Make it definite: what has not happened by now is fenced off, and never will.",
        ),
    ] = False,
    operation: Annotated[
        OperationKind | None,
        typer.Option("--operation", help="With --resolve: what the key was used for."),
    ] = None,
) -> Reply:
    """Say what became of an operation and how that is known; only --resolve changes anything."""
    key = operation_key(key)
    check_key(key)
    services = session.operations().services
    session.changes = False
    clues = await clues_to(services, key)
    where = bounty_id or await _find(session, key, clues)
    operation = operation or clues.operation
    if resolve:
        session.changes = True
        operation = operation or await _guess(session, key, where)
        if operation is OperationKind.CREATE:
            where = where or derived_id("bounty", key)
        if where is None or operation is None:
            raise UsageProblem(
                "no trace of this key was found: say with --bounty and --operation what it was "
                "used for, so that it can be fenced off"
            )
        explanation = await made_definite(services, clues, key, where, operation, by="explain")
    else:
        explanation = await explanation_of(services, key, where, operation, clues)
    return Reply(explanation, _told(explanation))


async def _find(session: Session, key: str, clues: Clues) -> str | None:
    """The bounty that the key was used on: by what is known, by its id, or by looking."""
    if clues.bounty_id is not None:
        return clues.bounty_id
    derived = derived_id("bounty", key)
    if await session.store.get_history(derived):
        return derived
    with progress("Looking through the histories") as step:
        async for bounty in session.store.walk_bounties():
            step()
            if traces(key, await session.store.get_history(bounty.bounty_id)):
                return bounty.bounty_id
    return None


async def _guess(session: Session, key: str, where: str | None) -> OperationKind | None:
    return operation_of(traces(key, await session.store.get_history(where))) if where else None


def _told(explanation: Explanation) -> RenderableType:
    sign, style, word = _STYLES[explanation.outcome]
    heading = Text.assemble(
        (f"{sign} ", style),
        safe(f"{explanation.operation or 'operation'} {explanation.key}: ", "bold"),
        (word, f"bold {style}"),
    )
    claim, reservation = explanation.claim, explanation.reservation
    rows = facts(
        ("How known", explanation.summary),
        ("Bounty", _bounty(explanation)),
        ("Lease", f"{claim.claim_id}, {claim.status.value}" if claim else None),
        (
            "Escrow",
            f"{reservation.amount}, {reservation.status.value}" if reservation else None,
        ),
    )
    return lines(heading, rows, _steps(explanation) if explanation.steps else None)


def _bounty(explanation: Explanation) -> str:
    if explanation.bounty_id is None:
        return "none was found"
    return f"{explanation.bounty_id}, {explanation.bounty_status or 'which never came to be'}"


_COLUMNS: Final = (
    Column(""),
    Column("Step"),
    Column("What it does", prose=True),
    Column("When (UTC)"),
    Column("How known", prose=True),
)


def _steps(explanation: Explanation) -> Listing:
    return Listing(_COLUMNS, [_row(each) for each in explanation.steps])


def _row(step: StepFound) -> list[Text]:
    sign, style, _ = _STYLES[step.outcome]
    return [
        Text(sign, style),
        safe(step.step),
        safe(step.meaning),
        Text(f"{step.at:%Y-%m-%d %H:%M:%S}" if step.at else ""),
        safe(step.how),
    ]
