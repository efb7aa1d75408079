"""A double-entry ledger: the rules of escrow, written once for every place it may be kept.

    available credits          alice
    escrowed credits           system:escrow:alice
    where credits come from    system:mint          (as far below zero as the rest is above)
    what rewards are paid from system:frontier-rewards   (the peer's; like a user's, but nobody's)

Every movement is one journal entry that takes an amount from one account and gives it to
another, so that an unbalanced movement cannot even be written down and the sum over *all*
accounts is always zero. A reservation is `held` until it is `captured`, `voided` or `expired`,
once and for good.
"""

from __future__ import annotations

from nexus_bounty.ledger.accounts import MINT, SYSTEM_PREFIX, TREASURY, escrow_of
from nexus_bounty.ledger.audit import Audit
from nexus_bounty.ledger.book import Book, LedgerScope
from nexus_bounty.ledger.copying import LedgerCopy, copy_ledger
from nexus_bounty.ledger.entries import EntryKind, JournalEntry
from nexus_bounty.ledger.operations import JournalBook, JournaledLedger
from nexus_bounty.ledger.range_memories import RangeBook, RememberingLedger
from nexus_bounty.ledger.service import LedgerCredits
from nexus_bounty.ledger.totals import Sums, sums_of

__all__ = [
    "MINT",
    "SYSTEM_PREFIX",
    "TREASURY",
    "Audit",
    "Book",
    "EntryKind",
    "JournalBook",
    "JournalEntry",
    "JournaledLedger",
    "LedgerCopy",
    "LedgerCredits",
    "LedgerScope",
    "RangeBook",
    "RememberingLedger",
    "Sums",
    "copy_ledger",
    "escrow_of",
    "sums_of",
]
