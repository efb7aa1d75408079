"""`nexus-bounty doubts`: the operations whose outcome nobody knows yet."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from nexus_bounty.cli.output import Reply, lines, safe
from nexus_bounty.cli.renderables import Column, Listing
from nexus_bounty.cli.session import Session
from nexus_bounty.models import Wire, utc_now
from nexus_bounty.ports import JournaledOperation, OperationJournal

PLACE = ("When something went wrong", 4)
EXAMPLES = ("doubts",)

_COLUMNS = (
    Column("Key"),
    Column("What"),
    Column("Bounty"),
    Column("For"),
    Column("Why", prose=True),
)


class InDoubt(Wire, frozen=True, kw_only=True):
    """The operations in doubt, the oldest first; `persistent` if other processes' are among them.

    Attributes:
        operations: As the journal has them.
        persistent: Whether the ledger keeps a journal; otherwise nothing is known of others.
    """

    operations: Sequence[JournaledOperation]
    persistent: bool


async def doubts(session: Session) -> Reply:
    """List the operations in doubt, for how long they are, and why; explain resolves one."""
    services = session.operations().services
    session.changes = False
    found = [each async for each in services.journal.open_operations(services.store.zone_id)]
    persistent = isinstance(services.credits, OperationJournal)
    return Reply(InDoubt(operations=found, persistent=persistent), _told(found, persistent))


def _told(found: Sequence[JournaledOperation], persistent: bool) -> RenderableType:
    told = None if persistent else Text("This ledger keeps no journal: others' are not known.")
    if not found:
        return lines(Text("Nothing is in doubt."), told)
    now = utc_now()
    rows = [
        (
            safe(each.key),
            safe(each.kind),
            safe(each.bounty_id),
            Text(_lasting((now - each.began_at).total_seconds())),
            safe(each.reason or "its process has not said how it ended"),
        )
        for each in found
    ]
    following = Text("Next: nexus-bounty explain KEY --resolve, or repeat it with its key.")
    return lines(Listing(_COLUMNS, rows), told, following)


def _lasting(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(max(seconds, 0))}s"
