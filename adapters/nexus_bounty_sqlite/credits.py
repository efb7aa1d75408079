"""Credits in a SQLite file."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from nexus_bounty.ledger import Audit, JournaledLedger, LedgerCredits
from nexus_bounty.outcomes import PaymentError
from nexus_bounty_sqlite.in_file import InFile
from nexus_bounty_sqlite.ledger_book import SqliteBook


class SqliteCredits(InFile[Any], LedgerCredits, JournaledLedger):
    """A `CreditsService` that keeps its double-entry ledger in one file; see `InFile`."""

    refusal = PaymentError

    async def verify(self) -> Audit:
        """Recount the whole journal, and have SQLite check the file itself.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        audit = await super().verify()
        damage = await self._database.read("verify", _damage)
        return msgspec.structs.replace(audit, problems=(*audit.problems, *damage))

    def _book(self, connection: sqlite3.Connection) -> SqliteBook:
        return SqliteBook(connection)


def _damage(connection: sqlite3.Connection) -> list[str]:
    found = [text for (text,) in connection.execute("PRAGMA integrity_check").fetchall()]
    return [] if found == ["ok"] else found
