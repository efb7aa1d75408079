"""`nexus-bounty balance`."""

from __future__ import annotations

from nexus_bounty.cli.inputs import Account
from nexus_bounty.cli.options import LedgerOptions
from nexus_bounty.cli.output import LazyText, Reply
from nexus_bounty.cli.results import balances
from nexus_bounty.cli.session import Session

PLACE = ("Money", 1)
EXAMPLES = ("balance alice",)
OPTIONS = LedgerOptions


async def balance(session: Session, *, account: Account) -> Reply:
    """Show what an account has: free to use, and held in escrow."""
    standing = await session.credits.balance(account)
    return Reply(standing, LazyText(lambda: balances([standing])))
