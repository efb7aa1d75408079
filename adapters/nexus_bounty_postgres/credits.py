"""Credits in a PostgreSQL database."""

from __future__ import annotations

from typing import Any

import psycopg

from nexus_bounty.ledger import Audit, JournaledLedger, LedgerCredits, RememberingLedger
from nexus_bounty.outcomes import PaymentError
from nexus_bounty.ports import Durability
from nexus_bounty_postgres.durability import durability
from nexus_bounty_postgres.foresight import KnownReservations
from nexus_bounty_postgres.ledger_batch import LedgerBatch
from nexus_bounty_postgres.ledger_tables import LedgerTables
from nexus_bounty_postgres.on_server import OnServer
from nexus_bounty_postgres.recount import recount


class PostgresCredits(OnServer[Any], LedgerCredits, JournaledLedger, RememberingLedger):
    """A `CreditsService` that keeps its double-entry ledger in one database; see `OnServer`."""

    refusal = PaymentError

    def __init__(self, url: str, **settings: Any) -> None:
        super().__init__(url, **settings)
        self._known = KnownReservations()

    async def verify(self) -> Audit:
        """Have the server recount the whole journal in one snapshot.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        return await self._database.check(recount)

    async def durability(self) -> Durability:
        """Whether the server keeps what it has acknowledged, crashes and fail-overs considered.

        Raises:
            CommitUnknownError: The server could not be asked.
        """
        return await self._database.check(durability)

    def _batch(self, connection: psycopg.Connection[Any]) -> LedgerBatch:
        return LedgerBatch(connection, clock=self._clock, known=self._known)

    def _tables(self, connection: psycopg.Connection[Any], *, settled: int) -> LedgerTables:
        return LedgerTables(connection, settled=settled)
