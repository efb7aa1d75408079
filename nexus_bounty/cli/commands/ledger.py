"""`nexus-bounty ledger copy`: move a ledger to another place."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import msgspec
import typer
from rich.console import RenderableType
from rich.text import Text

from nexus_bounty.cli.exits import ExitCode, UsageProblem
from nexus_bounty.cli.options import OutputOptions
from nexus_bounty.cli.output import Reply, facts, lines, progress, safe
from nexus_bounty.cli.session import Session

if TYPE_CHECKING:
    from nexus_bounty.leases import ClaimsCopy, CopyableClaims
    from nexus_bounty.ledger.copying import CopiedLedger, LedgerCopy

PLACE = ("Money", 3)
EXAMPLES = ("ledger copy --from sqlite:///ledger.db --to postgresql://user@host/bounties",)
OPTIONS = OutputOptions


class LedgerAction(StrEnum):
    """What is to be done with a whole ledger."""

    COPY = "copy"


async def ledger(
    session: Session,
    *,
    action: Annotated[  # noqa: ARG001 - there is one, which has to be said
        LedgerAction, typer.Argument(metavar="copy", help="What is to be done.")
    ],
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="URL", help="The ledger that is copied.", show_default=False
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--to", metavar="URL", help="Where to: empty, or a copy of it.", show_default=False
        ),
    ],
) -> Reply:
    """Copy a ledger, its journal of operations and its claims elsewhere, and compare the two.

    It may be repeated: what is there already is passed over. The copy is the same ledger to all
    bounties, so stop whatever uses the old place before the last copy, and never start it again.
    A copy that has been used is not written to any more.

    Exit codes: 0 both are the same; 9 they are not.
    """
    from nexus_bounty.leases import copy_claims
    from nexus_bounty.ledger.copying import copy_ledger

    session.changes = True
    opened = [session.opened(url) for url in (source, target)]
    for each, url in zip(opened, (source, target), strict=True):
        if not hasattr(each, "take_over_operations"):
            scheme = url.partition(":")[0]
            raise UsageProblem(f"a ledger of the kind {scheme}: can be neither copied nor a copy")
    old, new = (cast("CopiedLedger", each) for each in opened)
    leases = [cast("CopyableClaims", session.opened_claims(url)) for url in (source, target)]
    with progress("Copying") as step:
        copied = await copy_ledger(old, new, step)
        claims = None if copied.went_on else await copy_claims(leases[0], leases[1], step)
    same = claims is not None and copied.ok and not claims.problems
    told = {**msgspec.to_builtins(copied), "claims": msgspec.to_builtins(claims)}
    return Reply(told, _told(copied, claims), ExitCode.OK if same else ExitCode.LEFT)


def _told(copied: LedgerCopy, claims: ClaimsCopy | None) -> RenderableType:
    problems = [*copied.problems, *(claims.problems if claims else ())]
    if not problems:
        said = Text.assemble(("✓ ", "bold green"), "Both places have the same ledger.")
    elif copied.went_on:
        said = Text(
            "The copy has gone on by itself. If it is in use, go on with it, and copy there no "
            "more; if not, copy to a new database."
        )
    else:
        said = Text("The two are not the same: stop what writes to the old one, and copy again.")
    return lines(
        said,
        facts(
            ("Ledger", copied.identity),
            ("Entries", f"{copied.entries}, {copied.copied} of them new"),
            ("Operations", f"{copied.operations} new or changed"),
            (
                "Claims",
                f"{claims.claims}, {claims.copied} of them new or changed" if claims else None,
            ),
            *(("Problem", safe(each)) for each in problems),
        ),
    )
