"""`nexus-bounty top-up`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from nexus_bounty.cli.inputs import Account, Key
from nexus_bounty.cli.options import LedgerOptions
from nexus_bounty.cli.output import Reply, facts, lines, safe
from nexus_bounty.cli.results import balances
from nexus_bounty.cli.session import Session

PLACE = ("Money", 2)
EXAMPLES = (
    "top-up alice 1000",
    "top-up alice 1000 --key payroll-2030-01",
)
OPTIONS = LedgerOptions


async def top_up(
    session: Session,
    *,
    account: Account,
    amount: Annotated[
        int, typer.Argument(metavar="AMOUNT", help="An integer, in the smallest unit of credit.")
    ],
    key: Key = None,
) -> Reply:
    """Bring new credits into an account: the only way that their total ever changes."""
    key = session.begin("top-up", key)
    transfer = await session.credits.top_up(key, account=account, amount=amount)
    standing = await session.credits.balance(account)
    told = Text.assemble(("✓ ", "bold green"), safe(f"Added {amount} credits to {account}."))
    text = lines(told, balances([standing]), facts(("Key", key)))
    return Reply({"transfer": transfer, "balance": standing}, text)
