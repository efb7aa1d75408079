"""`nexus-bounty balance` and `top-up`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from nexus_bounty.cli.inputs import Key
from nexus_bounty.cli.output import Reply, facts, lines, safe
from nexus_bounty.cli.session import Session
from nexus_bounty.ports import Balance

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="An agent's id.")]


async def balance(session: Session, *, account: Account) -> Reply:
    """Show what an account has: free to use, and held in escrow."""
    standing = await session.credits.balance(account)
    return Reply(standing, balances([standing]))


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


def balances(standing: list[Balance]) -> RenderableType:
    """What each account has."""
    return facts(
        *((each.account, f"{each.available} free, {each.reserved} in escrow") for each in standing)
    )
