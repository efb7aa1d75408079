"""Credits, claims and the journal of operations on PostgreSQL, for any number of machines.

Every table is in the schema `nexus_bounty` of one database; the first to open it makes them. Works
through a pooler of transactions, such as PgBouncer's: no state is kept in a session.

    async with PostgresCredits("postgresql://user@host/database") as credits:
        await credits.top_up("first", account="alice", amount=1_000)
"""

from __future__ import annotations

from nexus_bounty_postgres.claims import PostgresClaimStore
from nexus_bounty_postgres.credits import PostgresCredits

__all__ = ["PostgresClaimStore", "PostgresCredits"]
