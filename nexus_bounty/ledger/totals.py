"""What all accounts add up to."""

from __future__ import annotations

from collections.abc import Iterable

from nexus_bounty.ledger.accounts import MINT, is_escrow
from nexus_bounty.models import Wire


class Sums(Wire, frozen=True, kw_only=True):
    """The whole system's credits: all that was ever issued is either free or reserved."""

    issued: int
    available: int
    reserved: int

    @property
    def total(self) -> int:
        """The credits that users have, free and reserved."""
        return self.available + self.reserved

    @property
    def balanced(self) -> bool:
        """Whether users have exactly what was issued."""
        return self.total == self.issued


def sums_of(accounts: Iterable[tuple[str, int]]) -> Sums:
    """The credits issued, free and reserved."""
    issued = available = reserved = 0
    for name, balance in accounts:
        if name == MINT:
            issued -= balance
        elif is_escrow(name):
            reserved += balance
        else:
            available += balance
    return Sums(issued=issued, available=available, reserved=reserved)
