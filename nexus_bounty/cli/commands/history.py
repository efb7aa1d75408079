"""`nexus-bounty history`: the life of a bounty, and where its money is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from nexus_bounty.cli.inputs import BountyId
from nexus_bounty.cli.output import Reply, lines, safe
from nexus_bounty.cli.renderables import Column, Listing
from nexus_bounty.cli.results import balances, status_text
from nexus_bounty.cli.session import Session
from nexus_bounty.idempotency import OperationRecord
from nexus_bounty.models import Bounty, Wire
from nexus_bounty.operations.money import Money, find_money
from nexus_bounty.operations.steps import operation_key, step_of
from nexus_bounty.outcomes import BountyNotFoundError, Evidence, Proof

PLACE = ("When something went wrong", 2)
EXAMPLES = ("history BOUNTY",)


class HistoryEntry(Wire, frozen=True, kw_only=True):
    """One operation of a bounty's history.

    It is `committed`, or `fenced` off and so never to be, or `untrusted`: signed with no key.
    """

    seq: int
    at: datetime
    kind: str
    key: str
    operation_key: str
    outcome: str


class Life(Wire, frozen=True, kw_only=True):
    """A bounty, all that it remembers, and its money; `bounty` is `None` if it never came to be."""

    bounty_id: str
    bounty: Bounty | None
    operations: Sequence[HistoryEntry]
    money: Money | None = None


async def history(session: Session, *, bounty_id: BountyId) -> Reply:
    """Draw the life of a bounty: every operation, its outcome, and where the money is."""
    bounty = await session.store.get_bounty(bounty_id)
    untrusted: list[OperationRecord] = []
    records = await session.store.get_history(bounty_id, untrusted=untrusted)
    if bounty is None and not records and not untrusted:
        raise BountyNotFoundError(
            f"there is no bounty {bounty_id!r}, and no trace of one",
            bounty_id=bounty_id,
            evidence=Evidence(proof=Proof.DOCUMENT),
        )
    life = Life(
        bounty_id=bounty_id,
        bounty=bounty,
        operations=[
            *(_entry(record, "untrusted") for record in untrusted),
            *(_entry(record, "fenced" if record.aborted else "committed") for record in records),
        ],
        money=await find_money(session.credits, bounty) if bounty else None,
    )
    return Reply(life, _drawn(life))


def _entry(record: OperationRecord, outcome: str) -> HistoryEntry:
    return HistoryEntry(
        seq=record.seq,
        at=record.at,
        kind=record.kind,
        key=record.key,
        operation_key=operation_key(record.key),
        outcome=outcome,
    )


def _drawn(life: Life) -> RenderableType:
    untrusted = life.bounty.untrusted if life.bounty else None
    return lines(
        _heading(life),
        safe(f"Not to be trusted: {untrusted}", "bold red") if untrusted else None,
        _operations(life.operations),
        Text.assemble(("Money  ", "dim"), safe(life.money.where)) if life.money else None,
        balances(list(life.money.balances)) if life.money else None,
    )


def _heading(life: Life) -> Text:
    bounty = life.bounty
    if bounty is None:
        return safe(f"{life.bounty_id}: never came to be; its creation was fenced off.", "bold")
    about = safe(f"{bounty.bounty_id}  {bounty.title}  ", "bold")
    return Text.assemble(about, status_text(bounty.status), f", {bounty.amount} credits")


_COLUMNS: Final = (
    Column(""),
    Column("When (UTC)"),
    Column("What", prose=True),
    Column("Outcome"),
    Column("Key", whole=True),
)


_OUTCOMES: Final = {
    "committed": ("●", "committed", "green"),
    "fenced": ("✗", "fenced: never happened", "yellow"),
    "untrusted": ("?", "not signed: proves nothing", "red"),
}
"""A sign, words and a colour for each outcome of an entry."""


def _operations(entries: Sequence[HistoryEntry]) -> Listing:
    return Listing(_COLUMNS, [_row(each) for each in entries])


def _row(entry: HistoryEntry) -> list[Text]:
    sign, told, style = _OUTCOMES[entry.outcome]
    step = step_of(entry.key) if entry.outcome == "committed" else None
    return [
        Text(sign, style),
        Text(f"{entry.at:%Y-%m-%d %H:%M:%S}"),
        safe(step.meaning if step else entry.kind),
        Text(told, style),
        safe(entry.key, "dim"),
    ]
