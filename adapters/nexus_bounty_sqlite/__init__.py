"""Credits and claims in one SQLite file, shared safely by any number of processes on one machine.

The file must be on a local file system: SQLite's locks and its write-ahead log do not work over a
network. Needs nothing but the standard library, with SQLite 3.37 or later. A process that forks
opens it after that.

    async with SqliteCredits("ledger.db") as credits:
        await credits.top_up("first", account="alice", amount=1_000)
"""

from __future__ import annotations

from nexus_bounty_sqlite.claims import SqliteClaimStore
from nexus_bounty_sqlite.credits import SqliteCredits

__all__ = ["SqliteClaimStore", "SqliteCredits"]
