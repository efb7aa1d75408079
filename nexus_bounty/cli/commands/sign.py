"""`nexus-bounty sign`: an operator vouches for documents that no key has signed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Annotated, Final

import typer
from rich.console import RenderableType
from rich.text import Text

from nexus_bounty.cli.exits import ExitCode, UsageProblem
from nexus_bounty.cli.output import Reply, lines, progress, safe
from nexus_bounty.cli.renderables import Column, Listing
from nexus_bounty.cli.session import Session
from nexus_bounty.models import Bounty, Wire
from nexus_bounty.operations.paying import payout_of
from nexus_bounty.operations.services import Services
from nexus_bounty.operations.vouching import contradiction
from nexus_bounty.outcomes import PreCommitError
from nexus_bounty.statuses import STATUSES, Credits

PLACE = ("When something went wrong", 8)
EXAMPLES = (
    "sign BOUNTY",
    "sign --all --dry-run",
)


class Signed(Wire, frozen=True, kw_only=True):
    """One document that no key had signed: `left` says why it still is not, if it is not."""

    bounty_id: str
    status: str
    untrusted: str
    left: str | None = None


class Signatures(Wire, frozen=True, kw_only=True):
    """What was signed, and what was left."""

    documents: Sequence[Signed]
    dry_run: bool


async def sign(
    session: Session,
    *,
    bounty_id: Annotated[
        str | None, typer.Argument(metavar="[BOUNTY]", help="Its id.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every bounty of the zone that is not signed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be signed.")
    ] = False,
) -> Reply:
    """Sign bounties as they stand, after you have looked at them: from then on money moves by them.

    For a zone that was not signed so far, or after another program has moved a bounty on. What the
    ledger contradicts is left. Needs NEXUS_SIGNING_KEYS. A repeat does nothing more.

    Exit codes: 0 all of it is signed; 9 something is left.
    """
    if everything == (bounty_id is not None):
        raise UsageProblem("name a bounty, or say --all")
    if not session.client.settings.signing_keys:
        raise UsageProblem("there is no key to sign with: set NEXUS_SIGNING_KEYS")
    session.sends_many = everything
    services = session.operations().services
    session.changes = not dry_run
    documents: list[Signed] = []
    with progress("Signing") as step:
        async for bounty in _asked_for(session, bounty_id):
            step()
            documents += await _signed(session, services, bounty, dry_run=dry_run)
    reply = Signatures(documents=documents, dry_run=dry_run)
    left = any(each.left for each in documents) or (dry_run and documents)
    return Reply(reply, _told(reply), ExitCode.LEFT if left else ExitCode.OK)


async def _asked_for(session: Session, bounty_id: str | None) -> AsyncIterator[Bounty]:
    if bounty_id is None:
        async for bounty in session.store.walk_bounties():
            yield bounty
        return
    yield await session.standing(bounty_id)


async def _signed(
    session: Session, services: Services, bounty: Bounty, *, dry_run: bool
) -> list[Signed]:
    """What became of a bounty that is not signed; nothing of one that is."""
    if bounty.untrusted is None:
        return []
    found = Signed(
        bounty_id=bounty.bounty_id,
        status=bounty.status.value,
        untrusted=bounty.untrusted,
        left=await contradiction(services, bounty),
    )
    if found.left is None and not dry_run:
        await _sign_reward(session, bounty)
        await session.store.sign_bounty(bounty.bounty_id, as_seen=bounty)
    return [found]


async def _sign_reward(session: Session, bounty: Bounty) -> None:
    """Sign the record of what a settled bounty has paid, before the bounty; if there is one.

    One that is missing the reconciler writes.
    """
    paid = STATUSES[bounty.status].credits is Credits.CLAIMER
    reward = payout_of(bounty) if paid else None
    if reward is not None:
        with suppress(PreCommitError):
            await session.store.sign_reward(reward)


_COLUMNS: Final = (
    Column("Bounty", whole=True),
    Column("Status"),
    Column("Was", prose=True),
    Column("Now", prose=True),
)


def _told(reply: Signatures) -> RenderableType:
    if not reply.documents:
        return Text("All of it is signed.")
    done = "would be signed" if reply.dry_run else "signed"
    rows = [
        (safe(each.bounty_id), safe(each.status), safe(each.untrusted), safe(_now(each, done)))
        for each in reply.documents
    ]
    return lines(Listing(_COLUMNS, rows))


def _now(document: Signed, done: str) -> str:
    return f"left: {document.left}" if document.left else done
